"""A batch to run: a toy bundle, photos, an empty ledger."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy.runtime.bundle.reader import Bundle
from hyperstyle_deploy.runtime.serving.bulk.ledger import Ledger
from hyperstyle_deploy.runtime.serving.bulk.recipe import KINDS, Recipe


def write_photos(folder: Path, *names: str) -> list[Path]:
    """Photos that are all different."""
    folder.mkdir(exist_ok=True)
    paths = [folder / name for name in names]
    for path in paths:
        draw = np.random.default_rng(list(path.name.encode()))
        Image.fromarray(draw.integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    return paths


def recipe_for(bundle: Path, steps: int = 2, **changes: object) -> Recipe:
    """All kinds of results, in the ledger's folder."""
    model = Bundle.open(bundle).manifest.model
    settings = {"until_gain": None, "kinds": KINDS, "thumbnail": 16, "shard": 0, "folder": "."}
    return Recipe(model, "onnxruntime", None, 1, steps, **{**settings, **changes})  # type: ignore[arg-type]


def results_in(folder: Path) -> dict[str, bytes]:
    """Every file of a folder but the ledger's own; hidden ones, too."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("ledger.sqlite")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def recipe(toys: Callable[..., Path]) -> Recipe:
    return recipe_for(toys())


@pytest.fixture
def ledger(tmp_path: Path, recipe: Recipe) -> Ledger:
    (tmp_path / "out").mkdir()
    return Ledger.start(tmp_path / "out" / "ledger.sqlite", recipe)
