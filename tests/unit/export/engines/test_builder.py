"""What `build` builds, what it keeps, and what it says when it cannot, with TensorRT-RTX on a small bundle."""

import dataclasses
import io
import json
import os
import shutil
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
from hyperstyle_deploy.export.engines.builder import Built, build
from hyperstyle_deploy.export.engines.callbacks import Messages, Output, Silent
from hyperstyle_deploy.export.engines.lock import only_builder
from hyperstyle_deploy.export.engines.targets import DEFAULT_CAPABILITIES, Options
from hyperstyle_deploy.runtime.backends.engines.loading import RTX_CAPABILITIES
from hyperstyle_deploy.runtime.backends.engines.logger import logger
from hyperstyle_deploy.runtime.backends.engines.record import (
    Flags,
    Profile,
    engines_folder,
    read_record,
)
from hyperstyle_deploy.runtime.backends.engines.trust import KEY_NAME
from hyperstyle_deploy.runtime.bundle.files import sha256_of
from hyperstyle_deploy.runtime.bundle.operators import OPERATORS
from hyperstyle_deploy.runtime.bundle.reader import Bundle
from hyperstyle_deploy.runtime.manifest.checks import MAX_STEPS
from hyperstyle_deploy.runtime.manifest.checksum import with_checksum
from hyperstyle_deploy.tests.small_bundle import with_graphs
from hyperstyle_deploy.tests.toy_bundle import write_toy_bundle

if TYPE_CHECKING:
    from hyperstyle_deploy.tests.toy_bundle import ToyBundle

RTX = "tensorrt-rtx"
#: The graphs of HyperStyle's loop on a GPU, where a kernel does what is left of `weights`.
LOOP = ("encoder", "hypernet", "offsets", "synthesis_one")


def rtx(bundle: "ToyBundle", *stages: str, **options: Any) -> list[Built]:
    force = options.pop("force", False)
    return build(bundle.path, RTX, stages or ("encoder",), Options(**options), force)


def files(bundle: "ToyBundle") -> list[str]:
    return sorted(file.name for file in engines_folder(bundle.path, RTX).iterdir())


def test_every_stage_of_the_gpu_loop_is_built_unless_others_are_named(toy_bundle: "ToyBundle") -> None:
    built = build(toy_bundle.path, RTX)
    assert [one.engine.recipe.stage for one in built] == [*LOOP, "synthesis"]
    assert not any(one.reused for one in built)
    record = read_record(toy_bundle.path, RTX)
    assert record.engines == {one.engine.recipe.stage: one.engine for one in built}
    assert files(toy_bundle) == sorted([".lock", "engine.json", *(one.engine.file for one in built)])
    for one in built:
        path = engines_folder(toy_bundle.path, RTX) / one.engine.file
        assert (path.stat().st_size, sha256_of(path)) == (one.engine.bytes, one.engine.sha256)
        assert path.read_bytes()[:4] == b"vtrt"


def test_what_an_engine_was_built_from_is_recorded(toy_bundle: "ToyBundle") -> None:
    (built,) = rtx(toy_bundle, batch=(1, 2, 8), compute_capabilities=(120, 89), flags=Flags(64, 2, tf32=True))
    recipe = built.engine.recipe
    assert (recipe.library, recipe.tool) == (tensorrt_rtx.__version__, hyperstyle_deploy.__version__)
    assert (recipe.precision, recipe.gpu, recipe.compute_capabilities) == ("float32", "", (89, 120))
    assert recipe.profiles == {"image": Profile((1, 3, 32, 32), (2, 3, 32, 32), (8, 3, 32, 32))}
    assert recipe.flags == Flags(64, 2, False, "none", True)


@pytest.mark.parametrize("method", ["e4e", "restyle-psp"])
def test_the_graphs_of_every_method_are_built(tmp_path: Path, method: str) -> None:
    built = build(write_toy_bundle(tmp_path / "toy.bundle", method).path, RTX)
    assert [one.engine.recipe.stage for one in built] == ["encoder", "synthesis_one", "synthesis"]


