"""Calibration of every method, on the tiny layout: what it promises is kept, or nothing is written."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hyperstyle_deploy.calibration.calibrate import calibrate
from hyperstyle_deploy.calibration.settings import Settings
from hyperstyle_deploy.demo import PHOTO
from hyperstyle_deploy.runtime.quality.tolerance import psnr
from hyperstyle_deploy.runtime.session import load


@pytest.mark.parametrize("method", ["hyperstyle", "e4e"])
def test_a_method_is_calibrated_and_keeps_its_promise(tinies: Callable[..., Path], tmp_path: Path, method: str) -> None:
    source, steps = tinies(method), 1 if method == "hyperstyle" else 0
    settings = Settings(steps=steps, checked=1, backend="onnxruntime", least_psnr=35.0)
    report = calibrate(source, [PHOTO], tmp_path / "int8.bundle", settings)
    assert report.met
    assert any(block.quantized for block in report.blocks)
    plain, narrow = (load(path, "onnxruntime") for path in (source, tmp_path / "int8.bundle"))
    assert (narrow.precision, narrow.manifest.model) == ("float32+int8", plain.manifest.model)
    photo = plain.prepare([PHOTO])
    states = zip(plain.refine(photo, steps), narrow.refine(photo, steps), strict=True)
    assert min(psnr(got.image, want.image) for want, got in states) >= 35
