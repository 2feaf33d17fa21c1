"""The embedded default: the whole main job on seeded weights, and an honest word about them."""

from itertools import pairwise
from typing import Any

import numpy as np
from PIL import Image

from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.tests.conftest import DEMO_STEPS


def test_the_demo_does_the_whole_main_job(demo: Any) -> None:
    commands = [line.split()[2] for line in demo.text.splitlines() if line.startswith("$ hyperstyle-deploy")]
    assert commands == ["inspect", "export", "verify", "invert"]
    good = [line for line in demo.text.splitlines() if line.rstrip().endswith(" within")]
    assert len(good) == DEMO_STEPS + 1  # before refinement and after each step
    assert "1 of 1 comparisons are within tolerance." in demo.text


def test_the_demo_says_what_its_weights_are(demo: Any) -> None:
    assert "texture, not faces" in demo.text
    assert "github.com/yuval-alaluf/hyperstyle" in demo.text
    assert str(demo.folder) in demo.text


def test_the_demo_leaves_its_results(demo: Any) -> None:
    results = demo.folder / "results"
    assert {path.name for path in results.iterdir()} == {"demo.png", "demo.strip.png", "demo.inversion"}
    assert Image.open(results / "demo.png").size == (64, 64)
    strip = Image.open(results / "demo.strip.png")
    assert strip.size == ((DEMO_STEPS + 2) * 64, 64)
    panels = np.split(np.asarray(strip, np.int16), DEMO_STEPS + 2, axis=1)
    changes = [np.abs(left - right).mean() for left, right in pairwise(panels[1:])]
    assert min(changes) > 0.1  # every step changes the picture
    assert Inversion.load(results / "demo.inversion").steps == DEMO_STEPS
