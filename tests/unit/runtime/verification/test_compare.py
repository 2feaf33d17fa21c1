"""Differences and what they allow, the reference that is asked for, and the words that explain a failure."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hyperstyle_deploy.errors import BackendError, BundleError
from hyperstyle_deploy.runtime.bundle.reader import Bundle
from hyperstyle_deploy.runtime.quality.tolerance import GPU_TOLERANCE, LEAST_PSNR, TOLERANCE, least_psnr, tolerance
from hyperstyle_deploy.runtime.quality.verification.bisect import Bisection, Fault
from hyperstyle_deploy.runtime.quality.verification.explain import explanation
from hyperstyle_deploy.runtime.quality.verification.plain_backend import PlainBackend, reference_bundle
from hyperstyle_deploy.runtime.quality.verification.stages import StageDifference
from hyperstyle_deploy.runtime.quality.verification.steps import (
    Expected,
    StepComparison,
    _pooled,
    compare_steps,
    difference,
)
from hyperstyle_deploy.runtime.quality.verification.verify import Comparison, Verifier
from hyperstyle_deploy.tests.toy_bundle import ToyBundle

ZEROS = np.zeros(4, np.float32)


def test_a_difference_is_largest_and_mean_and_its_limit_grows_with_the_reference() -> None:
    wanted = np.array([0, 0, 0, 8], np.float32)
    found = difference(wanted + np.float32([0, 0.5, 0, -0.25]), wanted, 0.1)
    assert (found.largest, found.mean, found.limit) == (0.5, 0.1875, pytest.approx(0.8))
    assert found.within
    assert difference(ZEROS, ZEROS, 0.1).limit == 0.1  # below 1 it is absolute
    assert difference(wanted / 1000, wanted / 1000, 0.1, floor=0.0).limit == pytest.approx(8e-4)  # unless asked
    assert not difference(wanted, ZEROS, 0.1).within


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_counted_and_never_within(bad: float) -> None:
    found = difference(np.float32([bad, 0, 0, bad]), ZEROS, math.inf)
    assert found.bad == 2
    assert not found.within
    assert not difference(np.zeros(3, np.float32), ZEROS, 1.0).within  # another shape neither


def test_limits_are_the_tables() -> None:
    assert tolerance("float32") == TOLERANCE["float32"]
    assert tolerance("float32", gpu=True) == GPU_TOLERANCE["float32"]
    assert tolerance("float16", gpu=True) == TOLERANCE["float16"]
    assert tolerance("bf16") == TOLERANCE["bfloat16"]
    assert least_psnr("bf16") == LEAST_PSNR["bfloat16"]


def test_the_reference_is_float32_and_of_the_same_model(toy_bundle: ToyBundle, toys: Callable[..., Path]) -> None:
    bundle = Bundle.open(toy_bundle.path)

    def other(**changes: object) -> Bundle:
        return dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, **changes))

    assert reference_bundle(bundle, None) is bundle
    narrow = other(precision="float16")
    calibrated = other(provenance={"calibration": {"format": "int8", "least_psnr": 40.0}})
    for each in (narrow, calibrated):
        assert reference_bundle(each, bundle) is bundle
    with pytest.raises(BundleError, match=r"--reference.*hyperstyle-deploy export faces\.pt"):
        reference_bundle(narrow, None)
    for arguments in ((calibrated, None), (bundle, calibrated)):  # or it would be compared with itself
        with pytest.raises(BundleError, match=r"Got: float32\+int8"):
            reference_bundle(*arguments)
    with pytest.raises(BundleError, match=r"has another model\. Got: 111111111111\. Expected: 000000000000"):
        reference_bundle(bundle, other(model="1" * 64))
    with pytest.raises(BundleError, match=r"has another method\. Got: psp\. Expected: e4e"):
        reference_bundle(Bundle.open(toys("e4e")), Bundle.open(toys("psp")))
    image = dataclasses.replace(bundle.manifest.image, rows=(0, 16))
    with pytest.raises(BundleError, match="has another image"):
        reference_bundle(bundle, other(image=image))


class Played:
    """A session whose loop is written here."""

    precision = "float32"

    def __init__(self, bundle: Bundle, *steps: SimpleNamespace) -> None:
        self.manifest, self._steps = bundle.manifest, steps

    def refine(self, images: object, steps: int) -> Iterator[SimpleNamespace]:
        return iter(self._steps)


def test_steps_are_compared_by_the_names_of_their_arrays(toys: Callable[..., Path]) -> None:
    bundle = Bundle.open(toys("hyperstyle"))
    image = np.random.default_rng(0).random((1, 3, 256, 256), np.float32) * 2 - 1
    large = dataclasses.replace(bundle.manifest.image, input_height=256, input_width=256)
    bundle = dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, image=large))
    noise = np.random.default_rng(1).random(image.shape, np.float32) * np.float32(1e-3)
    arrays = {"codes": np.ones((8, 8), np.float32), "offset_codes": np.ones((4, 5), np.float32)}
    off = {**arrays, "offset_codes": arrays["offset_codes"] + np.float32(0.25)}
    got = SimpleNamespace(index=0, image=image + noise, arrays=lambda photo: off)
    (step,) = compare_steps(Played(bundle, got), image, [Expected(0, arrays, image)], 0, look=True)
    assert list(step.differences) == ["codes", "offset_codes", "image"]
    assert [each.largest for each in step.arrays.values()] == [0, 0.25]
    assert step.image.largest == pytest.approx(noise.max(), rel=1e-3)
    assert step.psnr == pytest.approx(10 * math.log10(4 / np.square(noise, dtype=np.float64).mean()), abs=1e-3)
    assert 0.999 < step.ms_ssim < 1
    assert step.l2 == pytest.approx(np.square(noise, dtype=np.float64).mean(), rel=1e-3)
    assert step.pictures.error.shape == (256, 256)
    assert not step.within
    # What the reference does not have is not compared; small images have no MS-SSIM.
    small = bundle.manifest.generator.size
    got = SimpleNamespace(index=0, image=image[..., :small, :small], arrays=lambda photo: off)
    few = [Expected(0, {"codes": arrays["codes"]}, got.image)]
    (step,) = compare_steps(Played(Bundle.open(toys("hyperstyle")), got), image, few, 0)
    assert list(step.differences) == ["codes", "image"]
    assert step.ms_ssim is None
    assert step.within


@pytest.mark.parametrize(("size", "width", "pooled"), [(64, 64, 64), (1024, 256, 256), (256, 100, 128), (64, 48, 64)])
def test_images_are_looked_at_near_the_networks_size(size: int, width: int, pooled: int) -> None:
    image = np.broadcast_to(np.arange(size, dtype=np.float32), (3, size - 1, size))  # an odd number of rows
    found = _pooled(image, width)
    assert found.shape == (3, (size - 1) * pooled // size, pooled)
    assert found[0, 0, 0] == (size // pooled - 1) / 2


def failed(**changes: object) -> Comparison:
    off, good = difference(ZEROS + 1, ZEROS, 0.1), difference(ZEROS, ZEROS, 0.1)
    step = StepComparison(1, {"codes": good}, None, off, 10.0, 90.0, True, 0.5, 1.0)
    stages = StageDifference("encoder", 0, "codes", good), StageDifference("hypernet", 2, "offset_codes", off)
    return dataclasses.replace(Comparison("x.png", "openvino", "float32", "it", (step,), stages), **changes)


def test_a_failure_is_explained_as_far_as_it_is_known() -> None:
    (line,) = explanation(failed())
    assert "hypernet" in line
    assert "offset_codes is off by 1.0e+00 at step 2" in line
    assert explanation(failed(stages=())) == []
    grows = failed(stages=failed().stages[:1])
    assert "loop itself" in explanation(grows)[0]
    off = difference(ZEROS + 1, ZEROS, 0.1)
    found = Bisection("hypernet", 2, 12, 30, Fault("conv_3", "Conv", "features", off, 0.01))
    assert "conv_3 (Conv)" in explanation(failed(bisection=found))[-1]
    fused = explanation(failed(bisection=dataclasses.replace(found, fault=None)))[-1]
    assert "No single node" in fused
    assert "12 of 30" in fused


def test_nodes_are_refused_before_anything_runs(toy_bundle: ToyBundle) -> None:
    bundle = Bundle.open(toy_bundle.path)
    verifier = Verifier(bundle, PlainBackend(bundle), {})
    verifier.backends = {"tensorrt": None}
    with pytest.raises(BackendError, match="Leave out --bisect"):
        next(verifier.run([], 1, find_node=True))
    verifier.bundle = dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, precision="float16"))
    with pytest.raises(BundleError, match="float16"):
        next(verifier.run([], 1, find_node=True))


def test_drift_is_the_last_steps_error_over_the_first(tmp_path: Path) -> None:
    step = failed().steps[0]
    small = dataclasses.replace(step, image=difference(ZEROS + np.float32(0.25), ZEROS, 0.5))
    assert failed(steps=(small, step)).drift == 4
    exact = dataclasses.replace(step, image=difference(ZEROS, ZEROS, 0.5))
    assert failed(steps=(exact, step)).drift is None
