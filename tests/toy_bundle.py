"""A bundle of each method whose graphs are a few nodes each, built in a moment: for tests of what runs bundles.

Each graph depends on all of its inputs. The first node of networks is a convolution with its weight outside the graph.
"""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from safetensors.numpy import save

from hyperstyle_deploy.runtime.bundle.reader import Bundle
from hyperstyle_deploy.runtime.manifest.checksum import with_checksum
from hyperstyle_deploy.runtime.manifest.layers import Layer
from hyperstyle_deploy.runtime.manifest.manifest import FileSpec, Manifest, TensorSpec
from hyperstyle_deploy.runtime.methods.base import Signature
from hyperstyle_deploy.tests.small_bundle import all_signatures, constants_of, small_manifest, with_graphs
from hyperstyle_deploy.tests.toy_gradients import makers

FEATURES, CELLS = 8, 4
_TYPES = {"float32": TensorProto.FLOAT}


@dataclasses.dataclass
class ToyBundle:
    """A bundle on disk, to be changed."""

    path: Path

    def graph(self, name: str) -> onnx.ModelProto:
        """A graph, to be changed."""
        return onnx.load(self.path / f"{name}.onnx", load_external_data=False)

    def replace(self, name: str, content: bytes) -> None:
        """Write another file and put its checksum into the manifest, as an export would."""
        (self.path / name).write_bytes(content)
        document = json.loads((self.path / "bundle.json").read_bytes())
        document["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        (self.path / "bundle.json").write_text(with_checksum(document))


def write_toy_bundle(
    path: Path, method: str = "hyperstyle", gradients: Sequence[str] = (), styles: bool = False, **options: Any
) -> ToyBundle:
    """Write one to a folder that is not there yet.

    Options as ``small_manifest`` has them; ``gradients`` names more graphs, ``styles`` asks for one that takes them.
    """
    path.mkdir()
    manifest = with_graphs(small_manifest(method, **options), gradients, styles)
    draw = np.random.default_rng(7)
    constants = {
        name: np.float32(0.1) * draw.standard_normal(array.shape, dtype=np.float32) + np.float32(name[0] == "w")
        for name, array in constants_of(manifest).items()
    }
    signatures = all_signatures(manifest, gradients, styles)
    graphs = {name: Toy(name, signature, manifest, constants) for name, signature in signatures.items()}
    outside = {f"{name}.weight": toy.weight for name, toy in graphs.items() if toy.weight is not None}
    contents = {"generator.safetensors": save(constants), "networks.safetensors": save(outside)}
    places = _places(contents["networks.safetensors"])
    contents |= {f"{name}.onnx": toy.model(places).SerializeToString() for name, toy in graphs.items()}
    for name, content in contents.items():
        (path / name).write_bytes(content)
    files = {name: FileSpec(len(data), hashlib.sha256(data).hexdigest()) for name, data in contents.items()}
    document = dataclasses.replace(manifest, files=files).to_json()
    (path / "bundle.json").write_text(with_checksum(document))
    Bundle.open(path)
    return ToyBundle(path)


def _places(content: bytes) -> dict[str, tuple[int, int]]:
    """Offset and length of every tensor of a safetensors file."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    return {
        name: (8 + length + entry["data_offsets"][0], entry["data_offsets"][1] - entry["data_offsets"][0])
        for name, entry in header.items()
        if name != "__metadata__"
    }


class Toy:
    """One graph: nodes and constants that give a signature."""

    def __init__(self, name: str, signature: Signature, manifest: Manifest, constants: dict[str, np.ndarray]) -> None:
        self._name, self._signature, self._manifest, self._constants = name, signature, manifest, constants
        self._draw = np.random.default_rng(sum(name.replace("_one", "").replace("_styles", "").encode()))
        self._nodes: list[NodeProto] = []
        self._initializers: list[TensorProto] = []
        self.weight: np.ndarray | None = None
        if (make := makers(name)) is not None:
            make(signature, self._add, self._constant)
            return
        {
            "encoder": self._network,
            "generator_encoder": self._network,
            "hypernet": self._network,
            "offsets": self._offsets,
            "weights": self._weights,
        }.get(name.partition(".")[0], self._synthesis)()

    def model(self, places: dict[str, tuple[int, int]]) -> onnx.ModelProto:
        """The graph, its weight in the file of constants."""
        initializers = list(self._initializers)
        if self.weight is not None:
            offset, length = places[f"{self._name}.weight"]
            weight = TensorProto(name="weight", data_type=TensorProto.FLOAT, dims=self.weight.shape)
            weight.data_location = TensorProto.EXTERNAL
            for key, value in (("location", "networks.safetensors"), ("offset", offset), ("length", length)):
                weight.external_data.add(key=key, value=str(value))
            initializers.append(weight)
        ends = [[_value(tensor) for tensor in side] for side in (self._signature.inputs, self._signature.outputs)]
        graph = helper.make_graph(self._nodes, self._name, *ends, initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        return onnx.shape_inference.infer_shapes(model)

    def _add(
        self, operator: str, inputs: Sequence[str], output: str | list[str], name: str = "", **attributes: Any
    ) -> str:
        outputs = [output] if isinstance(output, str) else output
        self._nodes.append(helper.make_node(operator, inputs, outputs, name=name or outputs[0], **attributes))
        return outputs[0]

    def _constant(self, name: str, array: Any, dtype: Any = np.float32) -> str:
        self._initializers.append(numpy_helper.from_array(np.asarray(array, dtype), name))
        return name

    def _random(self, name: str, *shape: int, spread: float = 0.3) -> str:
        return self._constant(name, spread * self._draw.standard_normal(shape))

    def _network(self) -> None:
        """``mean(leaky_relu(conv(pictures))) @ matrix``: what an encoder or a hypernetwork gives."""
        pictures = [tensor.name for tensor in self._signature.inputs]
        (output,) = self._signature.outputs
        channels = sum(int(tensor.shape[1]) for tensor in self._signature.inputs)
        self.weight = 0.3 * self._draw.standard_normal((FEATURES, channels, 3, 3)).astype(np.float32)
        x = pictures[0] if len(pictures) == 1 else self._add("Concat", pictures, "pictures", axis=1)
        self._add("Conv", [x, "weight"], "features", "first_conv", pads=[1, 1, 1, 1])
        self._add("LeakyRelu", ["features"], "activated", "activation")
        self._add("ReduceMean", ["activated", self._constant("sides", [2, 3], np.int64)], "pooled", keepdims=0)
        size = prod(map(int, output.shape[1:]))
        self._add("MatMul", ["pooled", self._random("matrix", FEATURES, size)], "flat")
        self._add("Reshape", ["flat", self._constant("shape", [-1, *output.shape[1:]], np.int64)], output.name)

    def _offset(self, layer: Layer, row: int) -> str:
        """``sum_t z_t A + steps b`` of a layer, as its offset is shaped."""
        name = layer.name
        width = int(self._signature.inputs[0].shape[-1])
        size = prod(layer.offset_shape)
        # Drawn by the layer, so that `offsets` and `weights` have the same.
        self._draw = np.random.default_rng(layer.index)
        self._add("Gather", ["offset_codes", self._constant(f"row.{name}", row, np.int64)], f"codes.{name}", axis=1)
        axes = self._constant(f"axes.{name}", [0], np.int64)
        self._add("ReduceSum", [f"codes.{name}", axes], f"sum.{name}", keepdims=1)
        self._add("MatMul", [f"sum.{name}", self._random(f"a.{name}", width, size, spread=0.1)], f"product.{name}")
        self._add("Mul", ["steps", self._random(f"b.{name}", 1, size, spread=0.01)], f"bias.{name}")
        self._add("Add", [f"product.{name}", f"bias.{name}"], f"flat.{name}")
        shape = self._constant(f"shape.{name}", layer.offset_shape, np.int64)
        return self._add("Reshape", [f"flat.{name}", shape], f"offset.{name}")

    def _offsets(self) -> None:
        for row, layer in enumerate(self._manifest.tuned):
            self._offset(layer, row)

    def _weights(self) -> None:
        _, dot, generator = self._name.partition(".")
        given = {tensor.name for tensor in self._signature.outputs}
        for row, layer in enumerate(self._manifest.tuned):
            name = f"{generator}{dot}{layer.name}"
            if f"weight.{name}" not in given:
                continue
            offset = self._offset(layer, row)
            if layer.offset == "channel":
                sides = self._constant(f"sides.{name}", [2, 3], np.int64)
                offset = self._add("Unsqueeze", [offset, sides], f"tiled.{name}")
            if layer.up:
                offset = self._add("Transpose", [offset], f"turned.{name}", perm=[1, 0, 2, 3])
            factor = self._add("Add", [offset, self._constant(f"one.{name}", [[[[1.0]]]])], f"factor.{name}")
            base = self._constant(f"base.{name}", self._constants[f"weight.{name}"])
            self._add("Mul", [base, factor], f"weight.{name}")
            if layer.demodulated:
                taps = self._constant(f"taps.{name}", [2, 3], np.int64)
                self._add("ReduceSumSquare", [f"weight.{name}", taps], f"energy.{name}", keepdims=0)

    def _synthesis(self) -> None:
        """A coarse picture out of the codes, times the mean weight and energy of a tap, plus every noise's mean."""
        codes, *others = self._signature.inputs
        size = prod(map(int, codes.shape[1:]))
        self._add("Reshape", ["codes", self._constant("flat_shape", [-1, size], np.int64)], "flat")
        self._add("MatMul", ["flat", self._random("matrix", size, 3 * CELLS * CELLS)], "cells_flat")
        shape = self._constant("cells_shape", [-1, 3, CELLS, CELLS], np.int64)
        self._add("Reshape", ["cells_flat", shape], "cells")
        drawn = self._manifest.generator.size // CELLS
        self.weight = np.ones((3, 1, drawn, drawn), np.float32) / 2
        x = self._add("ConvTranspose", ["cells", "weight"], "coarse", "first_conv", group=3, strides=[drawn, drawn])
        for tensor in others:
            if tensor.name == "styles":
                self._add("ReduceMean", ["styles", self._constant("of_a_row", [1], np.int64)], "mean.styles")
                self._add("Reshape", ["mean.styles", self._constant("by_row", [-1, 1, 1, 1], np.int64)], "added")
                x = self._add("Add", [x, "added"], "after.styles")
                continue
            mean = self._add("ReduceMean", [tensor.name], f"mean.{tensor.name}", keepdims=0)
            if tensor.name.startswith("energy."):
                mean = self._add("Mul", [mean, self._constant(f"tap.{tensor.name}", 1 / 9)], f"tap_mean.{tensor.name}")
            operator = "Add" if "noise" in tensor.name or tensor.name == "differences" else "Mul"
            x = self._add(operator, [x, mean], f"after.{tensor.name}")
        self._add("Tanh", [x], "bounded")
        outputs = [tensor.name for tensor in self._signature.outputs]
        for name in outputs:
            self._add("Identity", ["bounded"], name)


def _value(tensor: TensorSpec) -> ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, _TYPES[tensor.dtype], list(tensor.shape))
