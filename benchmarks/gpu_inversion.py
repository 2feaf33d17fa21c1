"""Time HyperStyle's inversion on a GPU: the authors' formulation in PyTorch against our runtime, in one run.

Every round runs each stage on every side in turn, the order rotating, and each call several times in a row.
"""

import argparse
import gc
import json
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from gpu import describe_gpu, kernel, on_device, synchronized, with_tf32
from measure import (
    PACKAGES,
    NoiseClock,
    PeakRates,
    describe_machine,
    interleave,
    load_average,
    percent,
    progress,
    spread,
    table,
)
from sides import PER_PHOTO, STAGES, RuntimeSide, Side, TorchSide, Work, load_model, prepare, stage_bytes, stage_work

from hyperstyle_deploy import Bundle
from hyperstyle_deploy.runtime.backends import BACKENDS, Options, missing, resolve
from hyperstyle_deploy.runtime.images import network_input, read_photo

#: PyTorch as it comes, its convolutions in TF32, and with TF32 off: the sides before ours.
EAGER, STRICT = "eager", "eager, no TF32"
GOAL = 5.0
PAPER_SECONDS = 1.234
#: Differences of our images from `eager, no TF32` that no rounding explains; they run over about [-1, 1].
LIMITS = {"float32": 5e-3, "float16": 0.2, "bfloat16": 1.0}
#: Sides of the square matmuls.
GEMM_SIZES = (4096, 8192)
GPU_PACKAGES = (*PACKAGES, "onnxruntime-gpu", "tensorrt", "tensorrt-rtx", "cuda-bindings")


def main() -> None:
    """Measure, print the tables, write the JSON."""
    args = parse_arguments()
    if not torch.cuda.is_available():
        raise SystemExit("No GPU: this needs an NVIDIA GPU, its driver, and a PyTorch that was built for CUDA.")
    if not args.backends:
        raise SystemExit("No GPU backend is installed: --backends names one, and its error says how to install it.")
    for name in args.backends:
        resolve(name)
    torch.backends.cudnn.benchmark = True  # PyTorch at its best: the shapes never change
    with ExitStack() as stack:
        work = args.work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gpu-inversion-")))
        work.mkdir(parents=True, exist_ok=True)
        bundles, checkpoints = prepare_bundles(work, args)
        settings = {name: getattr(args, name) for name in ("size", "steps", "batches", "rounds", "repeats", "backends")}
        machine = describe_machine(torch.get_num_threads(), GPU_PACKAGES) | describe_gpu()
        result = {"settings": settings, "machine": machine, "load_before": load_average(), "runs": []}
        progress("loading PyTorch")
        model = load_model(checkpoints, bundles[0])
        amounts = [stage_work(model, bundle) for bundle in bundles]  # before a side moves the networks to the GPU
        for bundle, amount in zip(bundles, amounts, strict=True):
            for batch in args.batches:
                progress(f"{bundle.path.name}, batch {batch}")
                result["runs"].append(measure(model, bundle, amount, batch, args))
                gc.collect()
                torch.cuda.empty_cache()
        result["load_after"] = load_average()
    print_report(result)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    if wrong := [text for run in result["runs"] for text in run["wrong"]]:
        raise SystemExit("These images are wrong: " + "; ".join(wrong))


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    option = parser.add_argument
    installed = ",".join(name for name, needs in BACKENDS.items() if needs.gpu and not missing(name))
    option("--size", type=int, default=1024, choices=(256, 512, 1024), help="image size (1024)")
    option("--steps", type=int, default=5, help="refinement steps of the whole inversion (5)")
    option("--batch", dest="batches", default="1,4", help="comma list of photos at once (1,4)")
    option("--precision", default="float32,float16", help="comma list of the bundles that are made (float32,float16)")
    option("--backends", default=installed, help=f"comma list (those installed: {installed or 'none'})")
    option("--rounds", type=int, default=10, help="rounds (10)")
    option("--repeats", type=int, default=10, help="times that a round runs each call (10)")
    option("--work", type=Path, help="keep and reuse checkpoints, bundles and engines here (a temporary folder)")
    given = "a bundle of the checkpoints in --work, with its engines, instead of those that are made; may be repeated"
    option("--bundle", type=Path, action="append", help=given)
    option("--json", type=Path, help="write everything that was measured to this file")
    args = parser.parse_args()
    args.backends = [name for name in args.backends.split(",") if name]
    args.batches = [int(batch) for batch in args.batches.split(",")]
    if min(args.steps, *args.batches, args.rounds, args.repeats) < 1:
        parser.error("steps, batches, rounds and repeats are 1 or more")
    return args


