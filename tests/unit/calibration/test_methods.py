"""Calibration of every method, on the tiny layout: what it promises is kept, or nothing is written."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hyperstyle_deploy.calibration.calibrate import calibrate
from hyperstyle_deploy.calibration.settings import Settings
from hyperstyle_deploy.demo import PHOTO
from hyperstyle_deploy.runtime.bundle.reader import read_manifest
from hyperstyle_deploy.runtime.editing.direction import Direction
from hyperstyle_deploy.runtime.editing.folder import Directions
from hyperstyle_deploy.runtime.quality.tolerance import psnr
from hyperstyle_deploy.runtime.session import load


@pytest.mark.parametrize("method", ["hyperstyle", "e4e"])
def test_a_method_is_calibrated_and_keeps_its_promise(tinies: Callable[..., Path], tmp_path: Path, method: str) -> None:
    source, steps = tmp_path / "source.bundle", 1 if method == "hyperstyle" else 0
    shutil.copytree(tinies(method), source)
    manifest = read_manifest(source)
    vector = np.ones((1, manifest.generator.width), np.float32)
    Directions(source, manifest).add([Direction("smile", vector, (0, 1), (-1, 1), manifest.model)])
    settings = Settings(steps=steps, checked=1, backend="onnxruntime", least_psnr=35.0)
    report = calibrate(source, [PHOTO], tmp_path / "int8.bundle", settings)
    assert report.met
    assert any(block.quantized for block in report.blocks)
    plain, narrow = (load(path, "onnxruntime") for path in (source, tmp_path / "int8.bundle"))
    assert (narrow.precision, narrow.manifest.model) == ("float32+int8", plain.manifest.model)
    assert "smile" in narrow.directions.names() == plain.directions.names()
    photo = plain.prepare([PHOTO])
    states = zip(plain.refine(photo, steps), narrow.refine(photo, steps), strict=True)
    assert min(psnr(got.image, want.image) for want, got in states) >= 35
