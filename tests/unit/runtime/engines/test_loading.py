"""An engine is loaded when it is this user's, whole, and built for what is here; otherwise the cure is named."""

import dataclasses
import hashlib
import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from hyperstyle_deploy.cli import main
from hyperstyle_deploy.errors import BackendError, BundleError, EngineError
from hyperstyle_deploy.runtime.backends.engines.loading import load_engine, rebuild
from hyperstyle_deploy.runtime.backends.engines.overview import engine_states
from hyperstyle_deploy.runtime.backends.engines.record import MODULES, Flags, Recipe, engines_folder
from hyperstyle_deploy.runtime.backends.gpu import Gpu
from hyperstyle_deploy.runtime.bundle.reader import Bundle
from hyperstyle_deploy.runtime.manifest.checksum import with_checksum

if TYPE_CHECKING:
    from .conftest import EngineBundle

IMAGE = (1, 3, 32, 32)
AMPERE, OTHER_ADA = Gpu("NVIDIA GeForce RTX 3090", 86), Gpu("NVIDIA L40S", 89)
HOPPER, TURING = Gpu("NVIDIA H200", 90), Gpu("NVIDIA T4", 75)


def options_of(error: pytest.ExceptionInfo[EngineError]) -> dict[str, object]:
    """The options of the one command in an error's message, parsed as the command line would."""
    (line,) = re.findall(r"hyperstyle-deploy (build .*)", str(error.value))
    _, *arguments = shlex.split(line.partition(". If you trust")[0].rstrip("."))
    command: click.Command = main.commands["build"]
    return command.make_context("build", arguments).params


@pytest.mark.parametrize("target", MODULES)
def test_an_engine_that_fits_is_returned(engines: "EngineBundle", target: str) -> None:
    recipe = engines.recipe(target=target)
    engine = engines.engine(recipe)
    loaded = load_engine(engines.bundle, engines.machine(recipe), "encoder", {"image": (4, 3, 32, 32)})
    assert loaded == (engine, b"an engine")


@pytest.mark.parametrize("target", MODULES)
def test_no_engine_names_the_command_that_builds_it(engines: "EngineBundle", target: str) -> None:
    machine = engines.machine(engines.recipe(target=target))
    with pytest.raises(EngineError, match="no engines") as caught:
        load_engine(engines.bundle, machine, "encoder")
    options = options_of(caught)
    assert (options["bundle"], options["target"]) == (engines.bundle.path, target)
    assert options["stages"] == ("encoder",)
    engines.engine(engines.recipe(target=target))
    with pytest.raises(EngineError, match=f"no {target} engine of hypernet. Got: encoder"):
        load_engine(engines.bundle, machine, "hypernet")


def test_an_engine_error_is_a_backend_error() -> None:
    assert issubclass(EngineError, BackendError)


@pytest.mark.parametrize(
    ("target", "flags", "version", "fits"),
    [
        ("tensorrt-rtx", Flags(), "1.7.1.117", False),
        ("tensorrt-rtx", Flags(), "1.6.0.1", False),
        ("tensorrt", Flags(), "11.4.0.107", False),
        ("tensorrt", Flags(version_compatible=True), "11.4.0.107", True),
        ("tensorrt", Flags(version_compatible=True), "11.10.0.1", True),
        ("tensorrt", Flags(version_compatible=True), "11.3.0.99", False),
        ("tensorrt", Flags(version_compatible=True), "12.0.0.1", False),
        ("tensorrt", Flags(version_compatible=True), "10.16.1.11", False),
    ],
)
def test_another_version(engines: "EngineBundle", target: str, flags: Flags, version: str, fits: bool) -> None:
    recipe = engines.recipe(target=target, flags=flags)
    engines.engine(recipe)
    machine = engines.machine(recipe, library=version)
    if fits:
        assert load_engine(engines.bundle, machine, "encoder")[1] == b"an engine"
        return
    with pytest.raises(EngineError, match=f"another version of {target}. Got: {recipe.library}. Expected: {version}"):
        load_engine(engines.bundle, machine, "encoder")


