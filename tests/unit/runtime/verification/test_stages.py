"""Each stage on the reference's own inputs: which one is wrong is named, in every method, and no other."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from safetensors.numpy import load, save

from hyperstyle_deploy.kernels.library import KernelLibrary
from hyperstyle_deploy.runtime.backends import Options, open_backend
from hyperstyle_deploy.runtime.bundle.reader import Bundle
from hyperstyle_deploy.runtime.quality.verification.plain_backend import PlainBackend
from hyperstyle_deploy.runtime.quality.verification.stages import StageDifference, compare_stages, stage_runs
from hyperstyle_deploy.tests.toy_bundle import ToyBundle
from hyperstyle_deploy.tests.unit.runtime.test_device_backend import Rig

Toys = Callable[..., Path]
PHOTO = np.random.default_rng(0).uniform(-1, 1, (1, 3, 32, 32)).astype(np.float32)
STEPS = 2
#: Method and options, and the runs of a loop of two steps: each graph with the steps that it leads to.
FORMS: dict[str, tuple[str, dict[str, Any], dict[str, list[int]]]] = {
    "e4e": ("e4e", {}, {"encoder": [0], "synthesis_one": [0]}),
    "restyle": ("restyle-psp", {}, {"encoder": [1, 2], "synthesis_one": [0, 1, 2]}),
    "hyperstyle": (
        "hyperstyle",
        {},
        {"encoder": [0], "hypernet": [1, 2], "weights": [1, 2], "synthesis_one": [0, 1, 2]},
    ),
    "restyle's codes": (
        "hyperstyle",
        {"encoder_steps": 2, "separable": True},
        {
            **{"encoder": [0, 0], "encoder_synthesis": [0, 0]},
            **{"hypernet": [1, 2], "weights": [1, 2], "synthesis_one": [0, 1, 2]},
        },
    ),
}
CASES = [(form, graph) for form, (_, _, graphs) in FORMS.items() for graph in graphs]


def compared(reference: Path, tested: Path) -> list[StageDifference]:
    bundle = Bundle.open(tested)
    backend = open_backend("onnxruntime", bundle, Options(threads=1))
    plain = PlainBackend(Bundle.open(reference), threads=1)
    steps = STEPS if bundle.method.refines else 0
    return compare_stages(plain, backend, bundle.constants(), PHOTO, steps, gpu=False)


def changed(path: Path, folder: Path, graph: str) -> Path:
    """A copy whose graph has another matrix, or offset."""
    copy = ToyBundle(Path(shutil.copytree(path, folder / "changed")))
    model = copy.graph(graph)
    name = "matrix" if graph != "weights" else "base.to_rgbs.1"
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == name)
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.01), name))
    copy.replace(f"{graph}.onnx", model.SerializeToString())
    return copy.path


@pytest.mark.parametrize("form", FORMS)
def test_every_run_of_the_loop_is_compared_at_its_step(form: str, toys: Toys) -> None:
    method, options, graphs = FORMS[form]
    found = compared(toys(method, **options), toys(method, **options))
    assert all(stage.difference.within for stage in found)
    steps = {graph: [stage.step for stage in found if stage.stage == graph] for graph in graphs}
    assert steps == graphs
    assert [stage.stage for stage in found if stage.stage not in graphs] == ["constants"]


@pytest.mark.parametrize(("form", "graph"), CASES)
def test_the_wrong_graph_is_named_and_no_other(form: str, graph: str, toys: Toys, tmp_path: Path) -> None:
    method, options, graphs = FORMS[form]
    path = toys(method, **options)
    wrong = [stage for stage in compared(path, changed(path, tmp_path, graph)) if not stage.difference.within]
    assert {stage.stage for stage in wrong} == {graph}
    # A toy's picture may be all black or white at a step, whatever draws it.
    assert {stage.step for stage in wrong} <= set(graphs[graph])


@pytest.mark.parametrize("name", ["noise.conv1", "weight.conv1", "latent_avg"])
def test_wrong_constants_are_a_stage_of_their_own(name: str, toys: Toys, tmp_path: Path) -> None:
    """Graphs are given the reference's, so that none of them is blamed."""
    path = toys("hyperstyle")
    copy = ToyBundle(Path(shutil.copytree(path, tmp_path / "changed")))
    tensors = {key: array.copy() for key, array in load((path / "generator.safetensors").read_bytes()).items()}
    tensors[name] += np.float32(0.5)
    copy.replace("generator.safetensors", save(tensors))
    wrong = [stage for stage in compared(path, copy.path) if not stage.difference.within]
    assert [(stage.stage, stage.output) for stage in wrong] == [("constants", name)]


