"""A stage's ONNX graph as calibration reads it: nodes, who makes and who reads a tensor, constants on request."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ..runtime.bundle.reader import Bundle


class Constant(NamedTuple):
    """Where a large constant's bytes are: the same place in two graphs is the same constant."""

    file: str
    offset: int


class StageGraph:
    """A graph of a bundle, its large constants left in their files until ``array`` maps one."""

    def __init__(self, bundle: Bundle, stage: str) -> None:
        self.stage, self.folder = stage, bundle.path
        self.model = onnx.load(bundle.graph(stage), load_external_data=False)
        self.nodes = list(self.model.graph.node)
        self._initializers = {tensor.name: tensor for tensor in self.model.graph.initializer}
        self.producers = {output: node for node in self.nodes for output in node.output}

    def copy(self) -> onnx.ModelProto:
        """The graph to be edited; its large constants still point into the bundle's files."""
        copied = onnx.ModelProto()
        copied.CopyFrom(self.model)
        return copied

    def shape(self, name: str) -> tuple[int, ...] | None:
        """The shape of a constant, None for what is computed."""
        return tuple(self._initializers[name].dims) if name in self._initializers else None

    def constant(self, name: str) -> Constant | None:
        """Where a constant is kept, None for what is computed or kept inside the graph."""
        return place(self._initializers[name]) if name in self._initializers else None

    def array(self, name: str) -> NDArray[np.float32]:
        """A constant's values, mapped from its file."""
        tensor = self._initializers[name]
        where = place(tensor)
        if where is None:
            return numpy_helper.to_array(tensor)
        dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        return np.memmap(self.folder / where.file, dtype, "r", where.offset, tuple(tensor.dims))

    def size(self, name: str, axis: int) -> int | None:
        """A size of a tensor; None where it is free or there is no such axis."""
        if (shape := self.shape(name)) is not None:
            return shape[axis] if len(shape) > axis else None
        for value in self.model.graph.value_info:
            dims = value.type.tensor_type.shape.dim
            if value.name == name and len(dims) > axis:
                return dims[axis].dim_value or None
        return None

    def readers(self, name: str) -> list[onnx.NodeProto]:
        """The nodes that read a tensor."""
        return [node for node in self.nodes if name in node.input]

    def convolutions(self) -> Iterator[onnx.NodeProto]:
        """Convolutions with constant weights over images; those of channel attention see one pixel and are left out."""
        pixels = {value.name for value in self.model.graph.value_info if _is_one_pixel(value)}
        for node in self.nodes:
            if node.op_type == "Conv" and self.shape(node.input[1]) is not None and node.output[0] not in pixels:
                yield node

    def products(self, least: int) -> Iterator[tuple[onnx.NodeProto, str]]:
        """Matrix products with a constant of ``least`` elements or more, and that constant's name."""
        for node in self.nodes:
            if node.op_type in ("Gemm", "MatMul"):
                for name in node.input[:2]:
                    shape = self.shape(name)
                    if shape is not None and len(shape) == 2 and shape[0] * shape[1] >= least:
                        yield node, name


def place(tensor: onnx.TensorProto) -> Constant | None:
    """The file and offset of a tensor that is kept outside its graph."""
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return None
    entries = {entry.key: entry.value for entry in tensor.external_data}
    return Constant(entries["location"], int(entries.get("offset", 0)))


def attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    """An integer attribute of a node."""
    values = [helper.get_attribute_value(entry) for entry in node.attribute if entry.name == name]
    return int(values[0]) if values else default


def _is_one_pixel(value: onnx.ValueInfoProto) -> bool:
    dims = value.type.tensor_type.shape.dim
    return len(dims) == 4 and dims[2].dim_value == 1 and dims[3].dim_value == 1
