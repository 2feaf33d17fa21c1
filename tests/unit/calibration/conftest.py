"""What the tests of a whole calibration share: a tiny bundle, two photos, ranges, and the calibrated bundle."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hyperstyle_deploy.calibration.calibrate import calibrate
from hyperstyle_deploy.calibration.document import Report
from hyperstyle_deploy.calibration.photos import read_photos
from hyperstyle_deploy.calibration.ranges import Ranges, collect
from hyperstyle_deploy.calibration.settings import Settings
from hyperstyle_deploy.calibration.stage_graph import StageGraph, stage_graphs
from hyperstyle_deploy.demo import PHOTO
from hyperstyle_deploy.runtime.bundle.reader import Bundle

STEPS = 2


@dataclass(frozen=True)
class Calibrated:
    """A calibrated bundle and its report."""

    path: Path
    report: Report
    progress: list[tuple[str, int, int]]


@pytest.fixture(scope="session")
def bundle(tinies: Callable[..., Path]) -> Bundle:
    return Bundle.open(tinies("hyperstyle"))


@pytest.fixture(scope="session")
def graphs(bundle: Bundle) -> dict[str, StageGraph]:
    return stage_graphs(bundle)


@pytest.fixture(scope="session")
def pixels(bundle: Bundle) -> list[NDArray[np.float32]]:
    """The demo's photo, and the same darker: its ranges are others."""
    photo = read_photos([PHOTO], bundle.manifest)[0].pixels
    return [photo, np.ascontiguousarray(photo[:, ::-1] * 0.5 - 0.5)]


@pytest.fixture(scope="session")
def ranges(
    bundle: Bundle, graphs: dict[str, StageGraph], pixels: list[NDArray[np.float32]], own_folders: None
) -> Ranges:
    """Of both photos; in the cache afterwards."""
    return collect(bundle, graphs, pixels, STEPS)


@pytest.fixture(scope="session")
def calibrated(bundle: Bundle, ranges: Ranges, tmp_path_factory: pytest.TempPathFactory) -> Calibrated:
    """In INT8 as far as 40 dB allow, ranges from the cache."""
    path, said = tmp_path_factory.mktemp("calibrated") / "int8.bundle", []
    settings = Settings(steps=STEPS, checked=1, backend="onnxruntime", threads=1)
    report = calibrate(bundle.path, [PHOTO], path, settings, progress=lambda *what: said.append(what))
    return Calibrated(path, report, said)
