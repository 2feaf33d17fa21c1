"""Records from strangers: read strictly, and never from or into another folder."""

import copy
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from hyperstyle_deploy.errors import EngineError
from hyperstyle_deploy.runtime.backends.engines.record import (
    MAX_RECORD_BYTES,
    Flags,
    Profile,
    Record,
    engines_folder,
    read_record,
)

if TYPE_CHECKING:
    from .conftest import EngineBundle

TARGET = "tensorrt-rtx"
VALUES: tuple[Any, ...] = (None, True, 7, 7.5, "text", [], ["text"], {}, {"key": 1})


@pytest.fixture
def document(engines: "EngineBundle") -> Any:
    """A valid record as JSON values."""
    engines.engine(engines.recipe())
    return json.loads((engines_folder(engines.bundle.path, TARGET) / "engine.json").read_bytes())


def places(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every field of an object, and below it."""
    items: Any = value.items() if isinstance(value, dict) else ()
    for key, item in items:
        yield (*place, key)
        yield from places(item, (*place, key))


def at(document: Any, place: tuple[str | int, ...]) -> Any:
    for key in place:
        document = document[key]
    return document


def test_a_record_is_written_as_it_is_read(document: Any) -> None:
    record = Record.from_json(document, "engine.json")
    assert record.to_json() == Record.from_json(json.loads(json.dumps(record.to_json())), "").to_json()
    assert json.loads(json.dumps(record.to_json())) == document


def test_no_file_is_a_record_without_engines(engines: "EngineBundle") -> None:
    assert read_record(engines.bundle.path, TARGET) == Record(TARGET, {})


def test_every_field_is_needed_and_no_other(document: Any) -> None:
    named = [place for place in places(document) if place[-1] not in ("encoder", "image", "schema_version")]
    assert len(named) > 25
    for place in named:
        changed = copy.deepcopy(document)
        del at(changed, place[:-1])[place[-1]]
        with pytest.raises(EngineError, match=f"missing .*{place[-1]}"):
            Record.from_json(changed, "engine.json")
        changed = copy.deepcopy(document)
        at(changed, place[:-1])["surprise"] = 1
        with pytest.raises(EngineError, match="surprise"):
            Record.from_json(changed, "engine.json")


def test_every_field_has_its_type(document: Any) -> None:
    for place in places(document):
        good = at(document, place)
        for value in VALUES:
            # Numbers may be whole where fractions are allowed; empty maps and lists are of the right type.
            same = type(value) is type(good) or (isinstance(good, float) and type(value) is int)
            absent = value is None and (good is None or place[-1] == "batch")
            optional = good is None and type(value) is int
            if same or absent or optional:
                continue
            changed = copy.deepcopy(document)
            at(changed, place[:-1])[place[-1]] = value
            with pytest.raises(EngineError):
                Record.from_json(changed, "engine.json")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("schema_version",), 2, "another schema version. Got: 2. Expected: 1"),
        (("engines", "encoder", "file"), "../../bundle.json", "the name of an .engine file"),
        (("engines", "encoder", "file"), "a/b.engine", "the name of an .engine file"),
        (("engines", "encoder", "file"), "a\\b.engine", "the name of an .engine file"),
        (("engines", "encoder", "file"), "engine.json", "the name of an .engine file"),
        (("engines", "encoder", "key"), "0" * 64, "which follows from the recipe"),
        (("engines", "encoder", "recipe", "library"), "1.7.2", "which follows from the recipe"),
        (("engines", "encoder", "recipe", "stage"), "hypernet", "an engine of hypernet"),
        (("engines", "encoder", "recipe", "target"), "tensorrt", "for tensorrt"),
        (("target",), "tensorrt", "for tensorrt"),
        (("engines", "encoder", "recipe", "batch"), [1, 2], "2 entries"),
    ],
)
def test_what_cannot_be_is_refused(document: Any, place: tuple[str, ...], value: object, message: str) -> None:
    at(document, place[:-1])[place[-1]] = value
    with pytest.raises(EngineError, match=message):
        Record.from_json(document, "engine.json")


@pytest.mark.parametrize("flag", ["everything", ""])
def test_an_unknown_hardware_level_is_refused(engines: "EngineBundle", flag: str) -> None:
    engines.engine(engines.recipe(flags=Flags(hardware_compatible=flag)))
    with pytest.raises(EngineError, match="hardware_compatible"):
        read_record(engines.bundle.path, TARGET)


@pytest.mark.parametrize(
    "profile",
    [
        Profile((1, 3), (5, 3), (4, 3)),
        Profile((2, 3), (1, 3), (4, 3)),
        Profile((1, 3), (1,), (4, 3)),
        Profile((1, 3), (1, 3), (4,)),
    ],
)
def test_a_profile_that_holds_nothing_is_refused(engines: "EngineBundle", profile: Profile) -> None:
    engines.engine(engines.recipe(profiles={"image": profile}))
    with pytest.raises(EngineError, match=r"profiles\[image\]"):
        read_record(engines.bundle.path, TARGET)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[" * 200_000, b'{"schema_version": 1', b"9" * 5000, b"null", b"[]", b'"text"']
)
def test_what_is_no_record_is_refused(engines: "EngineBundle", content: bytes) -> None:
    folder = engines_folder(engines.bundle.path, TARGET)
    folder.mkdir(parents=True)
    (folder / "engine.json").write_bytes(content)
    with pytest.raises(EngineError):
        read_record(engines.bundle.path, TARGET)


@pytest.mark.parametrize("kind", ["link", "folder", "huge"])
def test_what_is_no_plain_file_is_refused(engines: "EngineBundle", kind: str) -> None:
    engines.engine(engines.recipe())
    path = engines_folder(engines.bundle.path, TARGET) / "engine.json"
    path.rename(path.with_name("elsewhere"))
    if kind == "link":
        path.symlink_to("elsewhere")
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(b" " * (MAX_RECORD_BYTES + 1))
    with pytest.raises(EngineError, match="a link, no file, or too large"):
        read_record(engines.bundle.path, TARGET)


@pytest.mark.parametrize("which", ["engines", "engines/tensorrt-rtx"])
def test_a_linked_folder_is_refused(engines: "EngineBundle", which: str) -> None:
    engines.engine(engines.recipe())
    path = engines.bundle.path / which
    path.rename(engines.bundle.path / "elsewhere")
    path.symlink_to(engines.bundle.path / "elsewhere")
    with pytest.raises(EngineError, match="is a symbolic link"):
        read_record(engines.bundle.path, TARGET)


def test_a_record_of_another_target_is_refused(engines: "EngineBundle") -> None:
    engines.engine(engines.recipe())
    engines_folder(engines.bundle.path, TARGET).rename(engines_folder(engines.bundle.path, "tensorrt"))
    with pytest.raises(EngineError, match=r"engines for tensorrt-rtx. Expected: tensorrt"):
        read_record(engines.bundle.path, "tensorrt")
