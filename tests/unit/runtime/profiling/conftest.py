"""A backend whose stages are numbers and whose clock is ours, so that measuring can be tested without a machine."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hyperstyle_deploy.runtime.manifest.layers import layer_table
from hyperstyle_deploy.runtime.manifest.manifest import ImageSpec, Manifest

#: Seconds of a run of each stage.
STAGE_SECONDS = {"encoder": 0.5, "hypernet": 0.25, "weights": 2.0, "synthesis_one": 1.0}


class ClockedBackend:
    """Stages take the seconds of ``STAGE_SECONDS`` on a clock that nothing else moves."""

    name, precision = "fake", "float32"

    def __init__(self) -> None:
        self.now = 100.0
        self.untuned: Mapping[str, Any] = {}
        self.ran: list[str] = []

    def _run(self, stage: str) -> None:
        self.ran.append(stage)
        self.now += STAGE_SECONDS[stage]

    def encode(self, image: np.ndarray) -> np.ndarray:
        self._run("encoder")
        return np.zeros((len(image), 14, 512), np.float32)

    def predict(self, image: np.ndarray, reconstruction: np.ndarray) -> np.ndarray:
        self._run("hypernet")
        return np.ones((len(image), 3, 512), np.float32)

    def tune(self, offset_codes: np.ndarray, steps: int) -> dict[str, Any]:
        self._run("weights")
        return {"steps": steps}

    def synthesize(self, codes: np.ndarray, weights: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """An image of one grey: darker with every step."""
        self._run("synthesis_one")
        grey = np.float32(0.5 ** weights.get("steps", 0))
        return np.full((1, 3, 256, 256), grey), np.full((1, 3, 256, 256), grey)

    def squared_error(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return np.square(left - right, dtype=np.float64).mean((1, 2, 3))

    def pixels(self, image: np.ndarray) -> np.ndarray:
        return np.zeros((len(image), 256, 256, 3), np.uint8)

    def compute(self, key: object, work: Callable[[Any], Sequence[Any]], array: np.ndarray) -> list[np.ndarray]:
        return list(work(array))

    def upload(self, array: np.ndarray) -> np.ndarray:
        return array

    def download(self, array: np.ndarray) -> np.ndarray:
        return array

    def add(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return left + right

    def row(self, array: np.ndarray, index: int) -> np.ndarray:
        return array[index : index + 1]

    def concatenate(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate(rows)

    def mark(self) -> float:
        return self.now

    def seconds(self, start: float, end: float) -> float:
        return end - start


@pytest.fixture
def clocked_backend() -> ClockedBackend:
    return ClockedBackend()


@pytest.fixture
def manifest() -> Manifest:
    """Of a faces model at 256 with three tuned layers, without files."""
    image = ImageSpec(256, 256, 256, (0, 256))
    layers = layer_table(256, (0, 2, 3))
    return Manifest("hyperstyle", "faces", "0" * 64, "float32", 5, False, image, layers, (), {}, {}, {})


@pytest.fixture
def example() -> Path:
    """The report that docs/profile.md shows."""
    return Path(__file__).parents[3] / "data" / "profile.json"
