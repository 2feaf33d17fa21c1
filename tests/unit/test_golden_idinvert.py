"""IDInvert as its authors' code computes it at 256: networks, bundle, and five steps of the optimisation.

In the published layout with seeded weights, 1.6 GB of bundle: with the exhaustive tests alone.
"""

import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hyperstyle_deploy.export.exporter import export
from hyperstyle_deploy.export.methods.loading import load_model, read_checkpoints
from hyperstyle_deploy.export.methods.model import NO_CHOICES
from hyperstyle_deploy.export.seeded_idinvert import PUBLISHED256, write_idinvert
from hyperstyle_deploy.runtime.backends import available
from hyperstyle_deploy.runtime.images import network_input
from hyperstyle_deploy.runtime.methods.idinvert import GRADIENT_GRAPH
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.tests.quick_tracing import quicken_tracing
from hyperstyle_deploy.tests.unit.test_golden import DATA, Record, central, largest, pooled

pytestmark = pytest.mark.exhaustive
#: Codes and pictures; losses before any step, relative; the gradient, absolute.
LIMIT, FIRST_LOSS, GRADIENT = 5e-5, 1e-5, 1e-5
#: Terms after steps, relative. Adam's first step follows a gradient's sign alone, so a code whose gradient is within
#: rounding of 0 may go the other way, 0.02 apart: of a few among 7168 the encoder's term, small as it is, notices.
LATER_LOSS = {"mse": 1e-4, "feature": 1e-4, "encoder": 1e-3}
#: Codes and pictures after steps, the codes where the first gradient was not tiny; and how many may be off at all.
STATE, TINY_GRADIENT, OFF = 2e-3, 1e-5, 0.01
STEPS = 5
WEIGHTS = {"mse": 1.0, "feature": 5e-5, "encoder": 2.0}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, ...]]:
    quicken_tracing()
    folder = tmp_path_factory.mktemp("idinvert256")
    yield write_idinvert(folder, PUBLISHED256)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def bundle(files: tuple[Path, ...]) -> Path:
    return export(files[:2], files[0].parent / "bundle", vgg16=files[2]).path


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    return dict(np.load(DATA / "idinvert256.npz"))


@torch.no_grad()
def test_the_networks_are_the_authors(files: tuple[Path, ...], expected: dict[str, np.ndarray]) -> None:
    model = load_model(read_checkpoints(files[:2]), NO_CHOICES)
    generator = model.generator
    photo = torch.from_numpy(network_input([Image.open(DATA / "idinvert.png").convert("RGB")], 256, 256))
    codes = model.encoder(photo)
    image = generator(codes)[0].numpy()
    stream = np.random.Generator(np.random.PCG64(zlib.crc32(b"idinvert256.z")))
    z = torch.from_numpy(stream.standard_normal((1, 512), dtype=np.float32))
    w = generator.mapping(z)
    truncated = generator.truncation(w)
    found = {
        "codes": codes[0].numpy(),
        "image_pool64": pooled(image),
        "image_crop64": central(image),
        "z_w": w.flatten().numpy(),
        "z_wp_row0": truncated[0, 0].numpy(),
        "z_wp_row8": truncated[0, 8].numpy(),
        "z_image_pool64": pooled(generator(truncated)[0].numpy()),
    }
    outside = {name: largest(array, expected[name]) for name, array in found.items()}
    assert max(outside.values()) <= LIMIT, outside
    # The authors round to 8 bits where everything here truncates.
    rounded = np.clip((image + 1) * np.float32(127.5) + np.float32(0.5), 0, 255).astype(np.uint8)
    off = np.abs(central(rounded).transpose(1, 2, 0).astype(int) - expected["post_crop64"])
    assert off.max() <= 1
    assert off.mean() < 1e-3


@pytest.mark.parametrize("backend", available())
def test_the_optimisation_is_the_authors(
    bundle: Path, backend: str, expected: dict[str, np.ndarray], record_property: Record
) -> None:
    session = load(bundle, backend=backend)
    photo = session.prepare([DATA / "idinvert.png"])
    check_gradient(session, photo, expected, record_property)
    tiny = np.abs(expected["gradient0"]) < TINY_GRADIENT
    assert tiny.mean() < 0.2
    for step in session.refine(photo, STEPS):
        if step.index < STEPS:
            losses, (*terms, total) = step.losses(0), expected["losses"][step.index]
            for (name, limit), value in zip(LATER_LOSS.items(), terms, strict=True):
                allowed = limit if step.index else FIRST_LOSS
                np.testing.assert_allclose(losses[name], value, rtol=allowed, err_msg=f"{name} {step.index}")
            ours = sum(WEIGHTS[name] * value for name, value in losses.items())
            record_property(f"{backend} loss {step.index}", f"{abs(ours / total - 1):.1e}")
            np.testing.assert_allclose(ours, total, rtol=1e-4 if step.index else FIRST_LOSS)
        if step.index == 0:
            assert largest(step.codes[0], expected["codes"]) <= LIMIT
            assert largest(pooled(step.image[0]), expected["image_pool64"]) <= LIMIT
            assert largest(central(step.image[0]), expected["image_crop64"]) <= LIMIT
        elif f"step{step.index - 1}_codes" in expected:
            off = np.abs(step.codes[0] - expected[f"step{step.index - 1}_codes"])
            told = f"{off[~tiny].max():.1e}, {(off > STATE).sum()} of {off.size} are off at all"
            record_property(f"{backend} codes {step.index}", told)
            assert off[~tiny].max() <= STATE
            assert (off > STATE).mean() <= OFF
        else:
            rows = np.abs(step.codes[0][[0, 6, 13]] - expected[f"step{step.index - 1}_codes_rows"])
            assert rows[~tiny[[0, 6, 13]]].max() <= STATE
    assert largest(pooled(step.image[0]), expected["final_pool64"]) <= STATE
    assert largest(central(step.image[0]), expected["final_crop64"]) <= STATE


def check_gradient(session: Session, photo: np.ndarray, expected: dict[str, np.ndarray], record: Record) -> None:
    """The first gradient, at the encoder's codes."""
    backend = session._backend
    (state,) = backend.method.start(backend, photo)
    found = backend.run(GRADIENT_GRAPH, {"target": photo, **state})["gradient.codes"]
    off = largest(found[0], expected["gradient0"])
    record(f"{session.backend} gradient", f"{off:.1e}")
    assert off <= GRADIENT
