"""The trained encoders of pSp, e4e and ReStyle: held-out faces come out, as well as these weights can."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hyperstyle_deploy.demo import CHECKPOINT, MODEL
from hyperstyle_deploy.export.checkpoint import read_checkpoint
from hyperstyle_deploy.export.exporter import export
from hyperstyle_deploy.export.methods.inversion import load_inversion
from hyperstyle_deploy.export.methods.model import NO_CHOICES
from hyperstyle_deploy.export.published_loop import refine
from hyperstyle_deploy.runtime.session import load
from hyperstyle_deploy.tests.quick_tracing import quicken_tracing
from hyperstyle_deploy.training.checkpoints import encoder_file, join
from hyperstyle_deploy.training.parameters import HELD_OUT, sample
from hyperstyle_deploy.training.pictures import draw

#: L2 of 16 faces, without extras and with, that a result may have at most: 8 % above what was measured.
LIMITS = {
    "psp": (0.0041, 0.0134),
    "e4e": (0.0042, 0.0206),
    "restyle-psp": (0.0040, 0.0132),
    "restyle-e4e": (0.0038, 0.0187),
}


@pytest.fixture(scope="module")
def faces() -> NDArray[np.float32]:
    """16 faces that no training has seen, without extras, and the same with them: [2, 16, 3, 64, 64]."""
    parameters, extras = sample(range(HELD_OUT, HELD_OUT + 16))
    return torch.stack([draw(parameters, 64), draw(parameters, 64, extras)]).clamp(-1, 1).numpy()


def joined(method: str, folder: Path) -> Path:
    """The encoder's file with the generator in it."""
    join(encoder_file(MODEL, method), CHECKPOINT, folder / "joined.pt")
    return folder / "joined.pt"


def l2(images: NDArray[np.float32], faces: NDArray[np.float32]) -> float:
    """Mean squared error over all of them."""
    return float(np.square(images - faces).mean())


@pytest.mark.parametrize("method", LIMITS)
def test_held_out_faces_come_out(method: str, faces: NDArray[np.float32], tmp_path: Path) -> None:
    model = load_inversion(read_checkpoint(joined(method, tmp_path)), NO_CHOICES)
    assert model.method.name == method
    for limit, photos in zip(LIMITS[method], faces, strict=True):
        errors = [l2(step.image, photos) for step in refine(model, photos, model.method.default_steps)]
        assert errors[-1] < limit
        if len(errors) > 1:  # from the average face on
            assert errors[0] > 0.1
            assert errors[-1] < errors[1] < 0.5 * errors[0]


@pytest.mark.exhaustive
@pytest.mark.parametrize("method", LIMITS)
def test_a_bundle_of_it_inverts_held_out_faces(method: str, faces: NDArray[np.float32], tmp_path: Path) -> None:
    quicken_tracing()
    bundle = export((joined(method, tmp_path),), tmp_path / "faces.bundle").path
    with load(bundle, backend="onnxruntime") as session:
        for limit, photos in zip(LIMITS[method], faces, strict=True):
            *_, last = session.refine(photos)
            assert l2(last.image, photos) < limit
