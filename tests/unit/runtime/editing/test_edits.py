"""Edits: the formulas, one batch with a person's weights, names and mixing, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from hyperstyle_deploy.errors import ArrayError, DirectionError, InversionError
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.editing.change import Mix
from hyperstyle_deploy.runtime.session import Session
from hyperstyle_deploy.tests.small_bundle import STYLES, WIDTH
from hyperstyle_deploy.tests.unit.runtime.editing.conftest import smile, unit


def test_a_vector_is_added_to_its_rows(session: Session, people: list[Inversion]) -> None:
    person = people[0]
    found = session.edited_codes(person, [{"smile": 2.5}, {"pose": -1}, {"smile": 2.5, "pose": -1}, {}])
    smiling = person.codes + np.float32(2.5) * session.directions.read("smile").vector
    np.testing.assert_array_equal(found[0], smiling)
    turned = person.codes.copy()
    turned[1:4] -= session.directions.read("pose").vector
    np.testing.assert_allclose(found[1], turned, atol=1e-6)
    np.testing.assert_allclose(found[2], smiling + turned - person.codes, atol=1e-6)
    np.testing.assert_array_equal(found[3], person.codes)


def test_a_component_moves_its_rows_to_a_coordinate(session: Session, people: list[Inversion]) -> None:
    """Of the first row, in deviations from the mean: where the first row is moved too, it ends up there."""
    person, direction = people[0], session.directions.read("colour")
    codes = session.edited_codes(person, {"colour": 4.0})[0]
    deviation, vector = float(direction.deviation[0]), direction.vector[0]
    coordinate = (person.codes[0] - direction.mean[0]) @ vector / deviation
    np.testing.assert_allclose(codes[2:5] - person.codes[2:5], [(4 - coordinate) * deviation * vector] * 3, atol=1e-5)
    np.testing.assert_array_equal(codes[:2], person.codes[:2])
    np.testing.assert_array_equal(codes[5:], person.codes[5:])


def test_edits_are_drawn_together_with_the_persons_weights(session: Session, people: list[Inversion]) -> None:
    edits = [{"smile": strength} for strength in (-3, 0, 3)]
    for person in people:
        together = session.edit(person, edits)
        assert (together.shape, together.dtype) == ((3, 32, 32, 3), np.uint8)
        np.testing.assert_array_equal(together[1], person.image)
        for edit, picture in zip(edits, together, strict=True):
            difference = np.abs(picture.astype(int) - session.edit(person, edit)[0]).max()
            assert difference <= 1
        assert np.abs(together[0].astype(int) - together[2]).max() > 5
    np.testing.assert_array_equal(
        session.edit(people[0], edits), session.synthesize(people[0], session.edited_codes(people[0], edits))
    )


def test_rows_of_another_person_are_mixed_in(session: Session, people: list[Inversion]) -> None:
    own, other = people
    whole, half = session.edited_codes(own, [{Mix(other, (2, 5)): 1.0}, {Mix(other, (2, 5)): 0.5}])
    np.testing.assert_allclose(whole[2:5], other.codes[2:5], atol=1e-6)
    np.testing.assert_array_equal(whole[:2], own.codes[:2])
    np.testing.assert_allclose(half[2:5], (own.codes[2:5] + other.codes[2:5]) / 2, atol=1e-6)


def test_a_direction_need_not_be_in_the_bundle(session: Session, people: list[Inversion]) -> None:
    grin = smile(session.manifest.model, "grin")
    np.testing.assert_array_equal(session.edit(people[0], {grin: 2}), session.edit(people[0], {"smile": 2}))


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        ({"grin": 1}, r"no direction grin. Got: colour, pose, smile"),
        ({"smile": float("nan")}, "strength of smile is out of range. Got: nan. Expected: -100 to 100"),
        ({"smile": 100.1}, "strength of smile is out of range"),
        ({"smile": "2"}, "strength of smile is no number. Got: str"),
        ({"smile": True}, "strength of smile is no number"),
        ({smile("f" * 64): 1}, "belongs to another model"),
    ],
)
def test_what_is_no_edit_is_refused(session: Session, people: list[Inversion], edit: dict, match: str) -> None:
    with pytest.raises(DirectionError, match=match):
        session.edit(people[0], edit)


def test_wrong_rows_people_and_lists_are_refused(session: Session, people: list[Inversion]) -> None:
    for rows in ((0, STYLES + 1), (3, 3), (-1, 2)):
        with pytest.raises(DirectionError, match="rows to mix"):
            session.edit(people[0], {Mix(people[1], rows): 1})
    stranger = Inversion({"codes": unit(STYLES, WIDTH)}, 0, "e4e", "0" * 64)
    foreign = Inversion({"codes": unit(STYLES, WIDTH)}, 0, "hyperstyle", "1" * 64)
    with pytest.raises(InversionError, match="another model"):
        session.edit(people[0], {Mix(foreign, (0, 1)): 1})
    with pytest.raises(InversionError, match="another method"):
        session.edit(stranger, {"smile": 1})
    with pytest.raises(ArrayError, match="No edits"):
        session.edit(people[0], [])
    assert session.edit(people[0], {}).shape == (1, 32, 32, 3)


def test_other_methods_edit_too(toys, tmp_path: Path) -> None:
    from hyperstyle_deploy.runtime.session import load

    for method in ("psp", "restyle-e4e"):
        session = load(toys(method), backend="onnxruntime", threads=1)
        person = session.invert(np.zeros((32, 32, 3), np.uint8))
        direction = smile(session.manifest.model)
        first, second = session.edit(person, [{}, {direction: 3}])
        np.testing.assert_array_equal(first, person.image)
        assert np.abs(second.astype(int) - first).max() > 5
