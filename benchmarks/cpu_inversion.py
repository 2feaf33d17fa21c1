"""Time a method's inversion on the CPU: the authors' formulation in PyTorch against our runtime, in one run.

Every round runs each stage on every side in turn, the order rotating, so that all sides meet the same noise.
"""

import argparse
import json
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from operator import itemgetter
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from measure import (
    NoiseClock,
    PeakRates,
    describe_machine,
    fresh_processes,
    interleave,
    load_average,
    percent,
    progress,
    spread,
    table,
)
from sides import STAGES, RuntimeSide, Side, TorchSide, authors_flops, load_model, prepare, stage_work

from hyperstyle_deploy import Bundle
from hyperstyle_deploy.runtime.backends import Options
from hyperstyle_deploy.runtime.images import network_input, read_photo
from hyperstyle_deploy.runtime.methods import METHODS

EAGER, COMPILED = "eager", "compile"
#: Largest accepted difference between two sides' images, which run over about [-1, 1].
TOLERANCE = 5e-4
#: Column -> (what `fresh_processes` calls it, unit).
FRESH_COLUMNS = {"load s": ("load_s", 1), "first invert s": ("invert_s", 1), "peak memory GB": ("peak_bytes", 1e9)}
VERDICTS = {None: "not measured", True: "met", False: "NOT MET"}
#: What is compared: the authors' hypernetwork ends in offsets, ours needs `weights` for as much.
ROWS = {
    "encoder": ("encoder",),
    "hypernet + weights": ("hypernet", "weights"),
    "synthesis": ("synthesis_one",),
    "refinement step": ("hypernet", "weights", "synthesis_one"),
    "inversion": ("inversion",),
}
#: Graphs that a step of each method runs besides the drawing; e4e and pSp take none.
STEP = {"hyperstyle": ("hypernet", "weights"), "restyle-psp": ("encoder",), "restyle-e4e": ("encoder",)}
#: Steps after which images are compared where that is fewer than are timed: on seeded weights every further correction
#: of ReStyle amplifies roundings, until eager and compiled PyTorch differ by hundreds.
COMPARED = {"restyle-psp": 1, "restyle-e4e": 1}
#: Goals for 1024, 5 steps and 2 threads: how many times faster than torch.compile of the authors' formulation.
FASTER = {"hyperstyle": {"openvino": 1.5, "onnxruntime": 1.0}}


def main() -> None:
    """Measure, print the tables, write the JSON."""
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    with ExitStack() as stack:
        work = args.work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cpu-inversion-")))
        work.mkdir(parents=True, exist_ok=True)
        bundle, checkpoints = prepare(work, args.bundle, args.size, method=args.method)
        settings = {
            name: getattr(args, name) for name in ("method", "size", "steps", "rounds", "loop_rounds", "backends")
        }
        result = {"settings": settings, "machine": describe_machine(args.threads), "load_before": load_average()}
        clock = NoiseClock()
        result["fresh"] = fresh_processes(bundle.path, args.backends, args.threads, args.steps)
        result["fresh_noise"] = clock.lap()
        result |= in_process(bundle, checkpoints, args)
        result["load_after"] = load_average()
    result |= {"floors": floors(result), "goals": goals(result)}
    print_report(result)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    if worst := [side for side, difference in result["differences"].items() if not difference <= TOLERANCE]:
        raise SystemExit(f"{', '.join(worst)}: the image differs from eager PyTorch's by more than {TOLERANCE}")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    option = parser.add_argument
    option("--method", default="hyperstyle", choices=tuple(METHODS), help="which method (hyperstyle)")
    option("--size", type=int, default=1024, choices=(256, 512, 1024), help="image size (1024)")
    option("--steps", type=int, default=5, help="refinement steps of the whole inversion (5)")
    option("--rounds", type=int, default=5, help="rounds of the stages (5)")
    option("--loop-rounds", type=int, default=3, help="rounds of the whole inversion (3)")
    option("--threads", type=int, default=2, help="threads of every side (2)")
    option("--backends", default="onnxruntime,openvino", help="comma list (onnxruntime,openvino)")
    option("--no-compile", action="store_true", help="leave torch.compile out; it needs a C++ compiler")
    option("--work", type=Path, help="keep and reuse the checkpoints and the bundle here (a temporary folder)")
    option("--bundle", type=Path, help="a bundle of the checkpoints in the work folder (its folder `bundle`)")
    option("--json", type=Path, help="write everything that was measured to this file")
    args = parser.parse_args()
    args.backends = args.backends.split(",")
    if not METHODS[args.method].refines:
        args.steps = 0
    if min(args.rounds, args.loop_rounds, args.threads) < 1 or args.steps < 0:
        parser.error("rounds and threads are 1 or more, steps 0 or more")
    return args


