"""What `build` builds, what it keeps, and what it says when it cannot, with TensorRT-RTX on a small bundle."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import pytest
import tensorrt_rtx
from onnx import TensorProto, helper

import hyperstyle_deploy
from hyperstyle_deploy.errors import BuildError, BundleError, EngineError, OutputError
from hyperstyle_deploy.export.engines import builder, targets
from hyperstyle_deploy.export.engines.builder import DEFAULT_STAGES, Built, build
from hyperstyle_deploy.export.engines.callbacks import Messages, Output, Silent
from hyperstyle_deploy.export.engines.lock import only_builder
from hyperstyle_deploy.export.engines.targets import DEFAULT_CAPABILITIES, Options
from hyperstyle_deploy.export.graphs import BATCH, STEPS
from hyperstyle_deploy.runtime.backends.engines.loading import RTX_CAPABILITIES
from hyperstyle_deploy.runtime.backends.engines.logger import logger
from hyperstyle_deploy.runtime.backends.engines.record import (
    BATCH_AXIS,
    STEPS_AXIS,
    Flags,
    Profile,
    engines_folder,
    read_record,
)
from hyperstyle_deploy.runtime.backends.engines.trust import KEY_NAME
from hyperstyle_deploy.runtime.bundle.files import sha256_of

if TYPE_CHECKING:
    from hyperstyle_deploy.tests.tiny_bundle import TinyBundle

RTX = "tensorrt-rtx"


def rtx(bundle: "TinyBundle", *stages: str, **options: Any) -> list[Built]:
    force = options.pop("force", False)
    return build(bundle.path, RTX, stages or ("encoder",), Options(**options), force)


def files(bundle: "TinyBundle") -> list[str]:
    return sorted(file.name for file in engines_folder(bundle.path, RTX).iterdir())


def test_every_stage_of_the_gpu_loop_is_built_unless_others_are_named(tiny_bundle: "TinyBundle") -> None:
    built = build(tiny_bundle.path, RTX)
    assert [one.engine.recipe.stage for one in built] == list(DEFAULT_STAGES)
    assert not any(one.reused for one in built)
    record = read_record(tiny_bundle.path, RTX)
    assert record.engines == {one.engine.recipe.stage: one.engine for one in built}
    assert files(tiny_bundle) == sorted([".lock", "engine.json", *(one.engine.file for one in built)])
    for one in built:
        path = engines_folder(tiny_bundle.path, RTX) / one.engine.file
        assert (path.stat().st_size, sha256_of(path)) == (one.engine.bytes, one.engine.sha256)
        assert path.read_bytes()[:4] == b"vtrt"


def test_what_an_engine_was_built_from_is_recorded(tiny_bundle: "TinyBundle") -> None:
    (built,) = rtx(tiny_bundle, batch=(1, 2, 8), compute_capabilities=(120, 89), flags=Flags(64, 2, tf32=True))
    recipe = built.engine.recipe
    assert (recipe.library, recipe.tool) == (tensorrt_rtx.__version__, hyperstyle_deploy.__version__)
    assert (recipe.precision, recipe.gpu, recipe.compute_capabilities) == ("float32", "", (89, 120))
    assert recipe.profiles == {"image": Profile((1, 3, 16, 16), (2, 3, 16, 16), (8, 3, 16, 16))}
    assert recipe.flags == Flags(64, 2, False, "none", True)


def test_free_axes_get_their_ranges(tiny_bundle: "TinyBundle") -> None:
    engines = {one.engine.recipe.stage: one.engine.recipe for one in rtx(tiny_bundle, "offsets", "synthesis_one")}
    assert engines["offsets"].profiles["image"] == Profile((1, 3, 16, 16), (5, 3, 16, 16), (100, 3, 16, 16))
    assert engines["synthesis_one"].profiles == {}
    assert engines["offsets"].batch is engines["synthesis_one"].batch is None
    assert (BATCH, STEPS) == (BATCH_AXIS, STEPS_AXIS)  # the exporter's names for them


def test_the_same_recipe_is_reused_and_force_builds(tiny_bundle: "TinyBundle") -> None:
    (first,) = rtx(tiny_bundle)
    (again,) = rtx(tiny_bundle)
    assert (again.reused, again.engine) == (True, first.engine)
    (forced,) = rtx(tiny_bundle, force=True)
    assert not forced.reused
    assert forced.engine.key == first.engine.key
    assert files(tiny_bundle) == sorted([".lock", "engine.json", forced.engine.file])  # the old one is gone


@pytest.mark.parametrize(
    "change",
    [
        {"batch": (1, 1, 2)},
        {"compute_capabilities": (89,)},
        {"flags": Flags(tf32=True)},
        {"flags": Flags(workspace_mib=512)},
        {"flags": Flags(optimization_level=0)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_option_builds(tiny_bundle: "TinyBundle", change: dict[str, Any]) -> None:
    rtx(tiny_bundle)
    (built,) = rtx(tiny_bundle, **change)
    assert not built.reused
    assert rtx(tiny_bundle, **change)[0].reused


def test_a_batch_concerns_only_graphs_that_have_one(tiny_bundle: "TinyBundle") -> None:
    rtx(tiny_bundle, "encoder", "offsets", "synthesis_one")
    built = rtx(tiny_bundle, "encoder", "offsets", "synthesis_one", batch=(2, 2, 2))
    assert [one.reused for one in built] == [False, True, True]


@pytest.mark.parametrize("name", ["encoder.onnx", "tiny.safetensors"])
def test_another_graph_or_constant_builds(tiny_bundle: "TinyBundle", name: str) -> None:
    rtx(tiny_bundle)
    content = bytearray((tiny_bundle.path / name).read_bytes())
    content[-1 if name.endswith("safetensors") else content.index(b"activation")] ^= 1
    tiny_bundle.replace(name, bytes(content))
    assert not rtx(tiny_bundle)[0].reused


@pytest.mark.parametrize("attribute", ["__version__", "precision", "library"])
def test_another_version_or_precision_builds(
    tiny_bundle: "TinyBundle", monkeypatch: pytest.MonkeyPatch, attribute: str
) -> None:
    rtx(tiny_bundle)
    if attribute == "__version__":
        monkeypatch.setattr(builder, "__version__", "99")
    elif attribute == "library":
        monkeypatch.setattr(tensorrt_rtx, "__version__", "99")
    else:
        document = json.loads((tiny_bundle.path / "bundle.json").read_bytes())
        (tiny_bundle.path / "bundle.json").write_text(json.dumps({**document, "precision": "float16"}))
    assert not rtx(tiny_bundle)[0].reused


def test_engines_of_other_stages_stay(tiny_bundle: "TinyBundle") -> None:
    rtx(tiny_bundle, "encoder", "hypernet")
    rtx(tiny_bundle, "hypernet", "synthesis", batch=(1, 1, 2))
    assert set(read_record(tiny_bundle.path, RTX).engines) == {"encoder", "hypernet", "synthesis"}
    assert rtx(tiny_bundle, "encoder")[0].reused


@pytest.mark.parametrize(
    "damage", ["missing", "shorter", "one bit", "hard link", "another's", "no record", "bad record"]
)
def test_an_engine_that_is_not_whole_or_not_ours_is_built_again(
    tiny_bundle: "TinyBundle", monkeypatch: pytest.MonkeyPatch, tmp_path: Path, damage: str
) -> None:
    (first,) = rtx(tiny_bundle)
    path = engines_folder(tiny_bundle.path, RTX) / first.engine.file
    record = path.with_name("engine.json")
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "shorter":
        path.write_bytes(content[:-1])
    elif damage == "one bit":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "hard link":
        (tmp_path / "other").hardlink_to(path)
    elif damage == "another's":
        monkeypatch.setenv("HYPERSTYLE_DEPLOY_STATE", str(tmp_path / "another user"))
    elif damage == "no record":
        record.unlink()
    else:
        record.write_text("{")
    (again,) = rtx(tiny_bundle)
    assert not again.reused
    assert rtx(tiny_bundle)[0].reused
    assert files(tiny_bundle) == sorted([".lock", "engine.json", again.engine.file])


def test_leftovers_of_a_killed_build_are_removed(tiny_bundle: "TinyBundle") -> None:
    rtx(tiny_bundle)
    folder = engines_folder(tiny_bundle.path, RTX)
    (folder / ".hypernet-1234.engine.partial-00-0-1").write_bytes(b"half")
    (folder / "encoder-ffffffff.engine").write_bytes(b"whole, but in no record")
    (folder / "notes.txt").write_text("a user's own")
    assert rtx(tiny_bundle)[0].reused
    assert files(tiny_bundle) == sorted([".lock", "engine.json", "notes.txt", rtx(tiny_bundle)[0].engine.file])


@pytest.mark.parametrize("op", ["Bogus", "Gelu2"])
def test_a_parser_error_names_every_node_that_caused_it(tiny_bundle: "TinyBundle", op: str) -> None:
    graph = tiny_bundle.graph("encoder")
    for node in graph.graph.node:
        node.op_type = op
    tiny_bundle.replace("encoder.onnx", graph.SerializeToString())
    with pytest.raises(BuildError, match="parser of tensorrt-rtx refuses") as caught:
        rtx(tiny_bundle)
    assert f"node first_conv ({op})" in str(caught.value)
    assert f"node activation ({op})" in str(caught.value)
    assert "encoder.onnx" in str(caught.value)
    assert files(tiny_bundle) == [".lock"]


@pytest.mark.parametrize("content", [b"", b"\x08\x0a"], ids=["empty", "no graph"])
def test_a_graph_without_what_the_manifest_says_is_refused(tiny_bundle: "TinyBundle", content: bytes) -> None:
    tiny_bundle.replace("encoder.onnx", content)
    with pytest.raises(BuildError, match=r"other inputs than bundle\.json says.*image float32 \[-1, 3, 16, 16\]"):
        rtx(tiny_bundle)


def test_an_unknown_free_axis_is_named(tiny_bundle: "TinyBundle") -> None:
    document = json.loads((tiny_bundle.path / "bundle.json").read_bytes())
    document["graphs"]["encoder"]["inputs"][0]["shape"][0] = "frames"
    (tiny_bundle.path / "bundle.json").write_text(json.dumps(document))
    with pytest.raises(BuildError, match="frames"):
        rtx(tiny_bundle)


def replace_encoder(
    bundle: "TinyBundle", graph: onnx.ModelProto, inputs: list[Any], outputs: list[Any], precision: str = "float32"
) -> None:
    """Make ``graph`` the encoder, with these (name, dtype, shape) in the manifest."""
    bundle.replace("encoder.onnx", graph.SerializeToString())
    document = json.loads((bundle.path / "bundle.json").read_bytes())
    for kind, tensors in (("inputs", inputs), ("outputs", outputs)):
        entries = [dict(zip(("name", "dtype", "shape"), tensor, strict=True)) for tensor in tensors]
        document["graphs"]["encoder"][kind] = entries
    document["precision"] = precision
    (bundle.path / "bundle.json").write_text(json.dumps(document))


def test_float32_products_for_turing_are_refused_with_the_builders_words(tiny_bundle: "TinyBundle") -> None:
    graph = tiny_bundle.graph("encoder")
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [-1, 2048])
    graph.graph.initializer.extend([shape, helper.make_tensor("map", TensorProto.FLOAT, [2048, 4], [0.5] * 8192)])
    graph.graph.node.extend(
        [
            helper.make_node("Reshape", ["codes", "shape"], ["flat"], name="flatten"),
            helper.make_node("MatMul", ["flat", "map"], ["product"], name="product"),
        ]
    )
    graph.graph.output[0].CopyFrom(helper.make_tensor_value_info("product", TensorProto.FLOAT, ["batch", 4]))
    inputs = [("image", "float32", ["batch", 3, 16, 16])]
    replace_encoder(tiny_bundle, graph, inputs, [("product", "float32", ["batch", 4])])
    with pytest.raises(BuildError, match=r"cannot build encoder.*FP32 GEMM is not supported.*leave 75 out"):
        rtx(tiny_bundle, compute_capabilities=(75,))
    assert not rtx(tiny_bundle)[0].reused  # and without Turing it works


def test_a_build_beside_another_has_no_warning_of_its_logger(tiny_bundle: "TinyBundle") -> None:
    """The library keeps one logger a process while anything that was made with it lives, and warns of another."""
    earlier = tensorrt_rtx.Builder(logger(tensorrt_rtx, Messages()))
    (built,) = rtx(tiny_bundle)
    assert earlier
    assert list(built.warnings) == []


def test_transposed_convolutions_in_bfloat16_are_refused_with_the_cure(tiny_bundle: "TinyBundle") -> None:
    """When this fails, the library has learnt it: then say so in docs/gpu.md, and drop the hint."""
    x = helper.make_tensor_value_info("x", TensorProto.BFLOAT16, [1, 8, 4, 4])
    weight = helper.make_tensor_value_info("w", TensorProto.BFLOAT16, [8, 8, 3, 3])
    y = helper.make_tensor_value_info("y", TensorProto.BFLOAT16, [1, 8, 9, 9])
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], name="up", strides=[2, 2])
    opsets = [helper.make_opsetid("", 22)]
    model = helper.make_model(helper.make_graph([node], "up", [x, weight], [y]), opset_imports=opsets, ir_version=10)
    inputs = [("x", "bfloat16", [1, 8, 4, 4]), ("w", "bfloat16", [8, 8, 3, 3])]
    replace_encoder(tiny_bundle, model, inputs, [("y", "bfloat16", [1, 8, 9, 9])], "bfloat16")
    with pytest.raises(BuildError, match=r"deconv.*bf16.*export with --precision fp16 or fp32"):
        rtx(tiny_bundle)


def test_a_workspace_that_is_too_small_is_named(tiny_bundle: "TinyBundle") -> None:
    graph = tiny_bundle.graph("encoder")
    graph.graph.node[0].output[0] = graph.graph.node[1].input[0] = "wide"
    rows = helper.make_tensor("sizes", TensorProto.FLOAT, [4], [1, 1, 64, 64])
    graph.graph.initializer.append(rows)
    graph.graph.node.insert(1, helper.make_node("Resize", ["wide", "", "sizes"], ["large"], name="enlarge"))
    graph.graph.node[2].input[0] = "large"
    graph.graph.output[0].CopyFrom(helper.make_tensor_value_info("codes", TensorProto.FLOAT, ["batch", 8, 1024, 1024]))
    inputs = [("image", "float32", ["batch", 3, 16, 16])]
    replace_encoder(tiny_bundle, graph, inputs, [("codes", "float32", ["batch", 8, 1024, 1024])])
    with pytest.raises(BuildError, match=r"workspace limit.*more --workspace"):
        rtx(tiny_bundle, flags=Flags(workspace_mib=1))


@pytest.mark.parametrize(("asked", "hint"), [((90,), "--target tensorrt"), ((89, 100), "80, 86, 89"), ((7,), "Got: 7")])
def test_a_gpu_that_the_target_lacks_is_refused(tiny_bundle: "TinyBundle", asked: tuple[int, ...], hint: str) -> None:
    with pytest.raises(BuildError, match="does not build for this compute capability") as caught:
        rtx(tiny_bundle, compute_capabilities=asked)
    assert hint in str(caught.value)
    assert not engines_folder(tiny_bundle.path, RTX).exists()


def test_the_lists_of_capabilities_are_the_librarys() -> None:
    assert targets.TensorRtRtx().capabilities() == (75, *RTX_CAPABILITIES)  # 75: see the test above
    assert set(DEFAULT_CAPABILITIES) < set(RTX_CAPABILITIES)


@pytest.mark.parametrize(
    "options",
    [
        Options(flags=Flags(hardware_compatible="ampere-plus")),
        Options(flags=Flags(version_compatible=True)),
        Options(timing_cache=True),
    ],
)
def test_options_of_the_other_target_are_refused(tiny_bundle: "TinyBundle", options: Options) -> None:
    with pytest.raises(BuildError, match=r"TensorRT-RTX has no --.*Leave the option out"):
        build(tiny_bundle.path, RTX, ("encoder",), options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("onnx", ("encoder",)), "Unknown target.*onnx.*tensorrt or tensorrt-rtx"),
        ((RTX, ("encoder", "decoder")), "Unknown stages.*decoder.*of encoder, hypernet"),
        ((RTX, ()), "No stages"),
    ],
)
def test_unknown_names_are_refused(tiny_bundle: "TinyBundle", arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(BuildError, match=message):
        build(tiny_bundle.path, *arguments)


def test_a_bundle_that_differs_from_its_manifest_is_refused(tiny_bundle: "TinyBundle") -> None:
    (tiny_bundle.path / "encoder.onnx").write_bytes(b"")
    with pytest.raises(BundleError):
        rtx(tiny_bundle)


@pytest.mark.parametrize("which", ["engines", "engines/tensorrt-rtx"])
def test_a_linked_folder_is_neither_written_nor_cleaned(tiny_bundle: "TinyBundle", tmp_path: Path, which: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / RTX).mkdir(parents=True)
    (elsewhere / "mine.engine").write_text("mine")
    (elsewhere / RTX / "mine.engine").write_text("mine")
    (tiny_bundle.path / which).parent.mkdir(exist_ok=True)
    (tiny_bundle.path / which).symlink_to(elsewhere)
    with pytest.raises(EngineError, match="symbolic link"):
        rtx(tiny_bundle)
    assert sorted(path.name for path in elsewhere.rglob("*.engine")) == ["mine.engine", "mine.engine"]


def test_a_key_that_others_can_read_stops_before_the_work(
    tiny_bundle: "TinyBundle", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYPERSTYLE_DEPLOY_STATE", str(tmp_path))
    (tmp_path / KEY_NAME).write_bytes(bytes(32))
    (tmp_path / KEY_NAME).chmod(0o644)
    with pytest.raises(EngineError, match="cannot vouch"):
        rtx(tiny_bundle)
    assert files(tiny_bundle) == [".lock"]


class Watcher(Silent):
    """Writes down what a build tells, and may do something when a phase starts."""

    def __init__(self, on_phase: Any = lambda: None) -> None:
        self.events: list[tuple[str, ...]] = []
        self.open: list[str] = []
        self.on_phase = on_phase

    def stage_started(self, stage: str) -> None:
        self.events.append(("stage", stage))

    def stage_finished(self, stage: str, note: str) -> None:
        self.events.append(("done", stage, note))

    def phase_started(self, phase: str, parent: str | None, steps: int) -> None:
        assert parent is None or parent in self.open
        assert steps > 0
        self.open.append(phase)
        self.on_phase()

    def step_done(self, phase: str, step: int) -> None:
        assert phase in self.open
        self.events.append(("step", phase))

    def phase_finished(self, phase: str) -> None:
        self.open.remove(phase)


def test_progress_tells_of_stages_and_nested_phases(tiny_bundle: "TinyBundle") -> None:
    watcher = Watcher()
    build(tiny_bundle.path, RTX, ("encoder",), progress=watcher)
    assert (watcher.events[0], watcher.open) == (("stage", "encoder"), [])
    assert len({phase for kind, phase, *_ in watcher.events if kind == "step"}) > 3
    assert watcher.events[-1][:2] == ("done", "encoder")
    build(tiny_bundle.path, RTX, ("encoder",), progress=watcher)
    assert watcher.events[-1] == ("done", "encoder", "reused")


def test_an_interrupted_build_leaves_the_engine_that_was_there(tiny_bundle: "TinyBundle") -> None:
    (first,) = rtx(tiny_bundle)
    before = files(tiny_bundle)
    watcher = Watcher(lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        build(tiny_bundle.path, RTX, ("encoder",), force=True, progress=watcher)
    assert not [event for event in watcher.events if event[0] == "done"]
    assert files(tiny_bundle) == before
    assert read_record(tiny_bundle.path, RTX).engines["encoder"] == first.engine
    assert rtx(tiny_bundle)[0].reused


KILLED_MIDWAY = """
import os, sys
from pathlib import Path
from hyperstyle_deploy.export.engines.builder import build
from hyperstyle_deploy.export.engines.callbacks import Silent
class Deadly(Silent):
    def phase_started(self, phase, parent, steps):
        if phase == "Computing profile costs":
            os.kill(os.getpid(), 9)
