"""Trace a stage to ONNX and write it with its constants in safetensors files that graphs share."""

import hashlib
import json
import logging
import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
import torch
from onnxscript.rewriter import pattern
from safetensors.torch import save_file
from torch import Tensor

from ..errors import ExportError
from ..runtime.manifest.manifest import GraphSpec, TensorSpec
from .graphs import Graph

#: Smaller constants stay inside the .onnx file.
EXTERNAL_BYTES = 1024
#: A constants file starts a new part past this size, so that checksums are computed on several cores.
PART_BYTES = 512 << 20

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


@dataclass
class Constants:
    """The constants of a bundle, each stored once, in the files of the graph or group that had it first."""

    folder: Path
    _owners: dict[str, tuple[str, str]] = field(default_factory=dict)
    _groups: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    # By identity, with the tensor kept: a freed tensor's address may be given to another one.
    _digests: dict[int, tuple[Tensor, str]] = field(default_factory=dict)

    def add(self, group: str, name: str, tensor: Tensor) -> tuple[str, str]:
        """Keep a tensor for ``group``'s files, unless an equal one is kept already; return its group and name there."""
        digest = self._digest(tensor)
        if digest not in self._owners:
            members = self._groups.setdefault(group, {})
            if name in members:
                name = f"{name}.{digest[:8]}"
            members[name] = tensor.detach().contiguous()
            self._owners[digest] = (group, name)
        return self._owners[digest]

    def _digest(self, tensor: Tensor) -> str:
        if id(tensor) not in self._digests:
            content = hashlib.blake2b(f"{tensor.dtype}{list(tensor.shape)}".encode(), digest_size=16)
            content.update(tensor.detach().contiguous().view(-1).view(torch.uint8).numpy().data)
            self._digests[id(tensor)] = tensor, content.hexdigest()
        return self._digests[id(tensor)][1]

    def write(self) -> dict[tuple[str, str], tuple[str, int, int]]:
        """Write all files; return (file, offset, bytes) of every tensor by (group, name)."""
        places = {}
        for group, tensors in self._groups.items():
            for part, members in enumerate(_parts(tensors), 1):
                file = f"{group}.safetensors" if part == 1 else f"{group}-{part}.safetensors"
                save_file(members, self.folder / file)
                (self.folder / file).chmod(0o644)  # the library makes it private
                for name, (start, length) in _layout(self.folder / file).items():
                    places[group, name] = (file, start, length)
        return places

    def files(self, group: str) -> tuple[str, ...]:
        """The files of a group, in order."""
        count = len(list(_parts(self._groups.get(group, {}))))
        return tuple(
            f"{group}.safetensors" if part == 0 else f"{group}-{part + 1}.safetensors" for part in range(count)
        )


def _parts(tensors: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    part: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors.items():
        if part and size + tensor.nbytes > PART_BYTES:
            yield part
            part, size = {}, 0
        part[name] = tensor
        size += tensor.nbytes
    if part:
        yield part


def _layout(path: Path) -> dict[str, tuple[int, int]]:
    """Byte offset and length of every tensor in a safetensors file."""
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    return {
        name: (8 + length + e["data_offsets"][0], e["data_offsets"][1] - e["data_offsets"][0])
        for name, e in header.items()
    }


def collect_constants(model: ir.Model, group: str, constants: Constants) -> dict[str, tuple[str, str]]:
    """Hand the graph's large initializers to ``constants``; return where each one lives, by initializer name."""
    homes = {}
    for name, value in model.graph.initializers.items():
        if value.const_value is not None and value.const_value.nbytes >= EXTERNAL_BYTES:
            homes[name] = constants.add(group, name, _tensor(value.const_value))
    return homes


def _tensor(const: ir.TensorProtocol) -> Tensor:
    raw = const.raw
    if isinstance(raw, Tensor):
        return raw
    array = const.numpy().copy()
    if const.dtype == ir.DataType.BFLOAT16:  # which PyTorch does not take from NumPy
        return torch.from_numpy(array.view("int16")).view(torch.bfloat16)
    return torch.from_numpy(array)


def write_graph(
    model: ir.Model,
    graph: Graph,
    path: Path,
    homes: Mapping[str, tuple[str, str]],
    places: Mapping[tuple[str, str], tuple[str, int, int]],
) -> GraphSpec:
    """Write the .onnx file, its large initializers pointing into the constants files, and check it.

    Raises:
        ExportError: ``onnx.checker`` rejects the graph.
    """
    for name, home in homes.items():
        file, offset, length = places[home]
        const = model.graph.initializers[name].const_value
        assert const is not None
        model.graph.initializers[name].const_value = ir.ExternalTensor(
            file, offset, length, const.dtype, shape=const.shape, name=name, base_dir=path.parent
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