def in_process(bundle: Bundle, checkpoints: tuple[Path, Path], args: argparse.Namespace) -> dict[str, Any]:
    """Everything that shares this process: the sides' stages and inversions, their agreement, the stages' work."""
    image = bundle.manifest.image
    photo = np.random.default_rng(0).integers(0, 256, (image.input_height, image.input_width, 3), np.uint8)
    batch = network_input([read_photo(photo)], image.input_height, image.input_width)
    progress("loading PyTorch")
    model = load_model(checkpoints, bundle)
    work = {stage: asdict(amount) for stage, amount in stage_work(model, bundle).items()}
    eager = TorchSide(EAGER, model, batch, compiled=False)
    flops = authors_flops(eager)
    sides: list[Side] = [eager]
    if not args.no_compile:
        progress("compiling")
        sides.append(TorchSide(COMPILED, model, batch, compiled=True))
    for name in args.backends:
        progress(f"loading {name}")
        sides.append(RuntimeSide(name, bundle, Options(args.threads), batch))
    # A graph that is compiled again while the clock runs would be timed; this turns it into an error.
    with torch.compiler.set_stance("fail_on_recompile"):
        compared = min(args.steps, COMPARED.get(args.method, args.steps))
        agreement = differences(sides, compared)
        rates, clock = PeakRates(), NoiseClock()
        stages = {name: {side.name: side.stages[name] for side in sides if name in side.stages} for name in STAGES}
        stages = {name: by_side for name, by_side in stages.items() if by_side}
        loop = {"inversion": {side.name: lambda s=side: s.invert(args.steps) for side in sides}}
        return {
            "work": work,
            "authors_flops": flops,
            "compared_steps": compared,
            "differences": agreement,
            "stages": interleave("stages", stages, args.rounds, rates, clock),
            "loop": interleave("inversions", loop, args.loop_rounds, rates, clock),
        }


def differences(sides: list[Side], steps: int) -> dict[str, float]:
    """Largest absolute difference of each side's inversion from the first side's."""
    progress("comparing images")
    reference = sides[0].invert(steps)
    return {side.name: float(np.abs(side.invert(steps) - reference).max()) for side in sides[1:]}


def totals(result: dict[str, Any], row: str) -> dict[str, list[float]]:
    """Seconds of a row of ``ROWS`` by side, one a round; PyTorch has no `weights`, and a method not every stage."""
    answer: dict[str, list[float]] = {}
    measured = result["stages"]["seconds"] | result["loop"]["seconds"]
    for stage in ROWS[row]:
        for side, times in measured.get(stage, {}).items():
            answer[side] = [a + b for a, b in zip(answer.get(side, [0.0] * len(times)), times, strict=True)]
    return answer


def quotients(over: list[float], under: list[float]) -> list[float]:
    """One quotient a round."""
    return [a / b for a, b in zip(over, under, strict=True)]