build(Path(sys.argv[1]), "tensorrt-rtx", ("encoder",), force=True, progress=Deadly())
"""


@pytest.mark.parametrize("before", [True, False], ids=["an engine was there", "none was there"])
def test_a_killed_build_leaves_what_was_there(tiny_bundle: "TinyBundle", before: bool) -> None:
    engine = rtx(tiny_bundle)[0].engine if before else None
    killed = subprocess.run([sys.executable, "-c", KILLED_MIDWAY, str(tiny_bundle.path)], timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert any(".partial-" in name for name in files(tiny_bundle))  # killed in the middle, indeed
    assert read_record(tiny_bundle.path, RTX).engines.get("encoder") == engine
    (after,) = rtx(tiny_bundle)  # the lock died with its process
    assert after.reused is before
    assert files(tiny_bundle) == sorted([".lock", "engine.json", after.engine.file])


def test_builds_run_in_other_threads_too(tiny_bundle: "TinyBundle") -> None:
    thread = threading.Thread(target=rtx, args=(tiny_bundle, "encoder"))
    thread.start()
    thread.join(60)
    assert rtx(tiny_bundle)[0].reused


def test_one_build_at_a_time(tiny_bundle: "TinyBundle") -> None:
    folder = engines_folder(tiny_bundle.path, RTX)
    with only_builder(folder):
        with pytest.raises(BuildError, match=f"Another build is writing .*process {os.getpid()}"):
            rtx(tiny_bundle)
        with only_builder(engines_folder(tiny_bundle.path, "tensorrt")):  # another target has a folder of its own
            pass
    assert not rtx(tiny_bundle)[0].reused


def test_a_bundle_that_cannot_be_written_is_a_clear_error(tiny_bundle: "TinyBundle") -> None:
    (tiny_bundle.path / "engines").write_text("a file in the way")
    with pytest.raises(OutputError, match=r"Cannot write.*copy it to where you may write"):
        rtx(tiny_bundle)


def test_a_full_disk_is_a_clear_error_and_leaves_what_was_there(
    tiny_bundle: "TinyBundle", monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = rtx(tiny_bundle)

    class FullDisk(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(builder, "Output", lambda stream: Output(FullDisk()))
    with pytest.raises(OutputError, match="No space left"):
        rtx(tiny_bundle, force=True)
    assert rtx(tiny_bundle)[0].engine == first.engine
