"""A hand-made bundle without networks, for tests of what reads bundles."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from hyperstyle_deploy.runtime.layers import layer_table
from hyperstyle_deploy.runtime.manifest import GRAPHS, FileSpec, GraphSpec, ImageSpec, Manifest, TensorSpec


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
    image = TensorSpec("image", "float32", ("batch", 3, 256, 256))
    codes = TensorSpec("codes", "float32", ("batch", 14, 512))
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
        graphs={stage: GraphSpec(f"{stage}.onnx", 20, (image,), (codes,)) for stage in GRAPHS},
        files={name: FileSpec(**bundle.add(name, content)) for name, content in contents.items()},
        provenance={"checkpoint": {"file": "faces.pt"}},
    )
    bundle.write(manifest.to_json())
    return bundle


def _empty_graph(stage: str) -> bytes:
    """An ONNX model with an IR version and a producer's name, as protobuf writes it, and nothing else."""
    return b"\x08\x0a\x12" + bytes([len(stage)]) + stage.encode()
