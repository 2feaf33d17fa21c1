"""Further generators: who draws what, whose codes and offsets they take, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hyperstyle_deploy.errors import ArrayError, BundleError, InversionError
from hyperstyle_deploy.runtime.editing.trajectory import Trajectory
from hyperstyle_deploy.runtime.manifest.manifest import FineTunedSpec
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.tests.small_bundle import small_manifest
from hyperstyle_deploy.tests.unit.runtime.editing.conftest import smile

#: One that draws an encoder's codes with offsets of two layers, and one that draws the method's own with none.
TOONIFY, PLAIN = FineTunedSpec("toonify", (5, 7), 2), FineTunedSpec("plain", (), None)
#: Another one of the first's encoder, and one of an encoder that takes one pass.
PIXAR, ONCE = FineTunedSpec("pixar", (7,), 2), FineTunedSpec("once", (7,), 0)
PHOTO = np.random.default_rng(5).integers(0, 255, (40, 40, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def adapted(toys: Callable[..., Path]) -> Path:
    return toys("hyperstyle", generators=(TOONIFY, PIXAR))


def opened(path: Path, generator: str | None = None) -> Session:
    return load(path, backend="onnxruntime", threads=1, generator=generator)


def by_hand(path: Path, steps: int, encoder_steps: int) -> dict[str, np.ndarray]:
    """The authors' procedure with single graphs: codes, summed offset codes, and the image of "toonify"."""
    session = opened(path, "toonify")
    run, constants = session._backend.run, session._backend.constants
    photo = session.prepare([PHOTO])
    codes = constants["generator_encoder_latent_avg"]
    for _ in range(encoder_steps):
        seen = run("generator_encoder_synthesis", {"codes": codes})["reconstruction"]
        codes = codes + run("generator_encoder", {"image": photo, "reconstruction": seen})["codes"]
    own = run("encoder", {"image": photo})["codes"]
    drawn, total, weights = run("synthesis_one", {"codes": own}), 0, {}
    for step in range(1, steps + 1):
        inputs = {"image": photo, "reconstruction": drawn["reconstruction"]}
        total = total + run("hypernet", inputs)["offset_codes"]
        offset_codes = {"offset_codes": total, "steps": np.asarray(step, np.float32)}
        drawn = run("synthesis_one", {"codes": own, **run("weights", offset_codes)})
        weights = run("weights.toonify", offset_codes)
    image = run("synthesis_one.toonify", {"codes": codes, **weights})["image"]
    return {"codes": codes[0], "offset_codes": total[0], "own": drawn["reconstruction"], "image": image[0]}


def test_the_authors_procedure(adapted: Path) -> None:
    session, expected = opened(adapted, "toonify"), by_hand(adapted, 3, 2)
    *_, last = session.refine(session.prepare([PHOTO]), 3)
    inversion = session.invert(PHOTO, steps=3)
    np.testing.assert_allclose(inversion.codes, expected["codes"], atol=1e-6)
    np.testing.assert_allclose(inversion.offset_codes, expected["offset_codes"], atol=1e-6)
    np.testing.assert_allclose(last.reconstruction, expected["own"], atol=1e-6)
    np.testing.assert_allclose(last.image[0], expected["image"], atol=1e-6)
    np.testing.assert_allclose(session.person(inversion).image()[0], expected["image"], atol=1e-6)
    assert inversion.method == session.method == "hyperstyle+toonify"
    # The loop is the method's own: so are its errors and its offsets.
    own = opened(adapted).invert(PHOTO, steps=3)
    np.testing.assert_allclose(inversion.l2, own.l2, atol=1e-7)
    np.testing.assert_allclose(inversion.offset_codes, own.offset_codes, atol=1e-6)
    assert np.abs(inversion.codes - own.codes).max() > 0.01
    assert np.abs(inversion.image.astype(int) - own.image).max() > 5
    assert set(session.weight_offsets(inversion)) == {5, 7}


def test_batches_no_steps_and_an_encoder_of_one_pass(toys: Callable[..., Path]) -> None:
    session = opened(toys("hyperstyle", generators=(ONCE,)), "once")
    one, two = session.invert([PHOTO, PHOTO[::-1].copy()], steps=2)
    np.testing.assert_allclose(one.codes, session.invert(PHOTO, steps=0).codes, atol=1e-6)
    assert np.abs(one.codes - two.codes).max() > 0.01
    before = session.invert(PHOTO, steps=0)
    np.testing.assert_array_equal(before.image, session.synthesize(before)[0])


def test_edits_and_films_are_drawn_by_it(adapted: Path, tmp_path: Path) -> None:
    session = opened(adapted, "toonify")
    person = session.invert(PHOTO, steps=2)
    direction = smile(session.manifest.model)
    codes = session.edited_codes(person, [{direction: 2.0}, {}])
    pictures = session.edit(person, [{direction: 2.0}, {}])
    np.testing.assert_array_equal(pictures[1], person.image)
    np.testing.assert_array_equal(pictures, session.synthesize(person, codes))
    frames = list(session.frames(Trajectory([person, session.invert(PHOTO[:, ::-1].copy(), steps=2)]), 3))
    np.testing.assert_array_equal(frames[0], person.image)
    person.save(tmp_path / "toon.inversion")


def test_an_inversion_is_of_the_generator_that_drew_it(adapted: Path) -> None:
    person, plain = opened(adapted, "toonify").invert(PHOTO, steps=1), opened(adapted).invert(PHOTO, steps=1)
    with pytest.raises(InversionError, match=r"hyperstyle\+toonify.*Expected: hyperstyle.*the generator toonify"):
        opened(adapted).edit(person, {})
    with pytest.raises(InversionError, match=r"another method.*the method hyperstyle"):
        opened(adapted, "toonify").edit(plain, {})
    with pytest.raises(InversionError, match="another method"):
        opened(adapted, "pixar").edit(person, {})


@pytest.mark.parametrize("method", ["e4e", "restyle-e4e"])
def test_codes_of_the_methods_own_encoder(toys: Callable[..., Path], method: str) -> None:
    bundle = toys(method, generators=(PLAIN,))
    own, drawn = opened(bundle).invert(PHOTO), opened(bundle, "plain").invert(PHOTO)
    np.testing.assert_allclose(own.codes, drawn.codes, atol=1e-6)
    assert np.abs(own.image.astype(int) - drawn.image).max() > 5
    assert drawn.method == f"{method}+plain"


def test_what_there_is_not_is_refused(adapted: Path, toys: Callable[..., Path]) -> None:
    with pytest.raises(BundleError, match=r"no generator anime\. Got: toonify, pixar.*--generator anime=FILE"):
        opened(adapted, "anime")
    with pytest.raises(BundleError, match="Got: none but its own"):
        opened(toys("hyperstyle"), "toonify")
    with pytest.raises(ArrayError, match="Leave one of them out"):
        load(toys("hyperstyle", gradients=("pti",)), method="pti", generator="toonify")


def test_the_field_is_left_out_where_there_is_none() -> None:
    assert "generators" not in small_manifest().to_json()
    assert "generators" in small_manifest(generators=(TOONIFY,)).to_json()
