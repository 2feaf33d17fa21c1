"""One training loop for every network: seeded, resumable, with its progress, log and settings beside the weights."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator as Random
from rich.console import Console
from torch import Tensor, nn

SAVE_SECONDS = 90
CLIP = 10.0
LOG_STEPS = 100
#: The last part of a training, in which the learning rate falls to nothing.
DECAY = 0.3


@dataclass
class Training:
    """What is trained and on what.

    ``batch`` gets the step's own random stream (so that a resumed run draws what an uninterrupted one would) and how
    much of the training is done, in [0, 1). It yields named figures for the log each time that it has back-propagated
    a loss: then the optimiser steps.
    """

    name: str
    networks: dict[str, nn.Module]
    groups: list[dict]
    batch: Callable[[Random, float], Iterator[dict[str, float]]]
    settings: dict


def rate(step: int, steps: int) -> float:
    """Factor of the learning rate: rises over 200 steps or a tenth, stays at 1, falls linearly in the last `DECAY`."""
    return min(1.0, (step + 1) / min(200, steps / 10), (steps - step) / (DECAY * steps))


def train(training: Training, folder: Path, steps: int, seed: int = 0, stop_at: int | None = None) -> None:
    """Train from where ``folder`` left off up to ``steps`` steps; its files are the checkpoint, log and settings.

    ``stop_at`` ends this run early, as an interruption just after a checkpoint does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optimiser = torch.optim.Adam(training.groups, betas=(0.9, 0.99))
    trained = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    base = [group["lr"] for group in optimiser.param_groups]
    checkpoint, log = folder / f"{training.name}.training.pt", folder / f"{training.name}.jsonl"
    step, spent = _resume(checkpoint, training, optimiser)
    settings = {"steps": steps, "seed": seed, **training.settings}
    (folder / f"{training.name}.settings.json").write_text(json.dumps(settings, indent=2) + "\n")
    console, started, saved = Console(), time.monotonic(), time.monotonic()
    sums: dict[str, list[float]] = {}
    last = min(steps, stop_at or steps)
    while step < last:
        for group, lr in zip(optimiser.param_groups, base, strict=True):
            group["lr"] = lr * rate(step, steps)
        for figures in training.batch(np.random.Generator(np.random.Philox(key=[seed, step])), step / steps):
            nn.utils.clip_grad_norm_(trained, CLIP, error_if_nonfinite=True)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            for name, value in figures.items():
                sums.setdefault(name, []).append(value)
        step += 1
        now = time.monotonic()
        if step % LOG_STEPS == 0:
            means = {name: round(float(np.mean(values)), 6) for name, values in sums.items()}
            sums = {}
            seconds = round(spent + now - started, 1)
            with log.open("a") as file:
                file.write(json.dumps({"step": step, "seconds": seconds, **means}) + "\n")
            console.print(f"{training.name} {step}/{steps} {seconds:.0f} s {means}")
        if step == last or now - saved > SAVE_SECONDS:
            saved = now
            _save(checkpoint, training, optimiser, step, spent + now - started)


def load_network(folder: Path, training: str, network: nn.Module) -> nn.Module:
    """Fill ``network`` from where the training of that name stands, for inference."""
    content = torch.load(folder / f"{training}.training.pt", weights_only=True)
    (state,) = content["networks"].values()
    network.load_state_dict(state)
    return network.eval()


def _resume(checkpoint: Path, training: Training, optimiser: torch.optim.Optimizer) -> tuple[int, float]:
    if not checkpoint.exists():
        return 0, 0.0
    content = torch.load(checkpoint, weights_only=True)
    for name, network in training.networks.items():
        network.load_state_dict(content["networks"][name])
    optimiser.load_state_dict(content["optimiser"])
    return content["step"], content["seconds"]


def _save(checkpoint: Path, training: Training, optimiser: torch.optim.Optimizer, step: int, seconds: float) -> None:
    networks: dict[str, dict[str, Tensor]] = {name: net.state_dict() for name, net in training.networks.items()}
    content = {"networks": networks, "optimiser": optimiser.state_dict(), "step": step, "seconds": seconds}
    partial = checkpoint.with_suffix(".part")
    torch.save(content, partial)
    partial.replace(checkpoint)
