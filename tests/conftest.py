"""Fixtures that every test may use: the seeded 256 bundle, exported once a run, and sessions on it."""

from pathlib import Path

import pytest
from hyperstyle_deploy.runtime.backends import available
from hyperstyle_deploy.runtime.session import Session, load

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def faces256_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """HyperStyle's file and the W-encoder's, seeded, at 256."""
    from hyperstyle_deploy.export.seeded import write_checkpoints

    return write_checkpoints(tmp_path_factory.mktemp("faces256"))


@pytest.fixture(scope="session")
def faces256_bundle(faces256_checkpoints: tuple[Path, Path]) -> Path:
    """The seeded 256 checkpoint as a bundle. Tests must not change it."""
    from hyperstyle_deploy.export.exporter import export

    output = faces256_checkpoints[0].parent / "bundle"
    export(*faces256_checkpoints, output)
    return output


@pytest.fixture(scope="session", params=available())
def faces256(request: pytest.FixtureRequest, faces256_bundle: Path) -> Session:
    """A session on the seeded 256 bundle, once a backend that is installed."""
    return load(faces256_bundle, backend=request.param)
