"""How far 16-bit bundles are from the float32 bundle of the same checkpoint, step by step through the loop."""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from measure import describe_machine
from numpy.typing import NDArray

from hyperstyle_deploy.demo import PHOTO
from hyperstyle_deploy.export.rounded import RoundedBackend
from hyperstyle_deploy.runtime.backends import Options, open_backend
from hyperstyle_deploy.runtime.backends.base import Backend
from hyperstyle_deploy.runtime.bundle.reader import Bundle
from hyperstyle_deploy.runtime.quality.tolerance import psnr
from hyperstyle_deploy.runtime.session import Session


@dataclass(frozen=True)
class Line:
    """One way of running one bundle: PSNR of the image after each step, and the same of images clipped to [-1, 1]."""

    precision: str
    backend: str
    psnr: list[float]
    clipped: list[float]


def main() -> None:
    """Run the loop on every bundle and print PSNR by step, sizes, and the largest 16-bit tensors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("float32", type=Path, help="the float32 bundle")
    parser.add_argument("others", type=Path, nargs="+", help="16-bit bundles of the same checkpoint")
    parser.add_argument("--photo", type=Path, default=PHOTO)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    bundles = {bundle.manifest.precision: bundle for bundle in map(Bundle.open, (arguments.float32, *arguments.others))}
    reference = images(bundles["float32"], "onnxruntime", arguments)
    lines, peaks = [], {}
    for precision, bundle in list(bundles.items())[1:]:
        for backend in ("onnxruntime", "openvino", "rounded"):
            if precision == "bfloat16" and backend != "rounded":  # no CPU backend has it
                continue
            found = images(bundle, backend, arguments)
            lines.append(compare(precision, backend, found, reference))
            print_line(lines[-1])
        peaks[precision] = largest(bundle, arguments)
    sizes = {
        precision: sum(file.bytes for file in bundle.manifest.files.values()) for precision, bundle in bundles.items()
    }
    print("bytes:", ", ".join(f"{precision} {size / 1e6:.0f} MB" for precision, size in sizes.items()))
    for precision, stages in peaks.items():
        print(f"largest magnitudes, {precision}:", ", ".join(f"{stage} {peak:.1f}" for stage, peak in stages.items()))
    if arguments.json:
        result = {
            "machine": describe_machine(arguments.threads),
            "steps": arguments.steps,
            "psnr": [asdict(line) for line in lines],
            "bytes": sizes,
            "largest": peaks,
        }
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


def images(bundle: Bundle, backend: str, arguments: argparse.Namespace) -> list[NDArray[np.float32]]:
    """The image after every step, the encoder's inversion first."""
    session = Session(opened(bundle, backend, arguments.threads))
    return [step.image for step in session.refine(session.prepare([arguments.photo]), arguments.steps)]


def opened(bundle: Bundle, backend: str, threads: int) -> Backend:
    """A backend, or the graphs with every result rounded to 16 bits."""
    return RoundedBackend(bundle) if backend == "rounded" else open_backend(backend, bundle, Options(threads))


def compare(
    precision: str, backend: str, found: list[NDArray[np.float32]], reference: list[NDArray[np.float32]]
) -> Line:
    """PSNR by step."""
    pairs = list(zip(found, reference, strict=True))
    return Line(
        precision,
        backend,
        [round(psnr(got, want), 2) for got, want in pairs],
        [round(psnr(np.clip(got, -1, 1), np.clip(want, -1, 1)), 2) for got, want in pairs],
    )


def print_line(line: Line) -> None:
    """One row a way of running."""
    print(f"{line.precision:9s} {line.backend:12s} dB by step: " + " ".join(f"{value:6.1f}" for value in line.psnr))


def largest(bundle: Bundle, arguments: argparse.Namespace) -> dict[str, float]:
    """The largest magnitude that any 16-bit tensor of a stage took in one refinement step; NaN if one overflowed."""
    backend = RoundedBackend(bundle, watch=True)
    session = Session(backend)
    list(session.refine(session.prepare([arguments.photo]), 1))
    return {stage: float(np.max(list(graph.peaks.values()))) for stage, graph in backend.graphs.items()}


if __name__ == "__main__":
    main()
