"""The demo: a face comes out right, with the model that the package brings."""

from itertools import pairwise
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from hyperstyle_deploy.demo import CHANNELS, EDITS, GROUP
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.tests.conftest import DEMO_STEPS


def test_the_demo_does_the_whole_main_job(demo: Any) -> None:
    commands = [line.split()[2] for line in demo.text.splitlines() if line.startswith("$ hyperstyle-deploy")]
    assert commands == [
        *("invert", "edit"),
        *("invert", "edit", "paste"),  # a face out of a photo, and back
        *("edit", "animate", "personalize"),
        *("inspect", "export", "verify"),
        *("directions", "directions", "directions", "edit"),  # in styles
    ]
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


def test_a_face_of_a_photo_is_edited_in_its_place(demo: Any) -> None:
    group = np.asarray(Image.open(GROUP), np.int16)
    edited, inverted = (
        np.asarray(Image.open(demo.folder / name), np.int16) for name in ("group-older.png", "group/group.pasted.png")
    )
    changed = np.abs(edited - inverted).max(-1) > 8
    rows, columns = np.nonzero(changed)
    # The largest face is the left one; what lies beyond its square stays as it is, bit for bit.
    assert len(rows) > 500
    assert columns.max() < 380
    np.testing.assert_array_equal(edited[:, 400:], group[:, 400:])


def test_people_are_mixed_filmed_and_taken_along(demo: Any) -> None:
    with Image.open(demo.folder / "film.webp") as film:
        assert (film.size, film.is_animated) == ((64, 64), True)
        first = np.asarray(film.convert("RGB"), np.int16)
        film.seek(film.n_frames // 2)
        assert np.abs(np.asarray(film.convert("RGB"), np.int16) - first).mean() > 10
    plain, mixed = (
        np.asarray(Image.open(demo.folder / folder / "photo.smile=2.png"), np.int16) for folder in ("edits", "mixed")
    )
    assert np.abs(plain - mixed).mean() > 5
    person = Inversion.load(demo.folder / "results" / "photo.inversion")
    session = onnxruntime.InferenceSession(str(demo.folder / "photo.onnx"))
    (drawn,) = session.run(None, {"codes": person.codes[None]})
    pixels = (np.clip((drawn[0] + 1) / 2, 0, 1) * 255).astype(np.int16).transpose(1, 2, 0)
    assert np.abs(pixels - np.asarray(Image.open(demo.folder / "results" / "photo.png"), np.int16)).max() <= 1


@pytest.mark.parametrize("name", [name for name, _, _ in CHANNELS])
def test_single_channels_change_little_of_the_picture(demo: Any, name: str) -> None:
    span = int({each: span for each, _, span in CHANNELS}[name].partition(":")[2])
    least, most = (Image.open(demo.folder / "styles" / f"photo.{name}={end}.png") for end in (-span, span))
    changed = np.abs(np.asarray(least, np.int16) - np.asarray(most, np.int16)).max(-1)
    assert changed.max() > 40
    assert (changed > 20).mean() < 0.35


def test_refinement_brings_what_the_encoder_left_out(demo: Any) -> None:
    l2 = Inversion.load(demo.folder / "results" / "photo.inversion").l2
    assert l2[-1] < 0.4 * l2[0]


@pytest.mark.parametrize("name", [name for name, _ in EDITS])
def test_an_edit_changes_the_picture_steadily(demo: Any, name: str) -> None:
    pictures = [Image.open(demo.folder / "edits" / f"photo.{name}={strength}.png") for strength in (-2, -1, 0, 1, 2)]
    pixels = [np.asarray(picture, np.int16) for picture in pictures]
    changes = [np.abs(one - pixels[0]).mean() for one in pixels]
    assert changes[0] < changes[1] < changes[2] < changes[4]
