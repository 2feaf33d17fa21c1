"""A float32 bundle and its calibrated one in one run: size, seconds of each stage, PSNR at every step, the goals."""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measure import NoiseClock, describe_machine, load_average, percent, progress, spread, table, timed
from sides import LastInputs

from hyperstyle_deploy.calibration.calibrate import calibrate
from hyperstyle_deploy.calibration.report import write_report
from hyperstyle_deploy.calibration.settings import Settings
from hyperstyle_deploy.demo import PHOTO
from hyperstyle_deploy.runtime.backends import Options, available, open_backend
from hyperstyle_deploy.runtime.backends.base import Backend
from hyperstyle_deploy.runtime.bundle.reader import Bundle
from hyperstyle_deploy.runtime.quality.tolerance import psnr
from hyperstyle_deploy.runtime.refinement.loop import refine
from hyperstyle_deploy.runtime.session import Session

PACKAGES = ("hyperstyle-deploy", "onnx", "onnxruntime", "openvino", "numpy")
STAGES = ("encoder", "hypernet", "weights", "synthesis_one")


@dataclass(frozen=True)
class Side:
    """One bundle in one backend, and its stages as calls on the same inputs."""

    backend: Backend
    session: Session
    calls: dict[str, Callable[[], object]]


def main() -> None:
    """Calibrate unless there is a calibrated bundle already, then measure both sides."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("float32", type=Path, help="the float32 bundle")
    parser.add_argument("calibrated", type=Path, help="its calibrated bundle; made here where it is not there yet")
    parser.add_argument("--photos", type=Path, nargs="+", default=[PHOTO], help="to calibrate on")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--min-psnr", type=float, default=40.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if not arguments.calibrated.exists() and not make(arguments):
        raise SystemExit("the target was not met: see the report beside the bundle")
    bundles = {"float32": Bundle.open(arguments.float32), "calibrated": Bundle.open(arguments.calibrated)}
    results = {backend: measure(backend, bundles, arguments) for backend in available()}
    sizes = {name: sum(f.bytes for f in bundle.manifest.files.values()) for name, bundle in bundles.items()}
    show(results, sizes)
    if arguments.json:
        result = {
            "machine": describe_machine(arguments.threads, PACKAGES),
            "load_average": load_average(),
            "steps": arguments.steps,
            "calibration": bundles["calibrated"].manifest.provenance["calibration"],
            "bytes": sizes,
            "backends": results,
        }
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


def make(arguments: argparse.Namespace) -> bool:
    """Calibrate the float32 bundle; whether the target was met."""
    settings = Settings(steps=arguments.steps, checked=1, threads=arguments.threads, least_psnr=arguments.min_psnr)
    report = calibrate(
        arguments.float32,
        arguments.photos,
        arguments.calibrated,
        settings,
        progress=lambda what, done, total: progress(f"calibrating: {what} {done}/{total}"),
    )
    write_report(report, arguments.calibrated.with_name(f"{arguments.calibrated.name}-report"))
    return report.met


def measure(name: str, bundles: dict[str, Bundle], arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each stage by side, rounds with the sides in turn, and PSNR by step."""
    sides = {side: opened(name, bundle, arguments) for side, bundle in bundles.items()}
    clock, noise = NoiseClock(), []
    seconds: dict[str, dict[str, list[float]]] = {stage: {side: [] for side in sides} for stage in STAGES}
    for number in range(arguments.rounds):
        progress(f"{name}: round {number + 1}/{arguments.rounds}")
        clock.lap()
        order = list(sides) if number % 2 == 0 else list(sides)[::-1]
        for stage in STAGES:
            for side in order:
                seconds[stage][side].append(timed(sides[side].calls[stage]))
        noise.append(clock.lap())
    progress(f"{name}: the loop")
    photo = sides["float32"].session.prepare([PHOTO])
    loops = [side.session.refine(photo, arguments.steps) for side in sides.values()]
    found = [psnr(got.image, want.image) for want, got in zip(*loops, strict=True)]
    return {"seconds": seconds, "psnr": [round(value, 2) for value in found], "noise": noise}


def opened(name: str, bundle: Bundle, arguments: argparse.Namespace) -> Side:
    """A bundle in a backend, every stage run once."""
    backend = open_backend(name, bundle, Options(arguments.threads))
    session = Session(backend)
    noting = LastInputs(backend, 1)
    for _ in refine(noting, session.prepare([PHOTO]), 1 if backend.method.refines else 0):
        pass
    calls = {
        graph: lambda graph=graph, inputs=given[0]: backend.run(graph, inputs) for graph, given in noting.given.items()
    }
    return Side(backend, session, calls)


def show(results: dict[str, Any], sizes: dict[str, int]) -> None:
    """Print the tables, and the goals with what was reached."""
    print(
        f"bytes: {sizes['float32'] / 1e6:.0f} MB to {sizes['calibrated'] / 1e6:.0f} MB, "
        f"{sizes['calibrated'] / sizes['float32']:.2f} (goal: at most 0.45)"
    )
    for name, result in results.items():
        rows = []
        for stage, both in with_sum(result["seconds"]).items():
            plain, narrow = both["float32"], both["calibrated"]
            ratios = [before / after for before, after in zip(plain, narrow, strict=True)]
            goal = {"weights": "2", "encoder + hypernet": "1.5"}.get(stage, "")
            best = f"{min(plain) / min(narrow):.2f}"
            rows.append([stage, spread(plain, 3), spread(narrow, 3), spread(ratios), best, goal])
        stolen, others = ([lap[key] for lap in result["noise"]] for key in ("stolen", "others"))
        table(
            f"{name}: seconds; stolen {percent(stolen)}; others {percent(others)}",
            ["stage", "float32", "calibrated", "times faster", "best / best", "goal"],
            rows,
        )
        print("  PSNR by step (goal: 40 dB): " + " ".join(f"{value:.1f}" for value in result["psnr"]))


def with_sum(seconds: dict[str, dict[str, list[float]]]) -> dict[str, dict[str, list[float]]]:
    """The stages, and the sum of the two that convolve with constants."""
    both = {side: list(np.add(seconds["encoder"][side], seconds["hypernet"][side])) for side in seconds["encoder"]}
    return {**seconds, "encoder + hypernet": both}


if __name__ == "__main__":
    main()
