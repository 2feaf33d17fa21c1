"""The networks in PyTorch against the authors' own numbers: pSp, e4e and ReStyle at 256, at every step."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy.export.methods.loading import load_model, read_checkpoints
from hyperstyle_deploy.export.methods.model import NO_CHOICES
from hyperstyle_deploy.export.published_loop import ReferenceStep, refine
from hyperstyle_deploy.export.seeded import published_sizes, write_checkpoints
from hyperstyle_deploy.runtime.images import network_input
from hyperstyle_deploy.tests.unit.test_golden import DATA, Record, central, largest, pooled, relative

LIMIT = 5e-5


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("tag", "method", "steps"), [("psp256", "psp", 0), ("e4e256", "e4e", 0), ("restyle_e4e256", "restyle-e4e", 3)]
)
def test_every_step_matches_the_authors_code(
    tag: str, method: str, steps: int, tmp_path: Path, record_property: Record
) -> None:
    files = read_checkpoints(write_checkpoints(tmp_path, method, published_sizes(256)))
    photo = network_input([Image.open(DATA / "faces.png").convert("RGB")], 256, 256)
    states = refine(load_model(files, NO_CHOICES), photo, steps)
    expected = np.load(DATA / f"{tag}.npz")
    found = [difference for state in states for difference in differences(state, steps > 0, expected)]
    compared = {what for what, _ in found}
    assert compared == set(expected)
    record_property(tag, f"{max(value for _, value in found):.1e}")
    outside = [f"{what}: {value:.2e}" for what, value in found if not value <= LIMIT]
    assert not outside, outside


def differences(state: ReferenceStep, refined: bool, expected: Mapping[str, np.ndarray]) -> Iterator[tuple[str, float]]:
    """What of a state was compared, and by how much it differs: the files count passes of the encoder from 0."""
    index, image = state.index - refined, state.image[0]
    if index < 0:
        yield "average_image_pool64", largest(pooled(image), expected["average_image_pool64"])
        return
    distance = relative if refined else largest
    yield f"codes{index}", distance(state.codes[0], expected[f"codes{index}"])
    yield f"image{index}_pool64", distance(pooled(image), expected[f"image{index}_pool64"])
    yield f"image{index}_crop64", distance(central(image), expected[f"image{index}_crop64"])
