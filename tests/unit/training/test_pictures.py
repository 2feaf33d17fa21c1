"""The drawn faces: the same for a seed, the same at every size, smooth at the edges, and as their parameters say."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hyperstyle_deploy.training.faces import face_of
from hyperstyle_deploy.training.landmarks import landmarks
from hyperstyle_deploy.training.parameters import ATTRIBUTES, EXTRAS, HELD_OUT, PARAMETERS, sample
from hyperstyle_deploy.training.pictures import draw

SIZE = 64


def middle(**values: float) -> Tensor:
    """One face with every parameter at its middle but those named."""
    parameters = torch.full((1, len(PARAMETERS)), 0.5)
    for name, value in values.items():
        parameters[0, PARAMETERS.index(name)] = value
    return parameters


def change(name: str) -> Tensor:
    """How far each pixel moves from one end of a parameter to the other, [SIZE, SIZE]."""
    return (draw(middle(**{name: 1.0}), SIZE) - draw(middle(**{name: 0.0}), SIZE)).abs().mean((0, 1))


def test_a_face_depends_on_its_seed_alone() -> None:
    together, extras = sample([3, 4, HELD_OUT])
    alone, extras_alone = sample([4])
    assert torch.equal(together[1], alone[0])
    assert torch.equal(extras[1], extras_alone[0])
    assert not torch.equal(together[0], together[1])
    assert torch.equal(draw(together, SIZE, extras), draw(together, SIZE, extras))
    assert torch.allclose(draw(together, SIZE, extras)[1], draw(alone, SIZE, extras_alone)[0], atol=1e-5)


def test_every_face_with_extras_has_one() -> None:
    _, extras = sample(range(200))
    present = extras[:, : len(EXTRAS)]
    assert extras.shape[1] == len(EXTRAS) + len(ATTRIBUTES)
    assert set(present.unique().tolist()) == {0.0, 1.0}
    assert present.sum(1).min() >= 1
    assert (present.mean(0) > 0.2).all()
    assert (present.mean(0) < 0.8).all()


def test_values_are_a_pictures() -> None:
    parameters, extras = sample(range(16))
    pictures = draw(parameters, SIZE, extras)
    assert pictures.shape == (16, 3, SIZE, SIZE)
    assert pictures.min() >= -1
    assert pictures.max() <= 1
    assert pictures.std() > 0.2


def test_a_large_picture_made_small_is_the_small_one() -> None:
    """So edges are anti-aliased: a jagged picture would differ by whole pixels."""
    parameters, extras = sample(range(4))
    small, large = draw(parameters, SIZE, extras), F.avg_pool2d(draw(parameters, 4 * SIZE, extras), 4)
    assert (small - large).abs().mean() < 0.015
    assert (small - large).square().mean().sqrt() < 0.04


def test_a_shape_moves_smoothly() -> None:
    """A hundredth of a pixel of movement changes a picture by about a hundredth of what a pixel does."""
    one = 2 / SIZE / 0.3  # the turn of the head that moves a feature by about a pixel
    start = draw(middle(turn=0.4), SIZE)
    pixel = (draw(middle(turn=0.4 + one), SIZE) - start).abs().mean()
    small = (draw(middle(turn=0.4 + one / 100), SIZE) - start).abs().mean()
    assert 0.3 * pixel < 100 * small < 3 * pixel


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_parameter_shows(name: str) -> None:
    assert change(name).max() > 0.03


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("smile", (38, 52)),
        ("mouth_open", (36, 54)),
        ("eye_open", (25, 41)),
        ("gaze", (25, 41)),
        ("brow_slant", (17, 35)),
    ],
)
def test_a_feature_changes_where_it_is(name: str, rows: tuple[int, int]) -> None:
    changed = change(name).sum(1)
    assert changed[slice(*rows)].sum() > 0.99 * changed.sum()


def test_brightness_parameters_brighten() -> None:
    corner = (slice(None), slice(None), slice(0, 6), slice(0, 6))
    dark, light = (draw(middle(background_light=v), SIZE)[corner].mean() for v in (0.0, 1.0))
    assert light > dark + 0.2
    chin = (slice(None), slice(None), 54, 32)
    dark, light = (draw(middle(skin_tone=v), SIZE)[chin].mean() for v in (0.0, 1.0))
    assert light > dark + 0.4


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_is_seen_and_only_where_present(extra: str) -> None:
    extras = torch.full((1, len(EXTRAS) + len(ATTRIBUTES)), 0.5)
    extras[0, : len(EXTRAS)] = 0
    face = middle(hair_length=0.2)
    assert torch.allclose(draw(face, SIZE, extras), draw(face, SIZE), atol=1e-6)
    extras[0, EXTRAS.index(extra)] = 1
    assert (draw(face, SIZE, extras) - draw(face, SIZE)).abs().max() > 0.2


def test_landmarks_lie_on_their_features() -> None:
    parameters, _ = sample(range(8))
    points = landmarks(parameters, 256)
    assert points.shape == (8, 68, 2)
    face = face_of(parameters)
    eyes = torch.stack([points[:, 36:42].mean(1), points[:, 42:48].mean(1)], 1)
    expected = torch.stack([face.eye_x(-1), face.eye_x(1)], 1)
    assert torch.allclose(eyes[..., 0] / 128 - 1, expected, atol=1e-5)
    assert (points[:, 48, 0] < points[:, 54, 0]).all()
    assert (points[:, 48:68, 1].mean(1) > points[:, 27:36, 1].mean(1)).all()
    assert (points[:, 8, 1] >= points[:, :17, 1].max(1).values - 1e-3).all()


def test_landmarks_are_where_the_picture_has_the_feature() -> None:
    """Between an open eye's landmarks there is white, between an open mouth's there is dark."""
    parameters = middle(eye_open=1.0, mouth_open=1.0, gaze=1.0, turn=0.5)
    points, picture = landmarks(parameters, 256)[0], draw(parameters, 256)[0]

    def pixel(x: float, y: float) -> Tensor:
        return picture[:, int(y), int(x)]

    left, right = points[36], points[39]
    assert pixel(float(left[0] + 0.25 * (right[0] - left[0])), float(left[1])).min() > 0.6
    inner = points[60:68].mean(0)
    assert pixel(float(inner[0]), float(inner[1]) + 4).max() < 0.0
    lip = (points[51] + points[62]) / 2
    red, green, _ = pixel(float(lip[0]), float(lip[1]))
    assert red > green + 0.1
