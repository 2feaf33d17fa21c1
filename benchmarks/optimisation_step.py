"""One step of projection, PTI and IDInvert at 256 pixels: ONNX Runtime and OpenVINO beside PyTorch eager, in one run.

    python -m hyperstyle_deploy.benchmarks.optimisation_step [--size 256] [--rounds 5] [--only pti] [--json FILE]

Seeded weights in the published layout; VGG16 in the losses of projection and IDInvert, AlexNet in PTI's, as their
authors have it. A step is forward, backward and Adam's update. Sides take turns, round by round; the median counts.
PyTorch runs the published formulation with autograd and ``torch.optim.Adam``. Peak memory is each side's own, in a
process of its own.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hyperstyle_deploy.export.exporter import export
from hyperstyle_deploy.export.gradients.criterion import Criterion, features_graph
from hyperstyle_deploy.export.gradients.features import read_features
from hyperstyle_deploy.export.gradients.idinvert import WEIGHTS
from hyperstyle_deploy.export.gradients.losses import noise_correlation
from hyperstyle_deploy.export.gradients.perceptual import ALEXNET, VGG16, Lpips, read_lpips
from hyperstyle_deploy.export.gradients.projection import projection_constants, projection_graphs
from hyperstyle_deploy.export.gradients.seeded import write_lpips
from hyperstyle_deploy.export.gradients.tuning import tuning_constants, tuning_graphs
from hyperstyle_deploy.export.methods.loading import load_model, read_checkpoints
from hyperstyle_deploy.export.methods.model import NO_CHOICES, IdInvertModel, Model
from hyperstyle_deploy.export.seeded_idinvert import PUBLISHED256, IdInvertSizes, write_idinvert
from hyperstyle_deploy.runtime.backends import Options, available, open_backend
from hyperstyle_deploy.runtime.bundle.reader import Bundle
from hyperstyle_deploy.runtime.methods.settings import Settings
from hyperstyle_deploy.runtime.profiling.environment import peak_memory
from hyperstyle_deploy.runtime.refinement.loop import refine
from hyperstyle_deploy.tests.unit.golden_graphs import GraphsBundle, generator_model, write_graphs

#: What is wanted: seconds of a step over PyTorch eager's.
LIMITS = {("projection", "onnxruntime"): 0.9, ("projection", "openvino"): 0.65}
LIMITS |= {("pti", "onnxruntime"): 0.7, ("pti", "openvino"): 0.55}
TRUNKS = {"projection": VGG16, "pti": ALEXNET}
METHODS = (*TRUNKS, "idinvert")
#: Files of IDInvert's that PyTorch's side reads again.
IDINVERT = ("generator.pth", "encoder.pth", "vgg16.pth")


def written(folder: Path, name: str, size: int) -> GraphsBundle | Path:
    """The graphs of an optimisation on the seeded generator; IDInvert's as a whole bundle."""
    if name == "idinvert":
        generator, encoder, vgg16 = write_idinvert(folder, idinvert_sizes(size))
        return export((generator, encoder), folder / "bundle", vgg16=vgg16).path
    model, criterion = generator_model(size), read_lpips(*write_lpips(folder, TRUNKS[name]))
    if name == "projection":
        graphs, constants = projection_graphs(model, criterion), projection_constants(model, criterion)
    else:
        graphs, constants = tuning_graphs(model, criterion), tuning_constants(criterion)
    return write_graphs(folder, model, [features_graph(criterion, model.image), *graphs], constants)


def idinvert_sizes(size: int) -> IdInvertSizes:
    """The published widths, without the resolutions above ``size``."""
    levels, whole = size.bit_length() - 2, PUBLISHED256
    narrowed = replace(
        whole.generator, channels=whole.generator.channels[:levels], fused=whole.generator.fused[: levels - 1]
    )
    return replace(whole, generator=narrowed, channels=whole.channels[:levels], hidden=whole.hidden[: levels - 1])


def photo(size: int) -> np.ndarray:
    """A target [1, 3, size, size] in [-1, 1]."""
    return np.random.default_rng(0).uniform(-1, 1, (1, 3, size, size)).astype(np.float32)


def running(bundle: GraphsBundle | Path, name: str) -> GraphsBundle | Bundle:
    """The bundle with the method that runs; PTI around a pivot of zeros."""
    if isinstance(bundle, Path):
        return Bundle.open(bundle, name)
    pivot = np.zeros((bundle.manifest.generator.styles, bundle.manifest.generator.width), np.float32)
    return bundle.running(name, Settings(pivot=pivot, until_lpips=0.0) if name == "pti" else Settings())


