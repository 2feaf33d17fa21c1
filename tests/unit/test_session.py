"""The Python API on every method: batches, edits, saved inversions, threads, and errors that leave it working."""

import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy.errors import ArrayError, BackendError, ImageError, InversionError
from hyperstyle_deploy.runtime.backends import available
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.images import mean_squared_error
from hyperstyle_deploy.runtime.methods import METHODS
from hyperstyle_deploy.runtime.session import Session, load

DATA = Path(__file__).parents[1] / "data"
#: Every method, and the forms of HyperStyle.
FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in METHODS},
    "separable": ("hyperstyle", {"separable": True}),
    "restyle's codes": ("hyperstyle", {"encoder_steps": 2}),
}


@pytest.fixture(scope="module", params=available())
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module", params=FORMS)
def session(request: pytest.FixtureRequest, backend: str, toys: Callable[..., Path]) -> Session:
    method, options = FORMS[request.param]
    return load(toys(method, **options), backend=backend)


@pytest.fixture(scope="module")
def hyperstyle(backend: str, toys: Callable[..., Path]) -> Session:
    return load(toys("hyperstyle"), backend=backend)


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    """Two photos of odd sizes."""
    faces = Image.open(DATA / "faces.png").convert("RGB")
    return [np.asarray(faces.resize((301, 257))), np.asarray(faces.rotate(90).resize((199, 333)))]


def steps_of(session: Session, wanted: int) -> int:
    return wanted if session.manifest.default_steps else 0


def test_a_batch_gives_what_single_photos_give(session: Session, photos: list[np.ndarray]) -> None:
    steps = steps_of(session, 2)
    together = session.invert(photos, steps=steps)
    for photo, inversion in zip(photos, together, strict=True):
        alone = session.invert(photo, steps=steps)
        assert set(inversion.arrays) == {array.name for array in session.manifest.state}
        for name, array in inversion.arrays.items():
            np.testing.assert_allclose(array, alone.arrays[name], atol=1e-5)
        assert np.abs(inversion.image.astype(int) - alone.image.astype(int)).max() <= 1
        np.testing.assert_allclose(inversion.l2, alone.l2, rtol=1e-5)
    last = list(together[0].arrays)[-1]
    assert not np.allclose(together[0].arrays[last], together[1].arrays[last], atol=1e-4)


def test_an_inversion_carries_its_result_and_errors(session: Session, photos: list[np.ndarray]) -> None:
    steps = steps_of(session, 2)
    inversion = session.invert(photos[0], steps=steps)
    assert (inversion.image.shape, inversion.image.dtype) == ((32, 32, 3), np.uint8)
    assert {name: array.shape for name, array in inversion.arrays.items()} == {
        array.name: array.sized(steps) for array in session.manifest.state
    }
    assert (inversion.steps, len(inversion.l2), inversion.method) == (steps, steps + 1, session.manifest.method.name)
    batch = session.prepare([photos[0]])
    states = list(session.refine(batch, steps))
    assert [state.index for state in states] == list(range(steps + 1))
    expected = [float(mean_squared_error(batch, state.reconstruction)[0]) for state in states]
    np.testing.assert_allclose(inversion.l2, expected, rtol=1e-6)


def test_a_saved_inversion_draws_the_same_image(session: Session, photos: list[np.ndarray], tmp_path: Path) -> None:
    inversion = session.invert(photos[0], steps=steps_of(session, 2))
    inversion.save(tmp_path / "me.inversion")
    loaded = Inversion.load(tmp_path / "me.inversion")
    np.testing.assert_array_equal(session.synthesize(loaded)[0], inversion.image)


def test_zero_steps_is_the_start(session: Session, photos: list[np.ndarray]) -> None:
    inversion = session.invert(photos[0], steps=0)
    assert len(inversion.l2) == 1
    np.testing.assert_array_equal(session.synthesize(inversion)[0], inversion.image)
    assert all(not offset.any() for offset in session.weight_offsets(inversion).values())
    if session.manifest.method.name == "hyperstyle":
        assert not inversion.offset_codes.any()
    else:
        with pytest.raises(InversionError, match="no offset codes"):
            _ = inversion.offset_codes


def test_more_steps_go_on_from_fewer(session: Session, photos: list[np.ndarray]) -> None:
    """Each step's numbers do not depend on how many follow, and each changes what is drawn."""
    if not session.manifest.default_steps:
        with pytest.raises(ArrayError, match="takes no refinement steps"):
            session.invert(photos[0], steps=1)
        return
    three, one = session.invert(photos[0], steps=3), session.invert(photos[0], steps=1)
    np.testing.assert_allclose(three.l2[:2], one.l2, rtol=1e-6)
    assert len(set(three.l2)) == 4