@pytest.mark.parametrize("method", ["projection", "pti"])
def test_gradient_graphs_are_built_ahead_of_time(optimised: Path, tmp_path: Path, method: str) -> None:
    """Real ones, forward and backward, with LPIPS: all of an optimisation's loop, and what draws with its results."""
    bundle = shutil.copytree(optimised, tmp_path / "bundle")
    built = {one.engine.recipe.stage: one for one in build(bundle, RTX, method=method)}
    loop = {"projection": ["adam_codes", "adam_noises", "projection_noises"], "pti": ["adam_differences", "pti_start"]}
    drawing = {"projection": ["synthesis_one", "synthesis"], "pti": ["pti_synthesis_one", "pti_synthesis"]}
    wanted = {f"{method}_gradient", "features", *loop[method], *drawing[method]}
    own = {"encoder", "hypernet", "offsets", "synthesis_one"} if method == "pti" else set()
    assert set(built) == wanted | own
    for stage in wanted:
        assert (engines_folder(bundle, RTX) / built[stage].engine.file).read_bytes()[:4] == b"vtrt"
        # A sum over all axes names them by a constant without numbers: the parser says that it is one.
        assert all("Empty initializer" in warning for warning in built[stage].warnings)
    assert [one.engine.recipe.stage for one in build(bundle, RTX, ["pti_locality"])] == ["pti_locality"]


def test_the_gradient_of_idinvert_is_built_ahead_of_time(in_domain: Path, tmp_path: Path) -> None:
    """A real one, through generator, VGG16 and encoder, without asking for it: its bundle's loop is that."""
    bundle = shutil.copytree(in_domain, tmp_path / "bundle")
    built = {one.engine.recipe.stage: one for one in build(bundle, RTX)}
    assert set(built) == {"encoder", "features", "idinvert_gradient", "adam_codes", "synthesis_one", "synthesis"}
    for one in built.values():
        assert (engines_folder(bundle, RTX) / one.engine.file).read_bytes()[:4] == b"vtrt"
        assert all("Empty initializer" in warning for warning in one.warnings)


def test_free_axes_get_their_ranges(tmp_path: Path) -> None:
    separable = write_toy_bundle(tmp_path / "toy.bundle", separable=True)
    engines = {one.engine.recipe.stage: one.engine.recipe for one in rtx(separable, "offsets", "synthesis_one")}
    assert engines["offsets"].profiles["offset_codes"] == Profile((1, 4, 5), (5, 4, 5), (MAX_STEPS, 4, 5))
    assert engines["synthesis_one"].profiles == {}
    assert engines["offsets"].batch is engines["synthesis_one"].batch is None


def test_the_same_recipe_is_reused_and_force_builds(toy_bundle: "ToyBundle") -> None:
    (first,) = rtx(toy_bundle)
    (again,) = rtx(toy_bundle)
    assert (again.reused, again.engine) == (True, first.engine)
    (forced,) = rtx(toy_bundle, force=True)
    assert not forced.reused
    assert forced.engine.key == first.engine.key
    assert files(toy_bundle) == sorted([".lock", "engine.json", forced.engine.file])  # the old one is gone


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
def test_a_changed_option_builds(toy_bundle: "ToyBundle", change: dict[str, Any]) -> None:
    rtx(toy_bundle)
    (built,) = rtx(toy_bundle, **change)
    assert not built.reused
    assert rtx(toy_bundle, **change)[0].reused


def test_a_batch_concerns_only_graphs_that_have_one(toy_bundle: "ToyBundle") -> None:
    rtx(toy_bundle, "encoder", "offsets", "synthesis_one")
    built = rtx(toy_bundle, "encoder", "offsets", "synthesis_one", batch=(2, 2, 2))
    assert [one.reused for one in built] == [False, True, True]


