"""One step of projection and of PTI at 256 pixels: ONNX Runtime and OpenVINO beside PyTorch eager, in one run.

    python -m hyperstyle_deploy.benchmarks.optimisation_step [--size 256] [--rounds 5] [--json FILE]

Seeded weights in the published layout; VGG16 in projection's loss and AlexNet in PTI's, as their authors have it. A
step is forward, backward and Adam's update. Sides take turns, round by round; the median counts. PyTorch runs the
published formulation with autograd and ``torch.optim.Adam``. Peak memory is each side's own, in a process of its own.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hyperstyle_deploy.export.gradients.criterion import features_graph
from hyperstyle_deploy.export.gradients.losses import noise_correlation
from hyperstyle_deploy.export.gradients.perceptual import ALEXNET, VGG16, Lpips, read_lpips
from hyperstyle_deploy.export.gradients.projection import projection_constants, projection_graphs
from hyperstyle_deploy.export.gradients.seeded import write_lpips
from hyperstyle_deploy.export.gradients.tuning import tuning_constants, tuning_graphs
from hyperstyle_deploy.export.methods.model import Model
from hyperstyle_deploy.runtime.backends import Options, available, open_backend
from hyperstyle_deploy.runtime.methods.settings import Settings
from hyperstyle_deploy.runtime.profiling.environment import peak_memory
from hyperstyle_deploy.runtime.refinement.loop import refine
from hyperstyle_deploy.tests.unit.golden_graphs import GraphsBundle, generator_model, write_graphs

#: What the issue asks for: seconds of a step over PyTorch eager's.
LIMITS = {("projection", "onnxruntime"): 0.9, ("projection", "openvino"): 0.65}
LIMITS |= {("pti", "onnxruntime"): 0.7, ("pti", "openvino"): 0.55}
TRUNKS = {"projection": VGG16, "pti": ALEXNET}


def written(folder: Path, name: str, size: int) -> GraphsBundle:
    """The graphs of an optimisation on the seeded generator."""
    model, criterion = generator_model(size), read_lpips(*write_lpips(folder, TRUNKS[name]))
    if name == "projection":
        graphs, constants = projection_graphs(model, criterion), projection_constants(model, criterion)
    else:
        graphs, constants = tuning_graphs(model, criterion), tuning_constants(criterion)
    return write_graphs(folder, model, [features_graph(criterion, model.image), *graphs], constants)


def photo(size: int) -> np.ndarray:
    """A target [1, 3, size, size] in [-1, 1]."""
    return np.random.default_rng(0).uniform(-1, 1, (1, 3, size, size)).astype(np.float32)


def runtime_steps(bundle: GraphsBundle, name: str, backend: str, size: int, rounds: int) -> list[float]:
    """Seconds of each step of the loop, after one that warms up."""
    pivot = np.zeros((bundle.manifest.generator.styles, bundle.manifest.generator.width), np.float32)
    settings = Settings(pivot=pivot, until_lpips=0.0) if name == "pti" else Settings()
    running = open_backend(backend, bundle.running(name, settings), Options())
    marks = []
    for step in refine(running, photo(size), rounds + 1):
        assert np.isfinite(step.losses(0)["lpips"])
        marks.append(time.perf_counter())
    return [after - before for before, after in pairwise(marks[1:])]


def torch_steps(folder: Path, name: str, size: int, rounds: int) -> list[float]:
    """The same by autograd, the published generator and PyTorch's own Adam."""
    model, lpips = generator_model(size), read_lpips(*write_lpips(folder, TRUNKS[name]))
    target = torch.from_numpy(photo(size))
    features = lpips.features(target)
    step = (_projection_step if name == "projection" else _tuning_step)(model, lpips, target, features)
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


def alone(side: str, bundle: GraphsBundle, folder: Path, name: str, size: int, rounds: int) -> tuple[list[float], int]:
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
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in TRUNKS:
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
