"""The Python API: batches, edits, saved inversions, threads, and errors that leave the session working."""

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy.errors import ArrayError, BackendError, ImageError, InversionError
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.images import mean_squared_error
from hyperstyle_deploy.runtime.session import Session, load

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    """Two photos of odd sizes."""
    faces = Image.open(DATA / "faces.png").convert("RGB")
    return [np.asarray(faces.resize((301, 257))), np.asarray(faces.rotate(90).resize((199, 333)))]


def test_a_batch_gives_what_single_photos_give(faces256: Session, photos: list[np.ndarray]) -> None:
    together = faces256.invert(photos, steps=2)
    for photo, inversion in zip(photos, together, strict=True):
        alone = faces256.invert(photo, steps=2)
        np.testing.assert_allclose(inversion.codes, alone.codes, atol=5e-5)
        np.testing.assert_allclose(inversion.offset_codes, alone.offset_codes, atol=5e-5)
        assert np.abs(inversion.image.astype(int) - alone.image.astype(int)).max() <= 1
        np.testing.assert_allclose(inversion.l2, alone.l2, rtol=1e-5)
    assert not np.allclose(together[0].offset_codes, together[1].offset_codes, atol=1e-3)


def test_an_inversion_carries_its_result_and_errors(faces256: Session, photos: list[np.ndarray]) -> None:
    inversion = faces256.invert(photos[0], steps=1)
    assert inversion.image.shape == (256, 256, 3)
    assert inversion.image.dtype == np.uint8
    assert inversion.codes.shape == (14, 512)
    assert inversion.offset_codes.shape == (13, 512)
    assert (inversion.steps, len(inversion.l2)) == (1, 2)
    batch = faces256.prepare([photos[0]])
    last = list(faces256.refine(batch, 1))[-1]
    assert inversion.l2[-1] == pytest.approx(float(mean_squared_error(batch, last.reconstruction)[0]))


def test_a_saved_inversion_draws_the_same_image(faces256: Session, photos: list[np.ndarray], tmp_path: Path) -> None:
    inversion = faces256.invert(photos[0], steps=2)
    inversion.save(tmp_path / "me.inversion")
    loaded = Inversion.load(tmp_path / "me.inversion")
    np.testing.assert_array_equal(faces256.synthesize(loaded)[0], inversion.image)


def test_zero_steps_is_the_encoders_inversion(faces256: Session, photos: list[np.ndarray]) -> None:
    inversion = faces256.invert(photos[0], steps=0)
    assert not inversion.offset_codes.any()
    np.testing.assert_array_equal(faces256.synthesize(inversion)[0], inversion.image)
    assert all(not offset.any() for offset in faces256.weight_offsets(inversion).values())


def test_edits_of_one_person_run_as_a_batch(faces256: Session, photos: list[np.ndarray]) -> None:
    inversion = faces256.invert(photos[0], steps=1)
    edits = np.stack([inversion.codes + strength for strength in (0.0, 0.3, -0.3)]).astype(np.float32)
    images = faces256.synthesize(inversion, edits)
    assert images.shape == (3, 256, 256, 3)
    for edit, image in zip(edits, images, strict=True):
        assert np.abs(faces256.synthesize(inversion, edit)[0].astype(int) - image.astype(int)).max() <= 1
    assert np.abs(images[0].astype(int) - inversion.image.astype(int)).max() <= 1
    assert np.abs(images[1].astype(int) - images[0].astype(int)).max() > 1


def test_threads_get_the_serial_answers(faces256: Session, photos: list[np.ndarray]) -> None:
    serial = [faces256.invert(photo, steps=1) for photo in photos]
    results: dict[int, list[Inversion]] = {0: [], 1: []}

    def work(which: int) -> None:
        results[which] = [faces256.invert(photos[which], steps=1) for _ in range(2)]

    threads = [threading.Thread(target=work, args=(which,)) for which in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for which, inversions in results.items():
        assert len(inversions) == 2
        for inversion in inversions:
            np.testing.assert_array_equal(inversion.image, serial[which].image)
            np.testing.assert_array_equal(inversion.offset_codes, serial[which].offset_codes)


BAD_BATCHES = {
    "no photos": np.zeros((0, 3, 256, 256), np.float32),
    "a rank too few": np.zeros((3, 256, 256), np.float32),
    "another size": np.zeros((1, 3, 255, 256), np.float32),
    "another type": np.zeros((1, 3, 256, 256), np.float64),
    "NaN": np.full((1, 3, 256, 256), np.nan, np.float32),
    "another range": np.full((1, 3, 256, 256), 255, np.float32),
    "no array": [[1.0]],
}


@pytest.mark.parametrize("batch", BAD_BATCHES.values(), ids=BAD_BATCHES)
def test_a_bad_batch_is_an_error_and_the_session_goes_on(faces256: Session, batch: np.ndarray) -> None:
    with pytest.raises(ArrayError):
        faces256.refine(batch, 1)
    good = next(faces256.refine(np.zeros((1, 3, 256, 256), np.float32), 0))
    assert np.isfinite(good.image).all()


@pytest.mark.parametrize("steps", [-1, 101, 1.5, True, "2"])
def test_steps_out_of_range_are_an_error(faces256: Session, steps: int) -> None:
    with pytest.raises(ArrayError, match="steps"):
        faces256.refine(np.zeros((1, 3, 256, 256), np.float32), steps)


def test_photos_that_cannot_be_read_are_an_error(faces256: Session, tmp_path: Path) -> None:
    with pytest.raises(ImageError):
        faces256.invert(tmp_path / "missing.png")
    with pytest.raises(ArrayError, match="empty"):
        faces256.invert([])


def test_an_inversion_of_another_model_or_shape_is_refused(faces256: Session) -> None:
    codes, offsets = np.zeros((14, 512), np.float32), np.zeros((13, 512), np.float32)
    model = faces256.manifest.model
    for wrong in (
        Inversion(codes, offsets, 1, "another"),
        Inversion(codes[:13], offsets, 1, model),
        Inversion(codes, offsets[None], 1, model),
    ):
        with pytest.raises(InversionError):
            faces256.synthesize(wrong)
        with pytest.raises(InversionError):
            faces256.weight_offsets(wrong)
    with pytest.raises(ArrayError):
        faces256.synthesize(Inversion(codes, offsets, 1, model), np.zeros((0, 14, 512), np.float32))


def test_a_backend_loads_or_fails(faces256_bundle: Path) -> None:
    with pytest.raises(BackendError, match="Unknown backend"):
        load(faces256_bundle, backend="tensorflow")
    with pytest.raises(BackendError, match="precision hint"):
        load(faces256_bundle, backend="onnxruntime", precision_hint="bf16")
    with pytest.raises(ArrayError, match="threads"):
        load(faces256_bundle, threads=0)
