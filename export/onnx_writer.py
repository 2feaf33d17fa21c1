"""Trace a stage to ONNX and write it with its constants in safetensors files that graphs share."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from onnxscript.rewriter import pattern
from torch import Tensor

from ..errors import ExportError
from ..runtime.bundle.constants import EXTERNAL_BYTES, Constants, Home, Place
from ..runtime.manifest.manifest import GraphSpec, TensorSpec
from .graphs import Graph

#: Energies in one pass over the weights. PyTorch has no operator for it.
_SUM_OF_SQUARES = pattern.RewriteRule(
    lambda op, x, axes: op.ReduceSum(op.Mul(x, x), axes, keepdims=False),
    lambda op, x, axes: op.ReduceSumSquare(x, axes, keepdims=False),
)


def trace(graph: Graph, opset: int) -> ir.Model:
    """Export the stage with ``torch.onnx.export(dynamo=True)``, inputs, outputs and free axes under their own names."""
    graph.module.eval().requires_grad_(False)
    dynamic = torch.utils._pytree.tree_map_only(
        dict, lambda axes: dict.fromkeys(axes, torch.export.Dim.DYNAMIC), graph.free_axes, is_leaf=_is_axes
    )
    with _quiet_exporter():
        program = torch.onnx.export(
            graph.module,
            graph.args,
            dynamo=True,
            dynamic_shapes=dynamic,
            input_names=graph.inputs,
            output_names=graph.outputs,
            opset_version=opset,
            verbose=False,
        )
    if program is None:
        raise ExportError(f"The stage {graph.name} could not be traced")
    model = program.model
    model.graph.name = graph.name
    _SUM_OF_SQUARES.apply_to_model(model)
    _name_free_axes(model, graph)
    return model


def _is_axes(node: Any) -> bool:
    return node is None or isinstance(node, dict)


def _name_free_axes(model: ir.Model, graph: Graph) -> None:
    """The tracer calls free axes s12 and the like; give them the stage's names everywhere."""
    axes = torch.utils._pytree.tree_leaves(graph.free_axes, is_leaf=_is_axes)
    names = {}
    for value, named in zip(model.graph.inputs, axes, strict=True):
        for axis, name in (named or {}).items():
            if value.shape is not None and isinstance(value.shape[axis], ir.SymbolicDim):
                names[value.shape[axis].value] = name
    values = [*model.graph.inputs, *(value for node in model.graph for value in node.outputs)]
    for value in values:
        if value.shape is not None:
            dims = [names.get(d.value, d.value) if isinstance(d, ir.SymbolicDim) else d for d in value.shape]
            value.shape = ir.Shape(dims)


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Hide the exporter's remarks on packages and renamings that no user of a bundle can act on."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)


#: What comes after the name of an initializer in the names of its copies.
_TWIN = ".twin"


def separate_twins(model: ir.Model) -> None:
    """Give every node a copy of its own of a matrix or kernel that several nodes read.

    Forward and backward of a layer read the same weights. Where they are the same bytes, OpenVINO (2026.4.1) takes the
    one orientation for the other and gives wrong gradients without a word; docs/optimisation.md shows it.
    """
    for name, value in list(model.graph.initializers.items()):
        if value.const_value is None or len(value.const_value.shape) < 2:
            continue
        for count, (node, place) in enumerate(list(value.uses())[1:], 1):
            twin = ir.Value(name=f"{name}{_TWIN}{count}", const_value=value.const_value)
            twin.shape, twin.type = value.shape, value.type
            model.graph.register_initializer(twin)
            node.replace_input_with(place, twin)


def collect_constants(model: ir.Model, group: str, constants: Constants) -> dict[str, Home]:
    """Hand the graph's large initializers to ``constants``; return where each one lives, by initializer name."""
    homes = {}
    for name, value in model.graph.initializers.items():
        if value.const_value is None or value.const_value.nbytes < EXTERNAL_BYTES:
            continue
        if _TWIN in name:
            own = f"{model.graph.name}.{name}"
            constants.keep(group, own, *_array(value.const_value))
            homes[name] = Home(group, own)
        else:
            homes[name] = constants.add(group, name, *_array(value.const_value))
    return homes


def _array(const: ir.TensorProtocol) -> tuple[NDArray[Any], str]:
    if isinstance(const.raw, Tensor):
        return array_of(const.raw)
    if const.dtype == ir.DataType.BFLOAT16:  # which NumPy has from another package
        return const.numpy().view(np.uint16), "bfloat16"
    return const.numpy(), const.numpy().dtype.name


def array_of(tensor: Tensor) -> tuple[NDArray[Any], str]:
    """A tensor as what ``Constants`` takes: an array, and its dtype's name."""
    tensor = tensor.detach().contiguous()
    if tensor.dtype is torch.bfloat16:
        return tensor.view(torch.uint16).numpy(), "bfloat16"
    return tensor.numpy(), tensor.numpy().dtype.name


def write_graph(
    model: ir.Model,
    graph: Graph,
    path: Path,
    homes: Mapping[str, Home],
    places: Mapping[Home, Place],
) -> GraphSpec:
    """Write the .onnx file, its large initializers pointing into the constants files, and check it.

    Raises:
        ExportError: ``onnx.checker`` rejects the graph.
    """
    for name, home in homes.items():
        place = places[home]
        const = model.graph.initializers[name].const_value
        assert const is not None
        model.graph.initializers[name].const_value = ir.ExternalTensor(
            place.file, place.offset, place.length, const.dtype, shape=const.shape, name=name, base_dir=path.parent
        )
    for value in (*model.graph, *model.graph.inputs):
        value.metadata_props.clear()
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    model.graph.name, model.producer_name, model.producer_version = graph.name, "hyperstyle-deploy", None
    onnx.save(ir.to_proto(model), path)
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"The graph {graph.name} is not valid ONNX", got=str(error)[:400]) from error
    return GraphSpec(path.name, model.opset_imports[""], _specs(model.graph.inputs), _specs(model.graph.outputs))


def _specs(values: Any) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(
            value.name,
            "float32" if value.dtype == ir.DataType.FLOAT else value.dtype.name.lower(),
            tuple(str(dim.value) if isinstance(dim, ir.SymbolicDim) else int(dim) for dim in value.shape),
        )
        for value in values
    )