def test_on_a_device_weights_are_offsets_and_a_kernel(toys: Toys, tmp_path: Path, cpu_library: KernelLibrary) -> None:
    path = toys("hyperstyle")
    reference = PlainBackend(Bundle.open(path), threads=1)

    def wrong(bundle: Bundle) -> dict[str, set[str]]:
        backend = Rig(bundle, cpu_library, recordable=True).backend
        found = compare_stages(reference, backend, bundle.constants(), PHOTO, STEPS, gpu=True)
        assert {"offsets", "weights"} <= {stage.stage for stage in found}
        return {stage.stage for stage in found if not stage.difference.within}

    assert wrong(Bundle.open(path)) == set()
    copy = ToyBundle(Path(shutil.copytree(path, tmp_path / "changed")))
    model = copy.graph("offsets")
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == "a.conv1")
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + np.float32(0.1), tensor.name))
    copy.replace("offsets.onnx", model.SerializeToString())
    assert wrong(Bundle.open(copy.path)) == {"offsets", "weights"}


def test_in_other_units_the_backend_draws_with_its_own_weights(toys: Toys, tmp_path: Path) -> None:
    """A stand-in for 16 bits: weights and what reads them are scaled, and the constants say that they are narrow."""
    path, layer, factor = toys("hyperstyle"), "convs.0", 64.0
    copy = ToyBundle(Path(shutil.copytree(path, tmp_path / "changed")))
    copy.replace("weights.onnx", scaled(copy, "weights", f"base.{layer}", factor))
    for name, power in (("weight", factor), ("energy", factor**2)):
        copy.replace("synthesis_one.onnx", scaled(copy, "synthesis_one", f"mean.{name}.{layer}", 1 / power))
    bundle = Bundle.open(copy.path)
    backend, constants = open_backend("onnxruntime", bundle, Options(threads=1)), bundle.constants()
    own = {f"weight.{layer}": constants[f"weight.{layer}"] * np.float32(factor)}
    own[f"energy.{layer}"] = constants[f"energy.{layer}"] * np.float32(factor**2)
    backend.constants = {**constants, **own}
    narrow = {name: array.astype(np.float16) for name, array in constants.items()}
    runs = list(stage_runs(PlainBackend(Bundle.open(path), 1), backend, narrow, PHOTO, STEPS, gpu=False))
    assert all(run.worst(1e-4).difference.within for run in runs)
    stages = {run.stage for run in runs}
    assert "offsets" in stages
    assert not {"weights", "constants"} & stages


def scaled(bundle: ToyBundle, graph: str, name: str, factor: float) -> bytes:
    """A graph whose constant or tensor ``name`` is another multiple."""
    model = bundle.graph(graph)
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(factor), name))
            return model.SerializeToString()
    for node in model.graph.node:
        for index, read in enumerate(node.input):
            if read == name:
                node.input[index] = f"{name}.scaled"
    place = next(index for index, node in enumerate(model.graph.node) if name in node.output)
    model.graph.initializer.append(numpy_helper.from_array(np.float32(factor), f"{name}.factor"))
    made = onnx.helper.make_node("Mul", [name, f"{name}.factor"], [f"{name}.scaled"])
    model.graph.node.insert(place + 1, made)
    return model.SerializeToString()