@pytest.mark.parametrize("name", ["encoder.onnx", "networks.safetensors"])
def test_another_graph_or_constant_builds(toy_bundle: "ToyBundle", name: str) -> None:
    rtx(toy_bundle)
    content = bytearray((toy_bundle.path / name).read_bytes())
    content[-1 if name.endswith("safetensors") else content.index(b"activation")] ^= 1
    toy_bundle.replace(name, bytes(content))
    assert not rtx(toy_bundle)[0].reused


@pytest.mark.parametrize("attribute", ["__version__", "precision", "library"])
def test_another_version_or_precision_builds(
    toy_bundle: "ToyBundle", monkeypatch: pytest.MonkeyPatch, attribute: str
) -> None:
    rtx(toy_bundle)
    if attribute == "__version__":
        monkeypatch.setattr(builder, "__version__", "99")
    elif attribute == "library":
        monkeypatch.setattr(tensorrt_rtx, "__version__", "99")
    else:
        manifest = dataclasses.replace(Bundle.open(toy_bundle.path).manifest, precision="float16")
        (toy_bundle.path / "bundle.json").write_text(with_checksum(with_graphs(manifest).to_json()))
    assert not rtx(toy_bundle)[0].reused


def test_engines_of_other_stages_stay(toy_bundle: "ToyBundle") -> None:
    rtx(toy_bundle, "encoder", "hypernet")
    rtx(toy_bundle, "hypernet", "synthesis", batch=(1, 1, 2))
    assert set(read_record(toy_bundle.path, RTX).engines) == {"encoder", "hypernet", "synthesis"}
    assert rtx(toy_bundle, "encoder")[0].reused


@pytest.mark.parametrize(
    "damage", ["missing", "shorter", "one bit", "hard link", "another's", "no record", "bad record"]
)
def test_an_engine_that_is_not_whole_or_not_ours_is_built_again(
    toy_bundle: "ToyBundle", monkeypatch: pytest.MonkeyPatch, tmp_path: Path, damage: str
) -> None:
    (first,) = rtx(toy_bundle)
    path = engines_folder(toy_bundle.path, RTX) / first.engine.file
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
    (again,) = rtx(toy_bundle)
    assert not again.reused
    assert rtx(toy_bundle)[0].reused
    assert files(toy_bundle) == sorted([".lock", "engine.json", again.engine.file])


def test_leftovers_of_a_killed_build_are_removed(toy_bundle: "ToyBundle") -> None:
    rtx(toy_bundle)
    folder = engines_folder(toy_bundle.path, RTX)
    (folder / ".hypernet-1234.engine.partial-00-0-1").write_bytes(b"half")
    (folder / "encoder-ffffffff.engine").write_bytes(b"whole, but in no record")
    (folder / "notes.txt").write_text("a user's own")
    assert rtx(toy_bundle)[0].reused
    assert files(toy_bundle) == sorted([".lock", "engine.json", "notes.txt", rtx(toy_bundle)[0].engine.file])


@pytest.fixture
def more_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operators that a bundle may not have pass, so that the library's own errors are seen."""
    monkeypatch.setitem(OPERATORS, "", {*OPERATORS[""], "Bogus", "Gelu2", "Resize"})


@pytest.mark.usefixtures("more_operators")
@pytest.mark.parametrize("op", ["Bogus", "Gelu2"])
def test_a_parser_error_names_every_node_that_caused_it(toy_bundle: "ToyBundle", op: str) -> None:
    graph = toy_bundle.graph("encoder")
    for node in graph.graph.node:
        node.op_type = op
    toy_bundle.replace("encoder.onnx", graph.SerializeToString())
    with pytest.raises(BuildError, match="parser of tensorrt-rtx refuses") as caught:
        rtx(toy_bundle)
    assert f"node first_conv ({op})" in str(caught.value)
    assert f"node activation ({op})" in str(caught.value)
    assert "encoder.onnx" in str(caught.value)
    assert files(toy_bundle) == [".lock"]


