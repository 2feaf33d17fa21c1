"""Which photos stop, at which step, and what the loop still draws of a batch."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy.errors import ArrayError
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.images import mean_squared_error
from hyperstyle_deploy.runtime.refinement.settling import Settling
from hyperstyle_deploy.runtime.serving.batch import DONE, SKIPPED, Outputs, invert_files
from hyperstyle_deploy.runtime.serving.strips import Strip
from hyperstyle_deploy.runtime.session import Session


class Drawn:
    """A step that has its errors, and is counted."""

    def __init__(self, index: int, errors: tuple[float, ...], loss: float | None = None, wrong: bool = False) -> None:
        self.index, self.l2 = index, np.array(errors)
        self._loss, self._wrong = loss, wrong

    def losses(self, photo: int) -> dict[str, float]:
        return {} if self._loss is None else {"mse": self._loss}

    def unusable(self, photo: int) -> str | None:
        return "the gradient of codes" if self._wrong else None


def run(curves: list[list[float]], until_gain: float | None) -> tuple[list[int], list[list[float]], int]:
    """Result's step and L2 of each photo, and the last step that was asked for."""
    settling = Settling(len(curves), until_gain)
    for index, errors in enumerate(zip(*curves, strict=True)):
        if not settling.take(Drawn(index, errors)):
            break
    return [settling.results[photo].index for photo in range(len(curves))], settling.l2, index


def test_photos_stop_one_by_one() -> None:
    good, flat, worse = [1.0, 0.5, 0.25, 0.1], [1.0, 0.8, 0.799, 0.1], [1.0, 0.5, 0.6, 0.1]
    steps, l2, last = run([good, flat, worse], 0.01)
    assert steps == [3, 2, 1]  # all of them; a step that gained 0.1 %; the one before L2 rose
    assert l2 == [good, flat[:3], worse[:2]]
    assert last == 3
    assert run([flat, worse], 0.01)[2] == 2  # nobody goes on: the loop ends


def test_without_a_gain_every_photo_takes_every_step() -> None:
    assert run([[1.0, 2.0, 3.0]], None) == ([2], [[1.0, 2.0, 3.0]], 2)


def test_at_zero_only_a_worse_step_stops() -> None:
    assert run([[1.0, 1.0, 1.0], [1.0, 0.9, 0.91]], 0.0)[0] == [2, 1]


def test_the_first_state_stops_nobody_and_the_last_step_may_be_given_back() -> None:
    assert run([[1.0]], 0.5) == ([0], [[1.0]], 0)
    assert run([[1.0, 1.5]], 0.5)[0] == [0]


@pytest.mark.parametrize("loss", [1.0, float("nan")], ids=["gradient", "loss"])
def test_an_optimisation_that_runs_away_keeps_its_best_state(loss: float) -> None:
    settling = Settling(1, None)
    for index, error in enumerate((1.0, 0.3, 0.5, 90.0)):
        assert settling.take(Drawn(index, (error,), loss=1.0))
    assert not settling.take(Drawn(4, (1e9,), loss=loss, wrong=True))
    assert settling.failures == {0: "step 4: the gradient of codes is not finite"}
    assert settling.results[0].index == 1
    assert settling.l2 == [[1.0, 0.3]]


def test_a_strip_shows_a_result_of_long_ago() -> None:
    drawn = Strip(steps=100)
    pictures = [np.full((1, 1, 3), index, np.uint8) for index in range(41)]
    for index, picture in enumerate(pictures):
        drawn.keep(index, picture)
    drawn.keep(22, pictures[22])
    assert [int(picture[0, 0, 0]) for picture in drawn.pictures(22)] == [0, 9, 18, 22]


@pytest.mark.parametrize("gain", [-0.1, 1.0, float("nan")])
def test_a_gain_out_of_range_is_an_error(gain: float) -> None:
    with pytest.raises(ArrayError, match="until_gain"):
        Settling(1, gain)


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """A drawing and its negative, whose L2 curves differ."""
    folder = tmp_path / "photos"
    folder.mkdir()
    picture = Image.open(Path(__file__).parents[2] / "data" / "faces.png").convert("RGB").resize((256, 256))
    picture.save(folder / "a.png")
    Image.fromarray(255 - np.asarray(picture)).save(folder / "b.png")
    return sorted(folder.iterdir())


@pytest.mark.exhaustive
def test_a_stopped_photo_is_what_the_plain_loop_had(tiny: Session, photos: list[Path]) -> None:
    """On every backend: codes, picture and errors are the chosen step's, and other photos of the batch go on."""
    batch = tiny.prepare(photos)
    steps = list(tiny.refine(batch, 2))
    curves = np.array([mean_squared_error(batch, step.reconstruction) for step in steps]).T
    gains = np.sort((curves[:, 0] - curves[:, 1]) / curves[:, 0])
    assert gains[1] - gains[0] > 1e-4
    between = float(gains.mean())
    if not 0 <= between < 1:
        pytest.skip("seeded weights make both photos worse")
    found = tiny.invert(list(photos), steps=2, until_gain=between)
    expected = [run([list(curve)], between) for curve in curves]
    assert [inversion.steps for inversion in found] == [chosen[0][0] for chosen in expected]
    for photo, inversion in enumerate(found):
        step = steps[inversion.steps]
        np.testing.assert_allclose(inversion.l2, curves[photo][: inversion.steps + 1], rtol=1e-6)
        np.testing.assert_allclose(inversion.offset_codes, step.offset_codes[photo], atol=1e-6)
        assert np.abs(tiny.synthesize(inversion)[0].astype(int) - inversion.image.astype(int)).max() <= 1


@pytest.mark.exhaustive
def test_stopping_and_resuming(tiny: Session, photos: list[Path], tmp_path: Path) -> None:
    def invert(until_gain: float | None, steps: int = 1) -> list[tuple[str, int | None]]:
        outputs = Outputs(tmp_path / "out", steps, every_step=True, until_gain=until_gain)
        records = list(invert_files(tiny, photos, outputs, batch=2, on_step=counted.append))
        for record in records:
            assert all(file.exists() for file in record.files)
            assert len(record.l2) == record.steps + 1
        return [(record.status, record.steps) for record in sorted(records, key=lambda record: record.photo)]

    counted: list[int] = []
    first = invert(0.99)  # nobody gains so much: all stop after step 1, or go back to 0
    assert [status for status, _ in first] == [DONE, DONE]
    assert sum(counted) == 2 * 2
    assert invert(0.99) == [(SKIPPED, steps) for _, steps in first]
    assert [status for status, _ in invert(0.5)] == [DONE, DONE]  # another gain is another result
    assert [status for status, _ in invert(None)] == [DONE, DONE]
    assert invert(None) == [(SKIPPED, 1), (SKIPPED, 1)]
    assert Inversion.load(tmp_path / "out" / "a.inversion").steps == 1
