"""A HyperStyle toy bundle with directions, and two people of it."""

from pathlib import Path

import numpy as np
import pytest

from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.bundle.reader import read_manifest
from hyperstyle_deploy.runtime.editing.direction import Direction
from hyperstyle_deploy.runtime.editing.folder import Directions
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.tests.small_bundle import STYLES, WIDTH
from hyperstyle_deploy.tests.toy_bundle import ToyBundle


def unit(*shape: int, seed: int = 0) -> np.ndarray:
    """Random rows of unit length."""
    rows = np.random.default_rng(seed).standard_normal(shape, np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def smile(model: str, name: str = "smile") -> Direction:
    return Direction(name, unit(1, WIDTH), (0, STYLES), (-5.0, 5.0), model, source={"file": "smile.npy"})


def colour(model: str) -> Direction:
    """A component with an uneven mean."""
    deviation = np.array([2.5], np.float32)
    return Direction("colour", unit(1, WIDTH, seed=1), (2, 5), (-20, 20), model, 3 * unit(1, WIDTH, seed=2), deviation)


@pytest.fixture
def bundle(toy_bundle: ToyBundle) -> Path:
    """With a vector for all rows, one for each row, and a component."""
    manifest = read_manifest(toy_bundle.path)
    pose = Direction("pose", unit(3, WIDTH, seed=3), (1, 4), (-2, 2), manifest.model)
    Directions(toy_bundle.path, manifest).add([smile(manifest.model), pose, colour(manifest.model)])
    return toy_bundle.path


@pytest.fixture
def session(bundle: Path) -> Session:
    return load(bundle, backend="onnxruntime", threads=1)


@pytest.fixture
def people(session: Session) -> list[Inversion]:
    noise = np.random.default_rng(5).integers(0, 255, (40, 40, 3)).astype(np.uint8)
    pictures = [noise, np.full((40, 40, 3), (250, 10, 90), np.uint8)]
    return session.invert(pictures, steps=2)


@pytest.fixture
def files(people: list[Inversion], tmp_path: Path) -> list[Path]:
    """The two people's inversions on disk."""
    paths = [tmp_path / f"{name}.inversion" for name in ("anna", "bert")]
    for person, path in zip(people, paths, strict=True):
        person.save(path)
    return paths
