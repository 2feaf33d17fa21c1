"""Optimisations on the stand-in device: Adam as a graph, steps recorded once, nothing but losses down in between."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hyperstyle_deploy.kernels.library import KernelLibrary
from hyperstyle_deploy.runtime.bundle.reader import Bundle
from hyperstyle_deploy.runtime.methods.optimisation import Optimisation
from hyperstyle_deploy.runtime.methods.settings import Settings
from hyperstyle_deploy.runtime.session import load
from hyperstyle_deploy.tests.small_bundle import SIZE, STYLES, WIDTH
from hyperstyle_deploy.tests.unit.runtime.test_device_backend import OTHER, PHOTO, Rig, same

GRADIENTS = ("projection", "pti", "pti-locality")
FORMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "projection": ("e4e", "projection", {"space": "w"}),
    "idinvert, on its own bundle": ("idinvert", "idinvert", {"rate": 0.02}),
    "pti behind hyperstyle": ("hyperstyle", "pti", {"rate": 0.01}),
    "pti behind restyle, held locally": ("restyle-e4e", "pti", {"rate": 0.01, "locality": True}),
}


def with_gradients(toys: Callable[..., Path], base: str) -> Path:
    """The toy bundle of a method, and all gradients that it may have; IDInvert has its own."""
    return toys(base) if base == "idinvert" else toys(base, gradients=GRADIENTS)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_an_optimisation_on_a_device_is_the_hosts(
    toys: Callable[..., Path], cpu_library: KernelLibrary, form: tuple[str, str, dict[str, Any]]
) -> None:
    base, method, options = form
    path, settings = with_gradients(toys, base), Settings(**options)
    rig = Rig(Bundle.open(path, method, settings), cpu_library, recordable=True)
    host = load(path, backend="onnxruntime", threads=1, method=method, settings=settings)
    for photos in ([PHOTO, OTHER], [OTHER, PHOTO]):
        pairs = zip(rig.session.invert(photos, steps=6), host.invert(photos, steps=6), strict=True)
        for ours, want in pairs:
            same(ours, want)
    # One recording for the start, one for a step, for both batches; the weights of the images are drawn plainly.
    assert (rig.device.recorded, rig.device.replays) == (2, 2 * 7)


@pytest.mark.parametrize(("base", "method"), [("e4e", "pti"), ("idinvert", "idinvert")])
def test_nothing_but_losses_and_lengths_come_down_between_start_and_result(
    toys: Callable[..., Path], cpu_library: KernelLibrary, base: str, method: str
) -> None:
    bundle = Bundle.open(with_gradients(toys, base), method)
    rig = Rig(bundle, cpu_library, recordable=True)
    rig.session.invert(PHOTO, steps=5)
    assert isinstance(bundle.method, Optimisation)
    wanted = Counter({(8, "float64"): 6})  # L2
    wanted[4, "float32"] += 6 * 2 * len(bundle.method.terms)  # looked at for what is not finite and for early stop
    wanted[4 * len(bundle.method.gradient_tensors()), "float32"] += 6
    wanted.update((4 * _numbers(spec), "float32") for spec in bundle.method.state())  # the result, and its picture
    wanted[3 * SIZE * SIZE, "uint8"] += 1
    assert Counter(rig.device.downloaded) == wanted


def test_an_exported_gradient_on_a_device_is_the_hosts(in_domain: Path, cpu_library: KernelLibrary) -> None:
    """IDInvert's own, with its encoder and VGG16 in the loss; features are seen once, at the start."""
    rig = Rig(Bundle.open(in_domain), cpu_library, recordable=True)
    host = load(in_domain, backend="onnxruntime", threads=1)
    for photo in (PHOTO, OTHER):
        ours, want = rig.session.invert(photo, steps=4), host.invert(photo, steps=4)
        np.testing.assert_allclose(ours.l2, want.l2, rtol=1e-4)
        # A number whose gradient is within rounding of 0 may go either way, by the rate a step.
        assert (np.abs(ours.codes - want.codes) > 1e-3).mean() < 0.02
    assert (rig.device.recorded, rig.device.replays) == (2, 2 * 5)
    once = ["encoder", "features", "idinvert_gradient"]
    assert Counter(rig.runner.runs)["features"] == Counter(rig.runner.runs)["encoder"]
    assert rig.runner.runs[: len(once)] == once


#: Of each optimisation: its bundle, the graphs of a step in order, and what goes up for it: its number, rates, what is
#: drawn.
STEPS = {
    "pti": ("e4e", ["adam_differences", "pti_gradient"], [4, 8]),
    "idinvert": ("idinvert", ["adam_codes", "idinvert_gradient"], [4, 8]),
    "projection": (
        "e4e",
        ["adam_codes", "adam_noises", "projection_noises", "projection_gradient"],
        [4, 4, 8, 4 * STYLES * WIDTH],
    ),
}


@pytest.mark.parametrize("method", STEPS)
def test_a_step_is_one_replay_of_adam_and_the_gradient(
    toys: Callable[..., Path], cpu_library: KernelLibrary, method: str
) -> None:
    base, graphs, sizes = STEPS[method]
    rig = Rig(Bundle.open(with_gradients(toys, base), method), cpu_library, recordable=True)
    steps = rig.session.refine(rig.session.prepare([PHOTO]), 5)
    next(steps)
    next(steps)  # the first step is recorded, which runs it once besides
    for _ in range(4):
        before = len(rig.runner.runs), rig.device.replays, rig.device.recorded, rig.device.downloads
        sent, taken = len(rig.device.uploaded), rig.device.bytes
        next(steps)
        assert rig.runner.runs[before[0] :] == graphs
        assert (rig.device.replays, rig.device.recorded) == (before[1] + 1, before[2])
        assert rig.device.downloads == before[3]  # nobody has looked at the step
        assert sorted(rig.device.uploaded[sent:]) == sizes
    assert rig.device.bytes == taken  # the last step found all of its memory


def _numbers(spec: Any) -> int:
    return int(np.prod(spec.sized(0)))