@pytest.mark.parametrize(
    ("target", "level", "gpu", "fits"),
    [
        ("tensorrt-rtx", "none", OTHER_ADA, True),
        ("tensorrt-rtx", "none", Gpu("NVIDIA GeForce RTX 5090", 120), True),
        ("tensorrt-rtx", "none", AMPERE, False),
        ("tensorrt-rtx", "none", HOPPER, False),
        ("tensorrt", "none", OTHER_ADA, False),
        ("tensorrt", "none", HOPPER, False),
        ("tensorrt", "same-compute-capability", OTHER_ADA, True),
        ("tensorrt", "same-compute-capability", AMPERE, False),
        ("tensorrt", "ampere-plus", HOPPER, True),
        ("tensorrt", "ampere-plus", AMPERE, True),
        ("tensorrt", "ampere-plus", TURING, False),
    ],
)
def test_another_gpu(engines: "EngineBundle", target: str, level: str, gpu: Gpu, fits: bool) -> None:
    recipe = engines.recipe(target=target, flags=Flags(hardware_compatible=level))
    engines.engine(recipe)
    machine = engines.machine(recipe, gpu=gpu)
    if fits:
        assert load_engine(engines.bundle, machine, "encoder")[1] == b"an engine"
        return
    dotted = f"{gpu.compute_capability // 10}.{gpu.compute_capability % 10}"
    with pytest.raises(EngineError, match=f"another GPU.*Expected: {gpu.name}, compute capability {dotted}"):
        load_engine(engines.bundle, machine, "encoder")


@pytest.mark.parametrize(
    ("gpu", "target", "capabilities"),
    [(AMPERE, "tensorrt-rtx", (86, 89, 120)), (TURING, "tensorrt", None), (HOPPER, "tensorrt", None)],
)
def test_the_command_for_another_gpu_serves_it(
    engines: "EngineBundle", gpu: Gpu, target: str, capabilities: tuple[int, ...] | None
) -> None:
    recipe = engines.recipe()
    engines.engine(recipe)
    with pytest.raises(EngineError, match="another GPU") as caught:
        load_engine(engines.bundle, engines.machine(recipe, gpu=gpu), "encoder")
    options = options_of(caught)
    assert (options["target"], options["compute_capability"]) == (target, capabilities)


def test_another_platform_is_refused_where_engines_are_not_portable(engines: "EngineBundle") -> None:
    for target, fits in (("tensorrt", False), ("tensorrt-rtx", True)):
        recipe = engines.recipe(target=target, platform="Windows-AMD64")
        engines.engine(recipe)
        if fits:
            load_engine(engines.bundle, engines.machine(recipe), "encoder")
        else:
            with pytest.raises(EngineError, match=r"another platform. Got: Windows-AMD64"):
                load_engine(engines.bundle, engines.machine(recipe), "encoder")


def test_another_precision(engines: "EngineBundle") -> None:
    recipe = engines.recipe(precision="float16")
    engines.engine(recipe)
    with pytest.raises(EngineError, match=r"another precision. Got: float16. Expected: float32"):
        load_engine(engines.bundle, engines.machine(recipe), "encoder")


def test_another_export_of_the_graph(engines: "EngineBundle") -> None:
    recipe = engines.recipe()
    engines.engine(recipe)
    path = engines.bundle.path
    document = json.loads((path / "bundle.json").read_bytes())
    other = b"\x08\x0a\x12\x05other"
    (path / "encoder.onnx").write_bytes(other)
    document["files"]["encoder.onnx"] = {"bytes": len(other), "sha256": hashlib.sha256(other).hexdigest()}
    (path / "bundle.json").write_text(with_checksum(document))
    with pytest.raises(EngineError, match="another export of the graph"):
        load_engine(Bundle.open(path), engines.machine(recipe), "encoder")


def test_an_engine_of_a_graph_that_is_not_there(engines: "EngineBundle") -> None:
    recipe = dataclasses.replace(engines.recipe(), stage="decoder")
    engines.engine(recipe)
    with pytest.raises(BundleError, match="has no graph decoder"):
        load_engine(engines.bundle, engines.machine(recipe), "decoder")
    (state,) = engine_states(engines.bundle)
    assert "has no graph decoder" in str(state.problem)


def test_a_graph_that_changed_is_told_by_the_overview(engines: "EngineBundle") -> None:
    engines.engine(engines.recipe())
    (engines.bundle.path / "encoder.onnx").write_bytes(b"another")
    (state,) = engine_states(Bundle(engines.bundle.path, engines.bundle.manifest))
    assert "not the one that was exported" in str(state.problem)


@pytest.mark.parametrize(
    ("shape", "batch"),
    [((5, 3, 32, 32), (1, 1, 5)), ((1, 3, 24, 32), None), ((3, 32, 32), None), ((), None)],
)
def test_other_shapes(engines: "EngineBundle", shape: tuple[int, ...], batch: tuple[int, int, int] | None) -> None:
    recipe = engines.recipe()
    engines.engine(recipe)
    with pytest.raises(EngineError, match=re.escape(f"Got: image {list(shape)}. Expected: [1, 3, 32, 32] to")) as got:
        load_engine(engines.bundle, engines.machine(recipe), "encoder", {"image": shape})
    assert options_of(got)["batch"] == batch if batch else "hyperstyle-deploy build" not in str(got.value)