@pytest.mark.parametrize("content", [b"", b"\x08\x0a"], ids=["empty", "no graph"])
def test_a_graph_without_what_the_manifest_says_is_refused(toy_bundle: "ToyBundle", content: bytes) -> None:
    toy_bundle.replace("encoder.onnx", content)
    with pytest.raises(BuildError, match=r"other inputs than bundle\.json says.*image float32 \[-1, 3, 32, 32\]"):
        rtx(toy_bundle)


def add_graph(
    bundle: "ToyBundle", graph: onnx.ModelProto, inputs: list[Any], outputs: list[Any], precision: str = "float32"
) -> None:
    """Put a graph "extra" into the bundle, with these (name, dtype, shape) in the manifest."""
    document = json.loads((bundle.path / "bundle.json").read_bytes())
    tensors = {
        kind: [dict(zip(("name", "dtype", "shape"), tensor, strict=True)) for tensor in listed]
        for kind, listed in (("inputs", inputs), ("outputs", outputs))
    }
    document["graphs"]["extra"] = {"file": "extra.onnx", "opset": graph.opset_import[0].version, **tensors}
    document["files"]["extra.onnx"] = {}
    if precision != document["precision"]:
        manifest = dataclasses.replace(Bundle.open(bundle.path).manifest, precision=precision)
        reduced = json.loads(json.dumps(with_graphs(manifest).to_json()))
        document |= {"precision": precision, "graphs": {**reduced["graphs"], "extra": document["graphs"]["extra"]}}
    (bundle.path / "bundle.json").write_text(with_checksum(document))
    bundle.replace("extra.onnx", graph.SerializeToString())


def test_an_unknown_free_axis_is_named(toy_bundle: "ToyBundle") -> None:
    add_graph(toy_bundle, toy_bundle.graph("encoder"), [("image", "float32", ["frames", 3, 32, 32])], [])
    with pytest.raises(BuildError, match="frames"):
        rtx(toy_bundle, "extra")


def test_float32_products_for_turing_are_refused_with_the_builders_words(toy_bundle: "ToyBundle") -> None:
    graph = toy_bundle.graph("encoder")
    shape = helper.make_tensor("wide", TensorProto.INT64, [2], [-1, 8192])
    graph.graph.initializer.extend([shape, helper.make_tensor("map", TensorProto.FLOAT, [8192, 4], [0.5] * 32768)])
    graph.graph.node.extend(
        [
            helper.make_node("Reshape", ["activated", "wide"], ["wide_flat"], name="flatten"),
            helper.make_node("MatMul", ["wide_flat", "map"], ["product"], name="product"),
        ]
    )
    graph.graph.output[0].CopyFrom(helper.make_tensor_value_info("product", TensorProto.FLOAT, ["batch", 4]))
    inputs = [("image", "float32", ["batch", 3, 32, 32])]
    add_graph(toy_bundle, graph, inputs, [("product", "float32", ["batch", 4])])
    with pytest.raises(BuildError, match=r"cannot build extra.*FP32 GEMM is not supported.*leave 75 out"):
        rtx(toy_bundle, "extra", compute_capabilities=(75,))
    assert not rtx(toy_bundle, "extra")[0].reused  # and without Turing it works


def test_a_build_beside_another_has_no_warning_of_its_logger(toy_bundle: "ToyBundle") -> None:
    """The library keeps one logger a process while anything that was made with it lives, and warns of another."""
    earlier = tensorrt_rtx.Builder(logger(tensorrt_rtx, Messages()))
    (built,) = rtx(toy_bundle)
    assert earlier
    assert list(built.warnings) == []