def prepare_bundles(work: Path, args: argparse.Namespace) -> tuple[list[Bundle], tuple[Path, Path]]:
    """The bundles that were given; or one of each precision, with engines of this GPU."""
    if args.bundle:
        prepared = [prepare(work, path, args.size) for path in args.bundle]
    else:
        prepared = [prepare(work, None, args.size, precision) for precision in args.precision.split(",")]
    bundles, checkpoints = [bundle for bundle, _ in prepared], prepared[0][1]
    if args.bundle:
        return bundles, checkpoints
    from hyperstyle_deploy.export.engines.builder import build
    from hyperstyle_deploy.export.engines.targets import TARGETS
    from hyperstyle_deploy.export.engines.targets import Options as BuildOptions

    major, minor = torch.cuda.get_device_capability()
    for bundle in bundles:
        for target in (name for name in args.backends if name in TARGETS):
            progress(f"building {target} engines in {bundle.path.name}")
            capabilities = (10 * major + minor,) if target == "tensorrt-rtx" else ()
            build(bundle.path, target, options=BuildOptions((1, 1, max(args.batches)), capabilities))
    return bundles, checkpoints


def measure(
    model: Any, bundle: Bundle, amount: dict[str, Work], batch: int, args: argparse.Namespace
) -> dict[str, Any]:
    """One bundle at one batch size: all sides, their agreement, the kernel, and the floor."""
    image, precision = bundle.manifest.image, bundle.manifest.precision
    draw = np.random.default_rng(0)
    photos = [draw.integers(0, 256, (image.input_height, image.input_width, 3), np.uint8) for _ in range(batch)]
    tensors = network_input([read_photo(photo) for photo in photos], image.input_height, image.input_width)
    eager = TorchSide(EAGER, model, tensors, compiled=False, device="cuda")
    ours = [RuntimeSide(name, bundle, Options(), tensors) for name in args.backends]
    sides = {EAGER: (eager, True), STRICT: (eager, False), **{side.name: (side, False) for side in ours}}
    reference = with_tf32(False, lambda: eager.invert(args.steps))()
    difference = {
        name: float(np.abs(with_tf32(tf32, lambda s=side: s.invert(args.steps))() - reference).max())
        for name, (side, tf32) in sides.items()
    }
    calls = calls_of(sides, args.steps)
    for call in (call for by_side in calls.values() for call in by_side.values()):
        call()  # cuDNN chooses its algorithms, our runtime records its graph
    rates = PeakRates("cuda", getattr(torch, precision), GEMM_SIZES, on_device)
    measured = interleave("all", calls, args.rounds, rates, NoiseClock(), args.repeats, synchronized)
    best = {kind: max(rate[kind] for rate in measured["rates"]) for kind in ("flops", "bytes")}
    floors = stage_floors(bundle, amount, batch, args.steps, best)
    wrong = [
        f"{side.name} {precision}: {difference[side.name]:.1e}, limit {LIMITS[precision]}"
        for side in ours
        if not difference[side.name] <= LIMITS[precision]  # so that NaN is wrong
    ]
    return {
        "bundle": bundle.path.name,
        "precision": precision,
        "batch": batch,
        "difference": difference,
        "wrong": wrong,
        **measured,
        "floors": floors,
        "kernel": kernel(bundle, best["bytes"]),
    }


def calls_of(sides: dict[str, tuple[Side, bool]], steps: int) -> dict[str, dict[str, Callable[[], object]]]:
    """What is timed, by row and side: every stage alone, and the whole inversion from photos to pictures."""
    calls: dict[str, dict[str, Callable[[], object]]] = {row: {} for row in (*STAGES, "inversion")}
    for name, (side, tf32) in sides.items():
        for stage, call in side.stages.items():
            calls[stage][name] = with_tf32(tf32, call)
        calls["inversion"][name] = with_tf32(tf32, lambda s=side: s.pictures(steps))
    return calls


