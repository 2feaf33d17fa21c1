"""The seal on engines: it holds for what this user built, and for nothing that was changed or came from elsewhere."""

import dataclasses
import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hyperstyle_deploy.errors import EngineError, OutputError
from hyperstyle_deploy.runtime.backends.engines.record import Engine, Flags
from hyperstyle_deploy.runtime.backends.engines.trust import KEY_NAME, is_sealed, own_key, runtime_cache, seal
from hyperstyle_deploy.runtime.bundle.user_folders import cache_folder, state_folder

if TYPE_CHECKING:
    from .conftest import EngineBundle


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder that does not exist yet."""
    folder = tmp_path / "new" / "state"
    monkeypatch.setenv("HYPERSTYLE_DEPLOY_STATE", str(folder))
    return folder


def test_the_key_is_made_once_and_private(state: Path) -> None:
    key = own_key()
    assert (len(key), own_key()) == (32, key)
    assert [file.name for file in state.iterdir()] == [KEY_NAME]
    assert stat.S_IMODE((state / KEY_NAME).stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


def test_builds_that_start_together_have_one_key(state: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: own_key(), range(32)))) == 1


def test_a_key_differs_from_user_to_user(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = own_key()
    monkeypatch.setenv("HYPERSTYLE_DEPLOY_STATE", str(tmp_path / "other"))
    assert own_key() != key


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_can_read_vouches_for_nothing(state: Path, engines: "EngineBundle", mode: int) -> None:
    engine = engines.engine(engines.recipe())
    assert is_sealed(engine)
    (state / KEY_NAME).chmod(mode)
    with pytest.raises(EngineError, match=f"cannot vouch for engines. Got: mode {mode:o}.*Delete it"):
        is_sealed(engine)
    with pytest.raises(EngineError, match="cannot vouch"):
        own_key()


@pytest.mark.parametrize("kind", ["short", "link", "folder"])
def test_what_is_no_key_of_ours_is_refused(state: Path, tmp_path: Path, kind: str) -> None:
    own_key()
    path = state / KEY_NAME
    content = path.read_bytes()
    path.unlink()
    if kind == "short":
        path.write_bytes(content[:16])
        path.chmod(0o600)
    elif kind == "link":
        (tmp_path / "theirs").write_bytes(content)
        path.symlink_to(tmp_path / "theirs")
    else:
        path.mkdir()
    with pytest.raises(EngineError, match="cannot vouch"):
        own_key()


def test_a_place_that_cannot_hold_the_key_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HYPERSTYLE_DEPLOY_STATE", str(tmp_path / "file" / "state"))
    with pytest.raises(OutputError, match="HYPERSTYLE_DEPLOY_STATE"):
        own_key()


def test_without_a_key_nothing_is_sealed(
    engines: "EngineBundle", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engines.engine(engines.recipe())
    assert is_sealed(engine)
    monkeypatch.setenv("HYPERSTYLE_DEPLOY_STATE", str(tmp_path / "none"))
    assert not is_sealed(engine)
    assert not (tmp_path / "none").exists()  # looking makes no key


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Engine)])
def test_a_seal_covers_every_field(engines: "EngineBundle", field: str) -> None:
    engine = engines.engine(engines.recipe())
    changes = {
        "recipe": dataclasses.replace(engine.recipe, flags=Flags(tf32=True)),
        "bytes": engine.bytes + 1,
        "seconds": 99.0,
        "seal": "0" * 64,
    }
    changed = dataclasses.replace(engine, **{field: changes.get(field, "another")})
    assert is_sealed(engine)
    assert not is_sealed(changed)


@pytest.mark.parametrize("text", ["", "ü", "0" * 64])
def test_any_text_may_stand_for_a_seal(engines: "EngineBundle", text: str) -> None:
    assert not is_sealed(dataclasses.replace(engines.engine(engines.recipe()), seal=text))


def test_a_seal_needs_the_key(engines: "EngineBundle") -> None:
    engine = engines.engine(engines.recipe())
    assert seal(engine, own_key()) == engine.seal
    assert seal(engine, bytes(32)) != engine.seal


def test_runtime_caches_lie_with_the_user_and_tell_gpus_apart(engines: "EngineBundle") -> None:
    engine = engines.engine(engines.recipe())
    ada, blackwell = runtime_cache(engine, 89), runtime_cache(engine, 120)
    assert ada != blackwell
    assert ada.is_relative_to(cache_folder())
    assert runtime_cache(dataclasses.replace(engine, sha256="f" * 64), 89) != ada


@pytest.mark.skipif(sys.platform != "linux", reason="the folders of Linux")
def test_folders_follow_the_xdg_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HYPERSTYLE_DEPLOY_STATE")
    monkeypatch.delenv("HYPERSTYLE_DEPLOY_CACHE")
    monkeypatch.setenv("HOME", "/home/someone")
    for variable, folder, default in (
        ("XDG_STATE_HOME", state_folder, ".local/state"),
        ("XDG_CACHE_HOME", cache_folder, ".cache"),
    ):
        monkeypatch.delenv(variable, raising=False)
        assert folder() == Path("/home/someone") / default / "hyperstyle-deploy"
        monkeypatch.setenv(variable, "relative")
        assert folder() == Path("/home/someone") / default / "hyperstyle-deploy"
        monkeypatch.setenv(variable, "/elsewhere")
        assert folder() == Path("/elsewhere/hyperstyle-deploy")
    assert not os.path.exists("/home/someone")