def test_transposed_convolutions_in_bfloat16_are_refused_with_the_cure(toy_bundle: "ToyBundle") -> None:
    """When this fails, the library has learnt it: then say so in docs/gpu.md, and drop the hint."""
    x = helper.make_tensor_value_info("x", TensorProto.BFLOAT16, [1, 8, 4, 4])
    weight = helper.make_tensor_value_info("w", TensorProto.BFLOAT16, [8, 8, 3, 3])
    y = helper.make_tensor_value_info("y", TensorProto.BFLOAT16, [1, 8, 9, 9])
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], name="up", strides=[2, 2])
    opsets = [helper.make_opsetid("", 22)]
    model = helper.make_model(helper.make_graph([node], "up", [x, weight], [y]), opset_imports=opsets, ir_version=10)
    inputs = [("x", "bfloat16", [1, 8, 4, 4]), ("w", "bfloat16", [8, 8, 3, 3])]
    add_graph(toy_bundle, model, inputs, [("y", "bfloat16", [1, 8, 9, 9])], "bfloat16")
    with pytest.raises(BuildError, match=r"deconv.*bf16.*export with --precision fp16 or fp32"):
        rtx(toy_bundle, "extra")


@pytest.mark.usefixtures("more_operators")
def test_a_workspace_that_is_too_small_is_named(toy_bundle: "ToyBundle") -> None:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 8, 16, 16])
    codes = helper.make_tensor_value_info("codes", TensorProto.FLOAT, ["batch", 8, 1024, 1024])
    sizes = helper.make_tensor("sizes", TensorProto.FLOAT, [4], [1, 1, 64, 64])
    nodes = [
        helper.make_node("Resize", ["image", "", "sizes"], ["large"], name="enlarge"),
        helper.make_node("Conv", ["large", "weight"], ["codes"], name="conv", pads=[1, 1, 1, 1]),
    ]
    weight = helper.make_tensor("weight", TensorProto.FLOAT, [8, 8, 3, 3], [0.1] * 576)
    graph = helper.make_graph(nodes, "large", [image], [codes], [sizes, weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    spec = [("image", "float32", ["batch", 8, 16, 16])], [("codes", "float32", ["batch", 8, 1024, 1024])]
    add_graph(toy_bundle, model, *spec)
    with pytest.raises(BuildError, match=r"workspace limit.*more --workspace"):
        rtx(toy_bundle, "extra", flags=Flags(workspace_mib=1))


@pytest.mark.parametrize(("asked", "hint"), [((90,), "--target tensorrt"), ((89, 100), "80, 86, 89"), ((7,), "Got: 7")])
def test_a_gpu_that_the_target_lacks_is_refused(toy_bundle: "ToyBundle", asked: tuple[int, ...], hint: str) -> None:
    with pytest.raises(BuildError, match="does not build for this compute capability") as caught:
        rtx(toy_bundle, compute_capabilities=asked)
    assert hint in str(caught.value)
    assert not engines_folder(toy_bundle.path, RTX).exists()


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
def test_options_of_the_other_target_are_refused(toy_bundle: "ToyBundle", options: Options) -> None:
    with pytest.raises(BuildError, match=r"TensorRT-RTX has no --.*Leave the option out"):
        build(toy_bundle.path, RTX, ("encoder",), options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("onnx", ("encoder",)), "Unknown target.*onnx.*tensorrt or tensorrt-rtx"),
        ((RTX, ("encoder", "decoder")), "Unknown stages.*decoder.*of encoder, hypernet"),
        ((RTX, ()), "No stages"),
    ],
)
def test_unknown_names_are_refused(toy_bundle: "ToyBundle", arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(BuildError, match=message):
        build(toy_bundle.path, *arguments)


def test_a_bundle_that_differs_from_its_manifest_is_refused(toy_bundle: "ToyBundle") -> None:
    (toy_bundle.path / "encoder.onnx").write_bytes(b"")
    with pytest.raises(BundleError):
        rtx(toy_bundle)


@pytest.mark.parametrize("which", ["engines", "engines/tensorrt-rtx"])
def test_a_linked_folder_is_neither_written_nor_cleaned(toy_bundle: "ToyBundle", tmp_path: Path, which: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / RTX).mkdir(parents=True)
    (elsewhere / "mine.engine").write_text("mine")
    (elsewhere / RTX / "mine.engine").write_text("mine")
    (toy_bundle.path / which).parent.mkdir(exist_ok=True)
    (toy_bundle.path / which).symlink_to(elsewhere)
    with pytest.raises(EngineError, match="symbolic link"):
        rtx(toy_bundle)
    assert sorted(path.name for path in elsewhere.rglob("*.engine")) == ["mine.engine", "mine.engine"]


def test_a_key_that_others_can_read_stops_before_the_work(
    toy_bundle: "ToyBundle", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYPERSTYLE_DEPLOY_STATE", str(tmp_path))
    (tmp_path / KEY_NAME).write_bytes(bytes(32))
    (tmp_path / KEY_NAME).chmod(0o644)
    with pytest.raises(EngineError, match="cannot vouch"):
        rtx(toy_bundle)
    assert files(toy_bundle) == [".lock"]


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


def test_progress_tells_of_stages_and_nested_phases(toy_bundle: "ToyBundle") -> None:
    watcher = Watcher()
    build(toy_bundle.path, RTX, ("encoder",), progress=watcher)
    assert (watcher.events[0], watcher.open) == (("stage", "encoder"), [])
    assert len({phase for kind, phase, *_ in watcher.events if kind == "step"}) > 3
    assert watcher.events[-1][:2] == ("done", "encoder")
    build(toy_bundle.path, RTX, ("encoder",), progress=watcher)
    assert watcher.events[-1] == ("done", "encoder", "reused")


def test_an_interrupted_build_leaves_the_engine_that_was_there(toy_bundle: "ToyBundle") -> None:
    (first,) = rtx(toy_bundle)
    before = files(toy_bundle)
    watcher = Watcher(lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        build(toy_bundle.path, RTX, ("encoder",), force=True, progress=watcher)
    assert not [event for event in watcher.events if event[0] == "done"]
    assert files(toy_bundle) == before
    assert read_record(toy_bundle.path, RTX).engines["encoder"] == first.engine
    assert rtx(toy_bundle)[0].reused


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
def test_a_killed_build_leaves_what_was_there(toy_bundle: "ToyBundle", before: bool) -> None:
    engine = rtx(toy_bundle)[0].engine if before else None
    killed = subprocess.run([sys.executable, "-c", KILLED_MIDWAY, str(toy_bundle.path)], timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert any(".partial-" in name for name in files(toy_bundle))  # killed in the middle, indeed
    assert read_record(toy_bundle.path, RTX).engines.get("encoder") == engine
    (after,) = rtx(toy_bundle)  # the lock died with its process
    assert after.reused is before
    assert files(toy_bundle) == sorted([".lock", "engine.json", after.engine.file])


def test_builds_run_in_other_threads_too(toy_bundle: "ToyBundle") -> None:
    thread = threading.Thread(target=rtx, args=(toy_bundle, "encoder"))
    thread.start()
    thread.join(60)
    assert rtx(toy_bundle)[0].reused


def test_one_build_at_a_time(toy_bundle: "ToyBundle") -> None:
    folder = engines_folder(toy_bundle.path, RTX)
    with only_builder(folder):
        with pytest.raises(BuildError, match=f"Another build is writing .*process {os.getpid()}"):
            rtx(toy_bundle)
        with only_builder(engines_folder(toy_bundle.path, "tensorrt")):  # another target has a folder of its own
            pass
    assert not rtx(toy_bundle)[0].reused


def test_a_bundle_that_cannot_be_written_is_a_clear_error(toy_bundle: "ToyBundle") -> None:
    (toy_bundle.path / "engines").write_text("a file in the way")
    with pytest.raises(OutputError, match=r"Cannot write.*copy it to where you may write"):
        rtx(toy_bundle)


def test_a_full_disk_is_a_clear_error_and_leaves_what_was_there(
    toy_bundle: "ToyBundle", monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = rtx(toy_bundle)

    class FullDisk(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(builder, "Output", lambda stream: Output(FullDisk()))
    with pytest.raises(OutputError, match="No space left"):
        rtx(toy_bundle, force=True)
    assert rtx(toy_bundle)[0].engine == first.engine