def test_edits_of_one_person_run_as_a_batch(session: Session, photos: list[np.ndarray]) -> None:
    inversion = session.invert(photos[0], steps=steps_of(session, 1))
    edits = np.stack([inversion.codes + strength for strength in (0.0, 0.3, -0.3)]).astype(np.float32)
    images = session.synthesize(inversion, edits)
    assert images.shape == (3, 32, 32, 3)
    for edit, image in zip(edits, images, strict=True):
        assert np.abs(session.synthesize(inversion, edit)[0].astype(int) - image.astype(int)).max() <= 1
    assert np.abs(images[0].astype(int) - inversion.image.astype(int)).max() <= 1
    assert np.abs(images[1].astype(int) - images[0].astype(int)).max() > 1


def test_codes_may_be_lists_or_of_twice_the_precision(hyperstyle: Session, photos: list[np.ndarray]) -> None:
    inversion = hyperstyle.invert(photos[0], steps=1)
    for codes in (inversion.codes.astype(np.float64), inversion.codes.tolist()):
        np.testing.assert_array_equal(hyperstyle.synthesize(inversion, codes)[0], inversion.image)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros((8, 9), np.float32), r"Got: \[1, 8, 9\]. Expected: float32 \[N, 8, 8\]"),
        (np.zeros((2, 7, 8), np.float32), r"Got: \[2, 7, 8\]. Expected: float32 \[N, 8, 8\]"),
        (np.zeros((0, 8, 8), np.float32), "wrong shape"),
        (np.full((8, 8), 1e300), "NaN or Inf"),
        ("codes", "no array of numbers"),
        ([[1.0], [2.0, 3.0]], "no array of numbers"),
        (np.array(["a"], object), "no array of numbers"),
    ],
    ids=["width", "styles", "none", "too large", "text", "ragged", "objects"],
)
def test_codes_of_another_width_say_got_and_expected(hyperstyle: Session, codes: Any, message: str) -> None:
    inversion = hyperstyle.invert(np.zeros((40, 40, 3), np.uint8), steps=0)
    with pytest.raises(ArrayError, match=message):
        hyperstyle.synthesize(inversion, codes)


