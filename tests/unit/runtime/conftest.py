"""Fixtures of the runtime's tests: a hand-made bundle without networks, and a disk that is nearly full."""

import dataclasses
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from hyperstyle_deploy.runtime.layers import layer_table
from hyperstyle_deploy.runtime.manifest import GRAPHS, FileSpec, GraphSpec, ImageSpec, Manifest, TensorSpec

_SMALL_DISK = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
from hyperstyle_deploy.errors import OutputError
path = Path(sys.argv[1])
try:
{code}
except OutputError as error:
    sys.exit(str(error))
"""


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


@pytest.fixture
def small_bundle(tmp_path: Path) -> SmallBundle:
    bundle = SmallBundle(tmp_path / "bundle")
    bundle.path.mkdir()
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


@pytest.fixture
def on_small_disk(tmp_path: Path) -> Callable[[str, str], tuple[str, list[str]]]:
    """Run code that writes to ``path`` where no file can pass 4 KiB; return the error's text and the files left."""

    def run(code: str, name: str) -> tuple[str, list[str]]:
        indented = "\n".join(f"    {line}" for line in code.splitlines())
        command = [sys.executable, "-c", _SMALL_DISK.format(code=indented), str(tmp_path / name)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert "Traceback" not in result.stderr
        assert result.returncode == 1
        return result.stderr, sorted(file.name for file in tmp_path.iterdir())

    return run


def _empty_graph(stage: str) -> bytes:
    """An ONNX model with an IR version and a producer's name, as protobuf writes it, and nothing else."""
    return b"\x08\x0a\x12" + bytes([len(stage)]) + stage.encode()