def floors(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Work of each stage and of the inversion, and the seconds it takes at least at the rates of each round.

    A stage's floor is the larger of ``flops / GEMM rate`` and ``bytes / copy rate``; the inversion's is their sum.
    """
    steps, work, authors = result["settings"]["steps"], result["work"], result["authors_flops"]
    once = result["settings"]["method"] not in STEP or "encoder" not in STEP[result["settings"]["method"]]
    counts = {"encoder": 1 if once else steps, "hypernet": steps, "weights": steps, "synthesis_one": steps + 1}
    inversion = {stage: counts[stage] for stage in work}
    answer: dict[str, dict[str, Any]] = {}
    for name in (*work, "inversion"):
        runs = inversion if name == "inversion" else {name: 1}
        rates = result["loop" if name == "inversion" else "stages"]["rates"]
        bounds = ("flops", "bytes")
        answer[name] = {bound: sum(n * work[stage][bound] for stage, n in runs.items()) for bound in bounds}
        answer[name]["authors_flops"] = sum(n * authors.get(stage, 0) for stage, n in runs.items())
        for key, pick in (("by_flops", itemgetter(0)), ("by_bytes", itemgetter(1)), ("seconds", max)):
            answer[name][key] = [
                sum(n * pick([work[stage][bound] / rate[bound] for bound in bounds]) for stage, n in runs.items())
                for rate in rates
            ]
    return answer


def goals(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The goals, set for 1024, 5 steps and 2 threads, and what was measured; ``met`` is None where nothing was."""
    inversion = totals(result, "inversion")
    backends = result["settings"]["backends"]
    answer: list[dict[str, Any]] = []

    def goal(name: str, relation: str, limit: float, values: list[float]) -> None:
        measured = median(values) if values else None
        met = None if measured is None else measured >= limit if relation == ">=" else measured <= limit
        answer.append({"goal": name, "relation": relation, "limit": limit, "values": values, "met": met})

    for side, limit in FASTER.get(result["settings"]["method"], {}).items():
        both = side in inversion and COMPILED in inversion
        faster = quotients(inversion[COMPILED], inversion[side]) if both else []
        goal(f"inversion: {side} times faster than {COMPILED}", ">=", limit, faster)
    for side in backends:
        fresh = result["fresh"][side]
        goal(f"{side}: session load, s", "<=", 4.0, [run["load_s"] for run in fresh])
        goal(f"{side}: peak memory of invert, GB", "<=", 3.5, [max(run["peak_bytes"] for run in fresh) / 1e9])
    return answer


def print_report(result: dict[str, Any]) -> None:
    """Everything as text; a cell is a median over the rounds and, in brackets, their range."""
    settings, machine, stages, loop = (result[part] for part in ("settings", "machine", "stages", "loop"))
    rates, noise = stages["rates"] + loop["rates"], [result["fresh_noise"], *stages["noise"], *loop["noise"]]
    what = f"{settings['method']} at {settings['size']}, {settings['steps']} steps"
    print(f"\nInversion with {what}, {machine['threads']} threads, float32")
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    for name, value in {
        **machine,
        "versions": versions,
        "load average": f"{result['load_before']} before, {result['load_after']} after",
        "CPU time stolen": percent([share["stolen"] for share in noise]) + " (fresh processes, then by round)",
        "CPU time of other programs": percent([share["others"] for share in noise]),
        "GEMM": f"{spread([rate['flops'] / 1e9 for rate in rates], 0)} GFLOP/s",
        "copy": f"{spread([rate['bytes'] / 1e9 for rate in rates], 1)} GB/s, read and written bytes",
        "difference from eager": ", ".join(f"{name} {value:.1e}" for name, value in result["differences"].items())
        + f", after {result['compared_steps']} steps",
    }.items():
        print(f"  {name}: {value}")
    seconds = stages["seconds"] | loop["seconds"]
    sides, times = list(seconds["inversion"]), {row: by for row in ROWS if (by := totals(result, row))}
    rows = [[row, *(spread(by[side], 3) if side in by else "-" for side in sides)] for row, by in seconds.items()]
    table("Seconds: median (least to most); PyTorch's hypernet makes its offsets too", ["", *sides], rows)
    for reference in (name for name in (EAGER, COMPILED) if name in sides):
        others = [side for side in sides if side not in (EAGER, reference)]
        rows = [[row, *(spread(quotients(by[reference], by[side])) for side in others)] for row, by in times.items()]
        table(f"Times faster than {reference}, round by round", ["", *others], rows)
    print_floors(result, seconds)
    rows = [
        [name, *(spread([run[key] / unit for run in runs]) for key, unit in FRESH_COLUMNS.values())]
        for name, runs in result["fresh"].items()
    ]
    table("Fresh processes, the bundle in the page cache", ["", *FRESH_COLUMNS], rows)
    rows = [
        [goal["goal"], f"{goal['relation']} {goal['limit']}", spread(goal["values"]), VERDICTS[goal["met"]]]
        for goal in result["goals"]
    ]
    table("Goals, set for 1024, 5 steps, 2 threads", ["", "goal", "measured", ""], rows)


def print_floors(result: dict[str, Any], seconds: dict[str, dict[str, list[float]]]) -> None:
    """Work, floor, and how many floors a backend takes: round by round, and its best time over the best floor."""
    rows = []
    for name, floor in result["floors"].items():
        row = [name, *(f"{floor[key] / 1e9:.1f}" for key in ("authors_flops", "flops")), f"{floor['bytes'] / 1e6:.0f}"]
        row += [f"{median(floor[key]):.3f}" for key in ("by_flops", "by_bytes", "seconds")]
        for side in result["settings"]["backends"]:
            times = seconds[name][side]
            row += [spread(quotients(times, floor["seconds"])), f"{min(times) / min(floor['seconds']):.2f}"]
        rows.append(row)
    header = ["", "authors' GFLOP", "GFLOP", "MB", "FLOPs s", "bytes s", "floor s"]
    header += [text for side in result["settings"]["backends"] for text in (f"{side} / floor", "best / best")]
    table("Floors: FLOPs over the GEMM rate or bytes over the copy rate, whichever takes longer", header, rows)


if __name__ == "__main__":
    main()