def runtime_steps(bundle: GraphsBundle | Path, name: str, backend: str, size: int, rounds: int) -> list[float]:
    """Seconds of each step of the loop, after one that warms up."""
    opened = open_backend(backend, running(bundle, name), Options())  # type: ignore[arg-type]
    marks = []
    for step in refine(opened, photo(size), rounds + 1):
        assert all(np.isfinite(loss) for loss in step.losses(0).values())
        marks.append(time.perf_counter())
    return [after - before for before, after in pairwise(marks[1:])]


def torch_steps(folder: Path, name: str, size: int, rounds: int) -> list[float]:
    """The same by autograd, the published networks and PyTorch's own Adam."""
    target = torch.from_numpy(photo(size))
    if name == "idinvert":
        generator, encoder, vgg16 = (folder / file for file in IDINVERT)
        in_domain = load_model(read_checkpoints((generator, encoder)), NO_CHOICES)
        assert isinstance(in_domain, IdInvertModel)
        step = _in_domain_step(in_domain, read_features(vgg16), target)
    else:
        model, lpips = generator_model(size), read_lpips(*write_lpips(folder, TRUNKS[name]))
        make = _projection_step if name == "projection" else _tuning_step
        step = make(model, lpips, target, lpips.features(target))
    step()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return seconds


def _projection_step(model: Model, lpips: Lpips, target: Tensor, features: list[Tensor]) -> Callable[[], None]:
    codes = model.latent_avg[None].clone().requires_grad_()
    noises = [torch.randn_like(noise).requires_grad_() for noise in model.generator.noises.buffers()]
    for index, noise in enumerate(noises):
        setattr(model.generator.noises, f"noise_{index}", noise)
    adam = torch.optim.Adam([codes, *noises], lr=0.1)

    def step() -> None:
        adam.zero_grad()
        picture = F.adaptive_avg_pool2d(model.generator(codes), target.shape[-1])
        (lpips(picture, target, features)["lpips"] + 1e5 * noise_correlation(noises)).backward()
        adam.step()
        for noise in noises:
            noise.data = (noise.data - noise.data.mean()) / noise.data.std()

    return step


def _tuning_step(model: Model, lpips: Lpips, target: Tensor, features: list[Tensor]) -> Callable[[], None]:
    model.generator.requires_grad_(True)
    model.generator.style.requires_grad_(False)
    adam = torch.optim.Adam([each for each in model.generator.parameters() if each.requires_grad], lr=3e-4)
    codes = torch.zeros_like(model.latent_avg)[None]

    def step() -> None:
        adam.zero_grad()
        terms = lpips(F.adaptive_avg_pool2d(model.generator(codes), target.shape[-1]), target, features)
        (terms["mse"] + terms["lpips"]).backward()
        adam.step()

    return step


def _in_domain_step(model: IdInvertModel, criterion: Criterion, target: Tensor) -> Callable[[], None]:
    codes, features = model.encoder(target).detach().requires_grad_(), criterion.features(target)
    adam = torch.optim.Adam([codes], lr=0.01)

    def step() -> None:
        adam.zero_grad()
        picture = model.generator(codes)
        terms = {**criterion(picture, target, features), "encoder": F.mse_loss(model.encoder(picture), codes)}
        torch.stack([WEIGHTS[term] * value for term, value in terms.items()]).sum().backward()
        adam.step()

    return step


def alone(
    side: str, bundle: GraphsBundle | Path, folder: Path, name: str, size: int, rounds: int
) -> tuple[list[float], int]:
    """Seconds of steps and peak bytes, for a process of its own."""
    if side == "torch":
        seconds = torch_steps(folder, name, size, rounds)
    else:
        seconds = runtime_steps(bundle, name, side, size, rounds)
    return seconds, peak_memory()


def main() -> None:
    """Print a line a side, and what share of PyTorch's time it takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in options.only:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            bundle = written(folder, name, options.size)
            times: dict[str, list[float]] = {}
            peaks: dict[str, int] = {}
            for _ in range(3):
                for side in ("torch", *available()):
                    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                        job = pool.submit(alone, side, bundle, folder, name, options.size, options.rounds)
                        seconds, peaks[side] = job.result()
                    times.setdefault(side, []).extend(seconds)
        eager = median(times["torch"])
        found[name] = {
            side: {"seconds": median(each), "of_torch": median(each) / eager, "peak_bytes": peaks[side]}
            for side, each in times.items()
        }
        for side, row in found[name].items():
            limit = LIMITS.get((name, side))
            wanted = "" if limit is None else f"  (at most {limit} wanted)"
            memory = f"{row['peak_bytes'] / 2**30:5.2f} GiB"
            print(f"{name:10} {side:12} {row['seconds']:7.3f} s  {row['of_torch']:5.2f} of eager  {memory}{wanted}")
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
