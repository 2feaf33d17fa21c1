"""The networks in PyTorch against the authors' own numbers: pSp, e4e and ReStyle at 256, at every step."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy.export.methods.loading import load_model, read_checkpoints
from hyperstyle_deploy.export.methods.model import NO_CHOICES
from hyperstyle_deploy.export.published_loop import refine
from hyperstyle_deploy.runtime.images import network_input
from hyperstyle_deploy.tests.unit.test_golden import (
    DATA,
    E4E256,
    PSP256,
    RESTYLE256,
    Golden,
    Record,
    picture_differences,
)

LIMIT = 5e-5


@pytest.mark.exhaustive
@pytest.mark.parametrize("golden", [PSP256, E4E256, RESTYLE256], ids=lambda golden: golden.tag)
def test_every_step_matches_the_authors_code(golden: Golden, tmp_path: Path, record_property: Record) -> None:
    expected = np.load(DATA / f"{golden.tag}.npz")
    model = load_model(read_checkpoints(golden.write_checkpoints(tmp_path)), NO_CHOICES)
    photo = network_input([Image.open(golden.photo).convert("RGB")], 256, 256)
    found = [
        difference
        for step in refine(model, photo, golden.steps)
        for difference in picture_differences(golden, step.index, step.codes[0], step.image[0], expected)
    ]
    compared = {what for what, _ in found}
    assert f"codes {golden.steps}" in compared
    assert f"image {golden.steps}, crop" in compared
    record_property(golden.tag, f"{max(value for _, value in found):.1e}")
    outside = [f"{what}: {value:.2e}" for what, value in found if not value <= LIMIT]
    assert not outside, outside