def stage_floors(
    bundle: Bundle, amount: dict[str, Work], batch: int, steps: int, best: dict[str, float]
) -> dict[str, float]:
    """Seconds that our stages take at least: FLOPs over the GEMM rate or bytes over the copy rate, the longer one.

    `weights` and `synthesis_one` run once a photo, so their constants are read as often; the inversion is a sum.
    """
    floors = {}
    for stage, work in amount.items():
        once = stage not in PER_PHOTO
        moved = stage_bytes(bundle, stage, batch) if once else batch * stage_bytes(bundle, stage)
        floors[stage] = max(batch * work.flops / best["flops"], moved / best["bytes"])
    runs = {"encoder": 1, "hypernet": steps, "weights": steps, "synthesis_one": steps + 1}
    return floors | {"inversion": sum(count * floors[stage] for stage, count in runs.items())}


def print_report(result: dict[str, Any]) -> None:
    """Everything as text."""
    settings, versions = result["settings"], result["machine"]["versions"]
    print(f"\nInversion on a GPU at {settings['size']}, {settings['steps']} steps")
    machine = {**result["machine"], "versions": ", ".join(f"{name} {number}" for name, number in versions.items())}
    for name, value in {**machine, "load average": (result["load_before"], result["load_after"])}.items():
        print(f"  {name}: {value}")
    for run in result["runs"]:
        print_run(run)
    print(f"\nThe paper's own figure is {PAPER_SECONDS} s an image; the goal was set for 1024, 5 steps.")


def print_run(run: dict[str, Any]) -> None:
    """One bundle at one batch size."""
    rates, seconds = run["rates"], run["seconds"]
    moved, took, least = (run["kernel"][name] for name in ("bytes", "seconds", "least"))
    print(f"\n== {run['bundle']}: {run['precision']}, batch {run['batch']}")
    for name, value in {
        "largest difference from eager without TF32": ", ".join(f"{n} {d:.1e}" for n, d in run["difference"].items()),
        "CPU time stolen": percent([share["stolen"] for share in run["noise"]]),
        "CPU time of other programs": percent([share["others"] for share in run["noise"]]),
        f"GEMM in {run['precision']}": f"{spread([rate['flops'] / 1e12 for rate in rates], 1)} TFLOP/s",
        "copy": f"{spread([rate['bytes'] / 1e9 for rate in rates], 0)} GB/s, read and written bytes",
        "kernel": f"{moved / 1e6:.1f} MB in {took * 1e6:.1f} us (least {least * 1e6:.1f}),"
        f" {moved / took / 1e9:.0f} GB/s, {run['kernel']['of_copy']:.0%} of the copy; the aim is 85%",
    }.items():
        print(f"  {name}: {value}")
    sides, floors = list(seconds["inversion"]), run["floors"]
    rows = []
    for stage, by_side in seconds.items():
        cells = [milliseconds(by_side[side]) if side in by_side else "-" for side in sides]
        rows.append([stage, *cells, f"{floors[stage] * 1e3:.2f}"])
    header = ["", *sides, "floor"]
    table("Milliseconds: median, 99th percentile, least; PyTorch's hypernet makes its offsets too", header, rows)
    times = {side: median(values) for side, values in seconds["inversion"].items()}
    rows = [
        [
            side,
            f"{times[side] / run['batch']:.4f}",
            f"{times[EAGER] / times[side]:.2f}",
            f"{times[STRICT] / times[side]:.2f}",
            f"{times[side] / floors['inversion']:.2f}",
            "-" if side in (EAGER, STRICT) else "met" if times[EAGER] >= GOAL * times[side] else "NOT MET",
        ]
        for side in sides
    ]
    header = ["inversion", "s an image", "faster than eager", "than no TF32", "/ floor", f"goal: {GOAL} x eager"]
    table("Medians", header, rows)


def milliseconds(times: list[float]) -> str:
    """Median, 99th percentile and least, as text."""
    return " / ".join(f"{value * 1e3:.2f}" for value in (median(times), np.percentile(times, 99), min(times)))


if __name__ == "__main__":
    main()
