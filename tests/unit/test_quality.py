"""The trained model does what it was trained to do, in every backend, precision and batch."""

from pathlib import Path

import numpy as np
import pytest

from hyperstyle_deploy.demo import BUNDLE, CHECKPOINT, ENCODER, MODEL
from hyperstyle_deploy.runtime.backends import available
from hyperstyle_deploy.runtime.session import load
from hyperstyle_deploy.tests.held_out import check_refinement, write_faces


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_faces(tmp_path_factory.mktemp("faces"))


def test_it_is_small() -> None:
    """Of checkpoints 5 MB at most; 10 MB with the bundle, the encoders of other methods and all else in the folder."""
    assert CHECKPOINT.stat().st_size + ENCODER.stat().st_size < 5e6
    assert sum(file.stat().st_size for file in MODEL.rglob("*")) < 10e6


@pytest.mark.parametrize("backend", available())
def test_refinement_brings_faces_closer(faces: list[Path], backend: str) -> None:
    with load(BUNDLE, backend=backend) as session:
        check_refinement(session.invert(faces, steps=5))


def test_an_early_stop_costs_little(faces: list[Path]) -> None:
    with load(BUNDLE, backend="onnxruntime") as session:
        whole = session.invert(faces, steps=5)
        stopped = session.invert(faces, steps=5, until_gain=0.05)
    taken = np.mean([len(one.l2) - 1 for one in stopped])
    assert taken <= 3.2
    lost = np.mean([one.l2[one.steps] for one in stopped]) / np.mean([one.l2[-1] for one in whole])
    assert lost < 1.03


def test_a_broken_step_is_noticed(faces: list[Path]) -> None:
    """The same bounds refuse a loop whose second step does nothing."""
    with load(BUNDLE, backend="onnxruntime") as session:
        found = session.invert(faces, steps=5)
    for one in found:
        object.__setattr__(one, "l2", (*one.l2[:2], one.l2[1], *one.l2[3:]))
    with pytest.raises(AssertionError):
        check_refinement(found)