def test_an_input_without_a_profile_is_not_checked_here(engines: "EngineBundle") -> None:
    recipe = engines.recipe(batch=None, profiles={})
    engines.engine(recipe)
    load_engine(engines.bundle, engines.machine(recipe), "encoder", {"image": IMAGE})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("missing", "is missing"),
        ("shorter", "is not the one that was built. Got: 8 bytes. Expected: 9 bytes"),
        ("one bit", "is not the one that was built. Got: sha256"),
    ],
)
@pytest.mark.parametrize("trust", [False, True])
def test_a_damaged_engine(engines: "EngineBundle", damage: str, message: str, trust: bool) -> None:
    recipe = engines.recipe()
    path = engines_folder(engines.bundle.path, recipe.target) / engines.engine(recipe).file
    path.unlink()
    if damage != "missing":
        path.write_bytes(b"an engin" if damage == "shorter" else b"an enginf")
    with pytest.raises(EngineError, match=message) as caught:
        load_engine(engines.bundle, engines.machine(recipe), "encoder", trust_engines=trust)
    assert options_of(caught)["force"] is True


def test_an_engine_that_is_a_link_is_refused(engines: "EngineBundle", tmp_path: Path) -> None:
    recipe = engines.recipe()
    path = engines_folder(engines.bundle.path, recipe.target) / engines.engine(recipe).file
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="symbolic link"):
        load_engine(engines.bundle, engines.machine(recipe), "encoder")


def test_a_foreign_engine_is_loaded_only_when_told_to(
    engines: "EngineBundle", monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recipe = engines.recipe()
    engines.engine(recipe)
    monkeypatch.setenv("HYPERSTYLE_DEPLOY_STATE", str(tmp_path / "another user"))
    machine = engines.machine(recipe)
    with pytest.raises(EngineError, match=r"did not come from a build of this user.*--trust-engines") as caught:
        load_engine(engines.bundle, machine, "encoder")
    assert options_of(caught)["force"] is True
    assert load_engine(engines.bundle, machine, "encoder", trust_engines=True)[1] == b"an engine"
    with pytest.raises(EngineError, match="another GPU"):  # trusted, yet built for something else
        load_engine(engines.bundle, engines.machine(recipe, gpu=AMPERE), "encoder", trust_engines=True)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"batch": (2, 4, 8)},
        {"batch": None},
        {"flags": Flags(512, 5, False, "none", True)},
        {"target": "tensorrt", "flags": Flags(None, 0, True, "ampere-plus")},
        {"stage": "synthesis_one", "batch": None},
    ],
)
def test_the_command_has_every_option_of_the_recipe(engines: "EngineBundle", changes: dict[str, object]) -> None:
    recipe: Recipe = dataclasses.replace(engines.recipe(), **changes)
    _, _, *arguments = shlex.split(rebuild(recipe, Path("my bundle")))
    options = main.commands["build"].make_context("build", arguments).params
    assert (options["bundle"], options["target"]) == (Path("my bundle"), recipe.target)
    assert options["stages"] == (recipe.stage,)
    assert options["batch"] == (recipe.batch or (1, 1, 4))
    assert options["compute_capability"] == (recipe.compute_capabilities if recipe.target == "tensorrt-rtx" else None)
    assert options["force"] is False
    assert recipe.flags == Flags(
        *(options[name] for name in ("workspace", "optimization_level")),
        *(options[name] for name in ("version_compatible", "hardware_compatible", "tf32")),
    )


def test_the_overview_says_what_is_wrong(engines: "EngineBundle", monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine_states(engines.bundle) == []
    engine = engines.engine(engines.recipe())
    engines.engine(engines.recipe(target="tensorrt", precision="float16"))
    states = {state.target: state for state in engine_states(engines.bundle)}
    assert (states["tensorrt-rtx"].engine, states["tensorrt-rtx"].problem) == (engine, None)
    assert "another precision" in str(states["tensorrt"].problem)
    (engines_folder(engines.bundle.path, "tensorrt") / "engine.json").write_text("[]")
    (engines_folder(engines.bundle.path, "tensorrt-rtx") / engine.file).unlink()
    states = {state.target: state for state in engine_states(engines.bundle)}
    assert states["tensorrt"].engine is None
    assert "schema version" in str(states["tensorrt"].problem)
    assert "is missing" in str(states["tensorrt-rtx"].problem)
    assert json.loads(json.dumps([state.to_json() for state in states.values()]))[1]["recipe"]["stage"] == "encoder"
