"""A bundle whose graphs are one small convolution each, built in a moment."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from safetensors.numpy import save

from hyperstyle_deploy.runtime.manifest.layers import layer_table
from hyperstyle_deploy.runtime.manifest.manifest import GRAPHS, FileSpec, GraphSpec, ImageSpec, Manifest, TensorSpec

WEIGHT = np.random.default_rng(0).standard_normal((8, 3, 3, 3), dtype=np.float32)


@dataclasses.dataclass
class TinyBundle:
    """A bundle on disk whose stages are ``leaky_relu(conv(image))``, its weights external data."""

    path: Path

    def graph(self, stage: str) -> onnx.ModelProto:
        """A stage's graph, to be changed."""
        return onnx.load(self.path / f"{stage}.onnx", load_external_data=False)

    def replace(self, name: str, content: bytes) -> None:
        """Write another file and put its checksum into the manifest, as an export would."""
        (self.path / name).write_bytes(content)
        document = json.loads((self.path / "bundle.json").read_bytes())
        document["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        (self.path / "bundle.json").write_text(json.dumps(document))


def tiny_graph(axis: str | int, offset: int) -> bytes:
    """The graph of a stage whose first axis is ``axis``; its weight starts at ``offset`` of the constants file."""
    weight = TensorProto(name="weight", data_type=TensorProto.FLOAT, dims=WEIGHT.shape)
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "tiny.safetensors"), ("offset", str(offset)), ("length", str(WEIGHT.nbytes))):
        weight.external_data.add(key=key, value=value)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [axis, 3, 16, 16])
    codes = helper.make_tensor_value_info("codes", TensorProto.FLOAT, [axis, 8, 16, 16])
    nodes = [
        helper.make_node("Conv", ["image", "weight"], ["features"], name="first_conv", pads=[1, 1, 1, 1]),
        helper.make_node("LeakyRelu", ["features"], ["codes"], name="activation"),
    ]
    graph = helper.make_graph(nodes, "tiny", [image], [codes], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()


def write_tiny_bundle(path: Path) -> TinyBundle:
    """Write the bundle to a folder that is not there yet."""
    bundle = TinyBundle(path)
    bundle.path.mkdir()
    constants = save({"weight": WEIGHT})
    axes: dict[str, str | int] = {"offsets": "kept_steps", "synthesis_one": 1}
    contents = {
        "tiny.safetensors": constants,
        **{f"{stage}.onnx": tiny_graph(axes.get(stage, "batch"), len(constants) - WEIGHT.nbytes) for stage in GRAPHS},
    }
    for name, content in contents.items():
        (bundle.path / name).write_bytes(content)
    manifest = Manifest(
        method="hyperstyle",
        domain="faces",
        model="0" * 64,
        precision="float32",
        default_steps=5,
        separable=False,
        image=ImageSpec(256, 256, 256, (0, 256)),
        layers=layer_table(256, (0, 2, 3)),
        constants=("tiny.safetensors",),
        graphs={stage: _spec(stage, axes.get(stage, "batch")) for stage in GRAPHS},
        files={name: FileSpec(len(data), hashlib.sha256(data).hexdigest()) for name, data in contents.items()},
        provenance={"checkpoint": {"file": "tiny.pt"}},
    )
    (bundle.path / "bundle.json").write_text(json.dumps(manifest.to_json()))
    return bundle


def _spec(stage: str, axis: str | int) -> GraphSpec:
    image = TensorSpec("image", "float32", (axis, 3, 16, 16))
    return GraphSpec(f"{stage}.onnx", 20, (image,), (TensorSpec("codes", "float32", (axis, 8, 16, 16)),))