def test_threads_get_the_serial_answers(session: Session, photos: list[np.ndarray]) -> None:
    steps = steps_of(session, 1)
    serial = [session.invert(photo, steps=steps) for photo in photos]
    results: dict[int, list[Inversion]] = {0: [], 1: []}

    def work(which: int) -> None:
        results[which] = [session.invert(photos[which], steps=steps) for _ in range(4)]

    threads = [threading.Thread(target=work, args=(which,)) for which in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for which, inversions in results.items():
        assert len(inversions) == 4
        for inversion in inversions:
            np.testing.assert_array_equal(inversion.image, serial[which].image)
            for name, array in inversion.arrays.items():
                np.testing.assert_array_equal(array, serial[which].arrays[name])


BAD_BATCHES = {
    "no photos": np.zeros((0, 3, 32, 32), np.float32),
    "a rank too few": np.zeros((3, 32, 32), np.float32),
    "another size": np.zeros((1, 3, 31, 32), np.float32),
    "NaN": np.full((1, 3, 32, 32), np.nan, np.float32),
    "another range": np.full((1, 3, 32, 32), 255, np.float32),
    "no array": [[1.0]],
}


@pytest.mark.parametrize("batch", BAD_BATCHES.values(), ids=BAD_BATCHES)
def test_a_bad_batch_is_an_error_and_the_session_goes_on(hyperstyle: Session, batch: np.ndarray) -> None:
    with pytest.raises(ArrayError):
        hyperstyle.refine(batch, 1)
    good = next(hyperstyle.refine(np.zeros((1, 3, 32, 32), np.float32), 0))
    assert np.isfinite(good.image).all()


@pytest.mark.parametrize("steps", [-1, 1001, 1.5, True, "2"])
def test_steps_out_of_range_are_an_error(hyperstyle: Session, steps: int) -> None:
    with pytest.raises(ArrayError, match="steps"):
        hyperstyle.refine(np.zeros((1, 3, 32, 32), np.float32), steps)


def test_photos_that_cannot_be_read_are_an_error(hyperstyle: Session, tmp_path: Path) -> None:
    with pytest.raises(ImageError):
        hyperstyle.invert(tmp_path / "missing.png")
    with pytest.raises(ArrayError, match="empty"):
        hyperstyle.invert([])


def test_an_inversion_of_another_model_method_or_shape_is_refused(hyperstyle: Session) -> None:
    codes, offsets = np.zeros((8, 8), np.float32), np.zeros((4, 5), np.float32)
    arrays, model = {"codes": codes, "offset_codes": offsets}, hyperstyle.manifest.model
    for wrong, message in (
        (Inversion(arrays, 1, "hyperstyle", "another"), "another model"),
        (Inversion({"codes": codes}, 1, "restyle-e4e", model), "another method"),
        (Inversion({"codes": codes}, 1, "hyperstyle", model), "do not fit"),
        (Inversion({**arrays, "codes": codes[:7]}, 1, "hyperstyle", model), "do not fit"),
        (Inversion({**arrays, "offset_codes": offsets[None]}, 1, "hyperstyle", model), "do not fit"),
    ):
        with pytest.raises(InversionError, match=message):
            hyperstyle.synthesize(wrong)
        with pytest.raises(InversionError, match=message):
            hyperstyle.weight_offsets(wrong)


def test_a_backend_loads_or_fails(toys: Callable[..., Path]) -> None:
    bundle = toys("hyperstyle")
    with pytest.raises(BackendError, match="Unknown backend"):
        load(bundle, backend="tensorflow")
    with pytest.raises(BackendError, match="precision hint"):
        load(bundle, backend="onnxruntime", precision_hint="bf16")
    with pytest.raises(ArrayError, match="threads"):
        load(bundle, threads=0)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a folder is known by its path alone")
def test_what_is_loaded_later_is_of_the_bundle_that_was_opened(
    toys: Callable[..., Path], backend: str, photos: list[np.ndarray], tmp_path: Path
) -> None:
    """A service's bundle is exchanged by renaming folders, while the old session goes on."""
    path = shutil.copytree(toys("hyperstyle"), tmp_path / "a.bundle")
    session, kept = load(path, backend=backend), load(toys("hyperstyle"), backend=backend)
    path.rename(tmp_path / "old.bundle")
    shutil.copytree(tmp_path / "old.bundle", path)
    for weights in path.glob("*.safetensors"):
        weights.write_bytes(bytes(weights.stat().st_size))
    found = session.invert(photos[0], steps=1)
    codes = found.codes[None] + np.linspace(-1, 1, 3, dtype=np.float32)[:, None, None]
    # Many codes of one person, and offsets, have graphs of their own.
    np.testing.assert_array_equal(session.synthesize(found, codes), kept.synthesize(found, codes))
    for layer, offsets in kept.weight_offsets(found).items():
        np.testing.assert_array_equal(session.weight_offsets(found)[layer], offsets)


def test_a_session_says_what_it_is_and_ends_with_its_block(toys: Callable[..., Path], backend: str) -> None:
    with load(toys("restyle-e4e"), backend=backend) as session:
        assert repr(session) == f"Session(restyle-e4e faces 32x32, float32 on {backend}, 5 steps, model 000000000000)"
        inversion = session.invert(np.zeros((40, 40, 3), np.uint8), steps=1)
    assert repr(inversion).startswith("Inversion(restyle-e4e, 1 step, codes [8, 8]")
    assert repr(session) == "Session(closed)"
    with pytest.raises(ArrayError, match="session is closed"):
        session.invert(np.zeros((40, 40, 3), np.uint8))


@pytest.mark.parametrize("kind", ["sketch", "labels"])
def test_drawings_and_label_maps_have_no_error_against_the_result(
    toys: Callable[..., Path], backend: str, kind: str
) -> None:
    session = load(toys("psp", kind=kind), backend=backend)
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:16] = 2 if kind == "labels" else 255
    batch = session.prepare([picture])
    if kind == "labels":
        assert batch.shape == (1, 3, 32, 32)
        assert batch[0, 2, :16].all()
        assert batch[0, 0, 16:].all()
        assert batch.sum() == 32 * 32  # one label a pixel
    else:
        assert batch.shape == (1, 1, 32, 32)
        assert (batch[0, 0, :15] == 1).all()
        assert not batch[0, 0, 17:].any()
    inversion = session.invert(picture)
    assert inversion.l2 == ()
    np.testing.assert_array_equal(session.synthesize(inversion)[0], inversion.image)
