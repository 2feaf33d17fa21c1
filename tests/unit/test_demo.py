"""The demo: a face comes out right, with the model that the package brings."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy.demo import EDITS
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.tests.conftest import DEMO_STEPS


def test_the_demo_does_the_whole_main_job(demo: Any) -> None:
    commands = [line.split()[2] for line in demo.text.splitlines() if line.startswith("$ hyperstyle-deploy")]
    assert commands == ["invert", "edit", "inspect", "export", "verify"]
    good = [line for line in demo.text.splitlines() if line.rstrip().endswith(" within")]
    assert len(good) == DEMO_STEPS + 1  # before refinement and after each step
    assert "1 of 1 comparisons are within tolerance." in demo.text


def test_the_demo_says_what_its_model_is_and_what_comes_next(demo: Any) -> None:
    assert "trained in this project on drawn faces" in demo.text
    assert "github.com/yuval-alaluf/hyperstyle" in demo.text
    assert "hyperstyle-deploy export" in demo.text.splitlines()[-1]


def test_the_demo_leaves_its_results(demo: Any) -> None:
    results = demo.folder / "results"
    assert {path.name for path in results.iterdir()} == {"photo.png", "photo.strip.png", "photo.inversion"}
    assert Image.open(results / "photo.png").size == (64, 64)
    strip = Image.open(results / "photo.strip.png")
    assert strip.size == ((DEMO_STEPS + 2) * 64, 64)
    panels = np.split(np.asarray(strip, np.int16), DEMO_STEPS + 2, axis=1)
    assert min(np.abs(left - right).mean() for left, right in pairwise(panels[1:])) > 0.1  # every step changes it
    assert Inversion.load(results / "photo.inversion").steps == DEMO_STEPS


def test_refinement_brings_what_the_encoder_left_out(demo: Any) -> None:
    l2 = Inversion.load(demo.folder / "results" / "photo.inversion").l2
    assert l2[-1] < 0.4 * l2[0]


@pytest.mark.parametrize("name", [name for name, _ in EDITS])
def test_an_edit_changes_the_picture_steadily(demo: Any, name: str) -> None:
    pictures = [Image.open(demo.folder / "edits" / f"photo.{name}={strength}.png") for strength in (-2, -1, 0, 1, 2)]
    pixels = [np.asarray(picture, np.int16) for picture in pictures]
    changes = [np.abs(one - pixels[0]).mean() for one in pixels]
    assert changes[0] < changes[1] < changes[2] < changes[4]
