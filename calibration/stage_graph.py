"""A stage's ONNX graph as calibration reads it: nodes, who makes and who reads a tensor, constants on request."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ..runtime.bundle.reader import Bundle
from ..runtime.methods.base import CODES, Signature

#: Of a graph that looks at a photo, its first input; the beginnings of what a graph of products gives.
_PHOTO, _PRODUCTS = "image", ("offset.", "weight.")


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
        ends = (*self.model.graph.input, *self.model.graph.output)
        self._values = {value.name: value for value in (*self.model.graph.value_info, *ends)}

    @property
    def convolves(self) -> bool:
        """Whether it looks at a photo with convolutions, as an encoder or a hypernetwork does; else it multiplies."""
        return self.model.graph.input[0].name == _PHOTO

    @property
    def gives_codes(self) -> bool:
        """Whether its errors are in the codes, and so in every image."""
        return any(value.name == CODES for value in self.model.graph.output)

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
        dims = self._values[name].type.tensor_type.shape.dim if name in self._values else ()
        return dims[axis].dim_value or None if len(dims) > axis else None

    def readers(self, name: str) -> list[onnx.NodeProto]:
        """The nodes that read a tensor."""
        return [node for node in self.nodes if name in node.input]

    def convolutions(self) -> Iterator[onnx.NodeProto]:
        """Convolutions with constant weights over images; those of channel attention see one pixel and are left out."""
        for node in self.nodes:
            one_pixel = all(self.size(node.input[0], axis) == 1 for axis in (2, 3))
            if node.op_type == "Conv" and self.shape(node.input[1]) is not None and not one_pixel:
                yield node

    def reads_pictures(self, tensor: str) -> bool:
        """Whether a tensor is what the graph is given, with no convolution before it."""
        node = self.producers.get(tensor)
        if node is None:
            return True
        return node.op_type != "Conv" and all(self.reads_pictures(name) for name in node.input)

    def products(self) -> Iterator[tuple[onnx.NodeProto, str]]:
        """Matrix products with a constant, and that constant's name."""
        for node in self.nodes:
            if node.op_type in ("Gemm", "MatMul"):
                for name in node.input[:2]:
                    if len(self.shape(name) or ()) == 2:
                        yield node, name


def stage_graphs(bundle: Bundle) -> dict[str, StageGraph]:
    """The graphs whose layers may be quantized, by name: those that look at photos, and those that multiply codes.

    What draws stays as it is: its convolutions have kernels of the photo's own, or are modulated at run time.
    """
    needed = bundle.method.signatures()
    return {stage: StageGraph(bundle, stage) for stage, signature in needed.items() if _is_one(signature)}


def _is_one(signature: Signature) -> bool:
    return signature.inputs[0].name == _PHOTO or signature.outputs[0].name.startswith(_PRODUCTS)


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
