"""What a file is, seen from its first bytes; and what is in those that come of bundles: inversions, graphs, engines."""

import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import BundleError
from .backends.engines.record import FOLDER, MODULES, Engine, read_record
from .bundle.files import open_plain
from .bundle.inversion import FORMAT, MAX_HEADER_BYTES, Inversion
from .bundle.reader import MANIFEST_NAME, read_manifest
from .manifest import strict_json

#: First bytes -> what it is.
_PICTURES = {b"\xff\xd8\xff": "a JPEG picture", b"\x89PNG": "a PNG picture", b"RIFF": "a WebP picture"}
_ENGINES = (b"ptrt", b"ftrt", b"vtrt")
#: Constants of a published bundle are some hundred tensors.
_MAX_SAFETENSORS_HEADER = 4 << 20
_HEAD = 512


@dataclass(frozen=True)
class Found:
    """A file in words: what ``kind`` it is, and facts by name, in the order to show them in."""

    file: str
    kind: str
    bytes: int
    facts: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The description as JSON values."""
        return {"file": self.file, "kind": self.kind, "bytes": self.bytes, **self.facts}


def content_of(path: Path) -> str:
    """What is in a plain file, in words; "a file of no known kind" if its first bytes say nothing.

    Raises:
        OSError: it cannot be read, or is no plain file.
    """
    with open_plain(path) as stream:
        head = stream.read(_HEAD)
    length = struct.unpack("<Q", head[:8])[0] if len(head) > 8 else 0
    kinds = {
        # First: its first byte, of a length, may be any.
        "a safetensors file": head[8:9] == b"{" and length <= path.stat().st_size,
        **{kind: head.startswith(start) for start, kind in _PICTURES.items()},
        "a web page": head.lstrip()[:1] == b"<",
        "a zip file": head.startswith(b"PK\x03\x04"),
        "a pickle": head.startswith(b"\x80"),
        "an engine": head.startswith(_ENGINES),
        "a graph": path.suffix == ".onnx" and head.startswith(b"\x08"),
        "an empty file": not head,
    }
    return next((kind for kind, fits in kinds.items() if fits), "a file of no known kind")


def describe(path: Path) -> Found | None:
    """Describe an inversion, another safetensors file, a graph or an engine; None if it is none of these.

    Raises:
        OSError: the file cannot be read, or is no plain file.
        HyperStyleDeployError: it is of such a kind, but damaged; or a bundle's record of it is.
    """
    describers = {"a safetensors file": _safetensors, "a graph": _graph, "an engine": _engine}
    describer = describers.get(content_of(path))
    if describer is None:
        return None
    kind, facts = describer(path)
    return Found(str(path), kind, path.stat().st_size, facts)


def _safetensors(path: Path) -> tuple[str, dict[str, Any]]:
    header = _header(path)
    metadata = header.pop("__metadata__", None)
    if isinstance(metadata, dict) and metadata.get("format") == FORMAT:
        inversion = Inversion.load(path)
        arrays = {name: list(array.shape) for name, array in inversion.arrays.items()}
        source = dict(inversion.source)
        return "inversion", {
            "method": inversion.method,
            "steps": inversion.steps,
            "arrays": arrays,
            "loop_l2": list(inversion.l2),
            "model": inversion.model,
            **({"source": source} if source else {}),
        }
    shapes = {name: entry.get("shape") for name, entry in header.items() if isinstance(entry, dict)}
    return "safetensors file", {"tensors": shapes}


def _header(path: Path) -> dict[str, Any]:
    with open_plain(path) as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        text = stream.read(min(length, max(MAX_HEADER_BYTES, _MAX_SAFETENSORS_HEADER)))
    try:
        header = strict_json.parse(text)
    except ValueError as error:
        raise BundleError(f"{path} has a header that cannot be read", got=str(error)[:120]) from error
    if not isinstance(header, dict):
        raise BundleError(f"{path} has a header that cannot be read", got=type(header).__name__, expected="an object")
    return header


def _graph(path: Path) -> tuple[str, dict[str, Any]]:
    """A bundle's graph by its manifest; another one by the package `onnx`."""
    if (path.parent / MANIFEST_NAME).exists():
        manifest = read_manifest(path.parent)
        for stage, graph in manifest.graphs.items():
            if graph.file == path.name:
                spec = asdict(graph)
                facts = {"bundle": str(path.parent), "method": manifest.method.name, "stage": stage}
                return "graph", facts | {key: spec[key] for key in ("opset", "inputs", "outputs")}
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:
        raise BundleError(f"{path} is no ONNX graph", got=str(error)[:120]) from error
    opsets = {opset.domain or "ai.onnx": opset.version for opset in model.opset_import}
    return "graph", {
        "opset": opsets,
        "inputs": [_value(value) for value in model.graph.input],
        "outputs": [_value(value) for value in model.graph.output],
        "nodes": len(model.graph.node),
    }


def _value(value: Any) -> dict[str, Any]:
    tensor = value.type.tensor_type
    shape = [dim.dim_param or dim.dim_value for dim in tensor.shape.dim]
    import onnx

    dtype = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
    return {"name": value.name, "dtype": dtype, "shape": shape}


def _engine(path: Path) -> tuple[str, dict[str, Any]]:
    """By the record beside it: an engine's own bytes are its library's affair."""
    bundle = path.resolve().parents[2] if path.resolve().parent.parent.name == FOLDER else None
    target = path.resolve().parent.name
    if bundle is not None and target in MODULES:
        for engine in read_record(bundle, target).engines.values():
            if engine.file == path.name:
                return "engine", {"bundle": str(bundle), **_recipe(engine)}
    return "engine", {"record": "none beside it, so it is not known what it was built from, and it is not loaded"}


def _recipe(engine: Engine) -> dict[str, Any]:
    recipe = engine.recipe
    gpus = recipe.gpu or ", ".join(map(str, recipe.compute_capabilities))
    return {
        "stage": recipe.stage,
        "target": f"{recipe.target} {recipe.library}",
        "precision": recipe.precision,
        "for": gpus,
        "platform": recipe.platform,
        "batch": list(recipe.batch) if recipe.batch else None,
        "built": engine.built,
    }
