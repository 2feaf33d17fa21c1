"""What a file is, seen from its first bytes; and what is in those that come of bundles: inversions, graphs, engines."""

import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ..errors import BundleError
from .backends.engines.record import FOLDER, MODULES, Engine, read_record
from .bundle.files import open_plain
from .bundle.inversion import FORMAT, Inversion
from .bundle.reader import MANIFEST_NAME, read_manifest
from .editing.direction import FORMAT as DIRECTION
from .editing.direction import Direction
from .editing.document import direction_facts

#: First bytes -> what it is.
_PICTURES = {b"\xff\xd8\xff": "a JPEG picture", b"\x89PNG": "a PNG picture", b"RIFF": "a WebP picture"}
_ENGINES = (b"ptrt", b"ftrt", b"vtrt")
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
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError, ValueError) as error:
        raise BundleError(f"{path} has a header that cannot be read", got=str(error)[:120]) from error
    if metadata.get("format") == DIRECTION:
        facts = direction_facts(Direction.load(path))
        return "direction", {"form": facts.pop("kind"), **facts, "model": metadata.get("model", "")}
    if metadata.get("format") != FORMAT:
        return "safetensors file", {"tensors": shapes}
    inversion = Inversion.load(path)
    source = dict(inversion.source)
    return "inversion", {
        "method": inversion.method,
        "steps": inversion.steps,
        "arrays": {name: list(array.shape) for name, array in inversion.arrays.items()},
        "loop_l2": list(inversion.l2),
        "model": inversion.model,
        **({"source": source} if source else {}),
    }


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
        **{
            kind: [_tensor(value, onnx.TensorProto.DataType.Name) for value in values]
            for kind, values in (("inputs", model.graph.input), ("outputs", model.graph.output))
        },
        "nodes": len(model.graph.node),
    }


def _tensor(value: Any, name_of: Callable[[int], str]) -> dict[str, Any]:
    tensor = value.type.tensor_type
    shape = [dim.dim_param or dim.dim_value for dim in tensor.shape.dim]
    return {"name": value.name, "dtype": name_of(tensor.elem_type).lower(), "shape": shape}


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
