"""A backend whose stages are numbers and whose clock is ours, so that measuring can be tested without a machine."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hyperstyle_deploy.runtime.backends.host import HostBackend
from hyperstyle_deploy.runtime.bundle.reader import Bundle

#: Seconds of a run of each stage.
STAGE_SECONDS = {"encoder": 0.5, "hypernet": 0.25, "weights": 2.0, "synthesis_one": 1.0, "encoder_synthesis": 0.125}


class ClockedBackend(HostBackend):
    """Stages take the seconds of ``STAGE_SECONDS`` on a clock that nothing else moves."""

    name = "fake"

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        # What `weights` gives after t steps is 1 + t; so 1 is what it is before any.
        self.constants = {name: np.ones_like(array) for name, array in self.constants.items()}
        self.now = 100.0
        self.ran: list[str] = []

    def outputs(self, graph: str, inputs: Mapping[str, Any]) -> list[np.ndarray]:
        """Ones, but for a drawing: it is of one grey, darker with every step."""
        self.ran.append(graph)
        self.now += STAGE_SECONDS[graph]
        batch = len(inputs["image"]) if "image" in inputs else 1
        value = 1.0
        if graph == "weights":
            value += float(inputs["steps"])
        elif "weight.conv1" in inputs:
            value = 0.5 ** (float(inputs["weight.conv1"].mean()) - 1)
        shapes = ([batch if isinstance(d, str) else d for d in t.shape] for t in self.manifest.graphs[graph].outputs)
        return [np.full(shape, value, np.float32) for shape in shapes]

    def mark(self) -> float:
        return self.now


@pytest.fixture
def clocked(toys: Callable[..., Path]) -> Callable[..., ClockedBackend]:
    """Of a method, with options as toy bundles have them."""

    def opened(method: str = "hyperstyle", **options: Any) -> ClockedBackend:
        return ClockedBackend(Bundle.open(toys(method, **options)))

    return opened


@pytest.fixture
def example() -> Path:
    """The report that docs/profile.md shows."""
    return Path(__file__).parents[3] / "data" / "profile.json"
