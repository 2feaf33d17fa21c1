"""Differences and what they allow, the reference that is asked for, and the words that explain a failure."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from hyperstyle_deploy.errors import BackendError, BundleError
from hyperstyle_deploy.runtime.bundle.reader import Bundle
from hyperstyle_deploy.runtime.quality.tolerance import GPU_TOLERANCE, LEAST_PSNR, TOLERANCE, least_psnr, tolerance
from hyperstyle_deploy.runtime.quality.verification.bisect import Bisection, Fault
from hyperstyle_deploy.runtime.quality.verification.explain import explanation
from hyperstyle_deploy.runtime.quality.verification.plain_backend import PlainBackend, reference_bundle
from hyperstyle_deploy.runtime.quality.verification.stages import StageDifference
from hyperstyle_deploy.runtime.quality.verification.steps import StepComparison, difference
from hyperstyle_deploy.runtime.quality.verification.verify import Comparison, Verifier
from hyperstyle_deploy.tests.tiny_bundle import TinyBundle

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


def rewritten(bundle: TinyBundle, **changes: object) -> Bundle:
    document = json.loads((bundle.path / "bundle.json").read_text())
    (bundle.path / "bundle.json").write_text(json.dumps(document | changes))
    return Bundle.open(bundle.path)


def test_the_reference_is_float32_and_of_the_same_model(tiny_bundle: TinyBundle) -> None:
    bundle = Bundle.open(tiny_bundle.path)
    assert reference_bundle(bundle, None) is bundle
    narrow = dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, precision="float16"))
    origin = {**bundle.manifest.provenance, "calibration": {"format": "int8", "least_psnr": 40.0}}
    calibrated = dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, provenance=origin))
    for other in (narrow, calibrated):
        assert reference_bundle(other, bundle) is bundle
    with pytest.raises(BundleError, match=r"--reference.*hyperstyle-deploy export tiny\.pt"):
        reference_bundle(narrow, None)
    for arguments in ((calibrated, None), (bundle, calibrated)):  # or it would be compared with itself
        with pytest.raises(BundleError, match=r"Got: float32\+int8"):
            reference_bundle(*arguments)
    with pytest.raises(BundleError, match="another model"):
        reference_bundle(bundle, rewritten(tiny_bundle, model="1" * 64))


def failed(**changes: object) -> Comparison:
    off, good = difference(ZEROS + 1, ZEROS, 0.1), difference(ZEROS, ZEROS, 0.1)
    step = StepComparison(1, good, off, None, None, 10.0, 90.0, True, 0.5, 1.0)
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


def test_nodes_are_refused_before_anything_runs(tiny_bundle: TinyBundle) -> None:
    bundle = Bundle.open(tiny_bundle.path)
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
