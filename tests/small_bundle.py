"""A hand-made bundle without networks, for tests of what reads bundles."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from hyperstyle_deploy.runtime.manifest.layers import layer_table
from hyperstyle_deploy.runtime.manifest.manifest import GRAPHS, FileSpec, GraphSpec, ImageSpec, Manifest, TensorSpec


@dataclasses.dataclass
class SmallBundle:
    """A bundle of size 256 on disk whose graphs are a few bytes that no backend could load."""

    path: Path

    def document(self) -> Any:
        """The manifest as JSON values, to be changed."""
        return json.loads((self.path / "bundle.json").read_bytes())

    def write(self, document: Any) -> Path:
        """Write another manifest; return the bundle's folder."""
        (self.path / "bundle.json").write_text(json.dumps(document))
        return self.path

    def add(self, name: str, content: bytes) -> dict[str, Any]:
        """Put a file in the folder; return its entry for ``files``."""
        (self.path / name).write_bytes(content)
        return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def make_small_bundle(path: Path) -> SmallBundle:
    """Write one to the folder ``path``, which must not exist."""
    bundle = SmallBundle(path)
    bundle.path.mkdir(parents=True)
    constants = save({"latent_avg": np.zeros((14, 512), np.float32), "weight.conv1": np.ones((4, 4), np.float32)})
    contents = {"generator.safetensors": constants, **{f"{stage}.onnx": _empty_graph(stage) for stage in GRAPHS}}
    manifest = Manifest(
        method="hyperstyle",
        domain="faces",
        model="0" * 64,
        precision="float32",
        default_steps=5,
        separable=False,
        image=ImageSpec(256, 256, 256, (0, 256)),
        layers=layer_table(256, (0, 2, 3)),
        constants=("generator.safetensors",),
        graphs={stage: _graph_spec(stage) for stage in GRAPHS},
        files={name: FileSpec(**bundle.add(name, content)) for name, content in contents.items()},
        provenance={"checkpoint": {"file": "faces.pt"}},
    )
    bundle.write(manifest.to_json())
    return bundle


def _graph_spec(stage: str) -> GraphSpec:
    """What the loop asks of a stage at 256 with three tuned layers; `weights` and `synthesis` have more, not needed."""

    def tensor(name: str, *shape: int | str) -> TensorSpec:
        return TensorSpec(name, "float32", shape)

    batch: int | str = 1 if stage == "synthesis_one" else "batch"
    image, reconstruction = (tensor(name, batch, 3, 256, 256) for name in ("image", "reconstruction"))
    codes, offset_codes = tensor("codes", batch, 14, 512), tensor("offset_codes", 1, 3, 512)
    offsets = [tensor(f"offset.{name}", 512, 512, 3, 3) for name in ("conv1", "convs.0", "convs.1")]
    inputs, outputs = {
        "encoder": ((image,), (codes,)),
        "hypernet": ((image, reconstruction), (tensor("offset_codes", "batch", 3, 512),)),
        "offsets": ((offset_codes, tensor("steps")), tuple(offsets)),
        "weights": ((offset_codes, tensor("steps")), ()),
    }.get(stage, ((codes,), (image, reconstruction)))
    return GraphSpec(f"{stage}.onnx", 20, inputs, outputs)


def _empty_graph(stage: str) -> bytes:
    """An ONNX model with an IR version and a producer's name, as protobuf writes it, and nothing else."""
    return b"\x08\x0a\x12" + bytes([len(stage)]) + stage.encode()
