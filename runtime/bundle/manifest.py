"""The manifest of a bundle, `bundle.json`: its fields as types, read strictly and written back."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ...errors import BundleError
from .layers import SIZES, Layer, layer_table, style_count

SCHEMA_VERSION = 1

NARROW = ("float16", "bfloat16")
DTYPES = ("float32", *NARROW, "int64")
#: What the large tensors of a bundle's graphs are: activations, weights and offsets.
PRECISIONS = ("float32", *NARROW)
#: What the networks of every method take and give.
VALUE_RANGE = (-1.0, 1.0)
GRAPHS = ("encoder", "hypernet", "offsets", "weights", "synthesis", "synthesis_one")


@dataclass(frozen=True)
class TensorSpec:
    """A graph's input or output: name, dtype and shape, a free axis by its name ("batch")."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class GraphSpec:
    """One ONNX graph: its file, named inputs and outputs in order, and its opset."""

    file: str
    opset: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True)
class FileSpec:
    """Size in bytes and SHA-256 (hexadecimal) of one file."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class ImageSpec:
    """Pixels that go in and come out.

    The networks see ``input_height`` x ``input_width``. The generator draws ``size`` x ``size``, of which the rows
    ``rows`` are the image. Values run over ``value_range``.
    """

    size: int
    input_height: int
    input_width: int
    rows: tuple[int, int]
    value_range: tuple[float, float] = VALUE_RANGE

    @property
    def height(self) -> int:
        """Height of the result in pixels."""
        return self.rows[1] - self.rows[0]


@dataclass(frozen=True)
class Manifest:
    """Everything a runtime needs to know of a bundle.

    ``model`` identifies the checkpoint pair that inversions belong to; ``separable`` says that the offset codes of
    every step are kept, because the hypernetwork is bilinear in them.
    """

    method: str
    domain: str
    model: str
    precision: str
    default_steps: int
    separable: bool
    image: ImageSpec
    layers: tuple[Layer, ...]
    constants: tuple[str, ...]
    graphs: Mapping[str, GraphSpec]
    files: Mapping[str, FileSpec]
    provenance: Mapping[str, Any]
    schema_version: int = SCHEMA_VERSION

    @property
    def n_styles(self) -> int:
        """Rows of W+."""
        return style_count(self.image.size)

    @property
    def quantization(self) -> str | None:
        """The format that `calibrate` gave some layers, "int8" or "fp8"; None for a bundle as it was exported."""
        calibration = self.provenance.get("calibration")
        return str(calibration.get("format")) if isinstance(calibration, dict) else None

    @property
    def least_psnr(self) -> float | None:
        """The PSNR in dB that a calibrated bundle's images were held to, against float32; None for others."""
        if self.quantization is None:
            return None
        value = self.provenance["calibration"].get("least_psnr")
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise _bad("provenance.calibration.least_psnr", value, "a number")
        return float(value)

    @property
    def arithmetic(self) -> str:
        """What results are computed in: the precision, and the format of quantized layers behind it."""
        return self.precision if self.quantization is None else f"{self.precision}+{self.quantization}"

    @property
    def tuned(self) -> tuple[Layer, ...]:
        """The layers with offsets, in the order of the offset codes' rows."""
        return tuple(layer for layer in self.layers if layer.tuned)

    def to_json(self) -> dict[str, Any]:
        """The manifest as JSON values."""
        return {
            "schema_version": self.schema_version,
            **{k: v for k, v in asdict(self).items() if k != "schema_version"},
        }

    @classmethod
    def from_json(cls, value: Any) -> "Manifest":
        """Read a manifest from JSON values.

        Raises:
            BundleError: another schema version; or a field is missing, unknown, of the wrong type or out of range.
        """
        document = _object(value, "bundle.json")
        version = document.get("schema_version")
        if version != SCHEMA_VERSION:
            newer = isinstance(version, int) and version > SCHEMA_VERSION
            raise BundleError(
                "The bundle has another schema version",
                got="none" if version is None else version,
                expected=SCHEMA_VERSION,
                hint="Upgrade hyperstyle-deploy." if newer else "Export the checkpoint again with this version.",
            )
        manifest: Manifest = _read(cls, document, "bundle.json")
        if manifest.precision not in PRECISIONS:
            raise _bad("precision", manifest.precision, f"one of {PRECISIONS}")
        _check_image(manifest.image)
        _check_loop(manifest)
        _check_graphs(manifest)
        return manifest


def _check_image(image: ImageSpec) -> None:
    if image.size not in SIZES:
        raise _bad("image.size", image.size, f"one of {SIZES}")
    for name in ("input_height", "input_width"):
        if not 16 <= getattr(image, name) <= 4096:
            raise _bad(f"image.{name}", getattr(image, name), "16 to 4096")
    if not 0 <= image.rows[0] < image.rows[1] <= image.size:
        raise _bad("image.rows", list(image.rows), f"rows inside 0 to {image.size}")
    if image.value_range != VALUE_RANGE:
        raise _bad("image.value_range", list(image.value_range), list(VALUE_RANGE))


def _check_loop(manifest: Manifest) -> None:
    if manifest.default_steps < 1:
        raise _bad("default_steps", manifest.default_steps, "at least 1")
    table = layer_table(manifest.image.size, [layer.index for layer in manifest.tuned], manifest.separable)
    if len(manifest.layers) != len(table):
        raise _bad("layers", f"{len(manifest.layers)} layers", f"{len(table)} for size {manifest.image.size}")
    for layer, expected in zip(manifest.layers, table, strict=True):
        if layer != expected:
            raise _bad(f"layers[{expected.index}]", layer, expected)


def _check_graphs(manifest: Manifest) -> None:
    if missing := [name for name in GRAPHS if name not in manifest.graphs]:
        raise _bad("graphs", f"no {', '.join(missing)}", ", ".join(GRAPHS))
    needed = {graph.file for graph in manifest.graphs.values()} | set(manifest.constants)
    if unlisted := sorted(needed - set(manifest.files)):
        raise _bad("files", f"no entry for {', '.join(unlisted)}", "every graph and constants file")
    for name, file in manifest.files.items():
        if file.bytes < 0 or len(file.sha256) != 64 or set(file.sha256) - set("0123456789abcdef"):
            raise _bad(f"files[{name}]", file, "bytes and 64 hexadecimal digits")
    for graph in manifest.graphs.values():
        for tensor in (*graph.inputs, *graph.outputs):
            if tensor.dtype not in DTYPES:
                raise _bad(f"{graph.file}: {tensor.name}.dtype", tensor.dtype, f"one of {DTYPES}")
            if tensor.dtype in NARROW and tensor.dtype != manifest.precision:
                raise _bad(f"{graph.file}: {tensor.name}.dtype", tensor.dtype, f"float32 or {manifest.precision}")
            if not all(isinstance(dim, str) or dim > 0 for dim in tensor.shape):
                raise _bad(f"{graph.file}: {tensor.name}.shape", list(tensor.shape), "positive sizes")


def _bad(where: str, got: object, expected: object) -> BundleError:
    return BundleError(f"bundle.json: {where} is wrong", got=got, expected=expected)


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _bad(where, type(value).__name__, "an object")
    return value


def _read(kind: Any, value: Any, where: str) -> Any:
    """Build the dataclass ``kind`` from an object with exactly its fields."""
    document = _object(value, where)
    names = {field.name: field.type for field in fields(kind)}
    if set(document) != set(names):
        missing, unknown = sorted(set(names) - set(document)), sorted(set(document) - set(names))
        raise _bad(where, f"missing {missing}, unknown {unknown}", "exactly the fields of the schema")
    return kind(**{name: _value(names[name], document[name], f"{where}: {name}") for name in names})


_NESTED: dict[Any, Any] = {ImageSpec: ImageSpec}
_SEQUENCES: dict[Any, Any] = {tuple[Layer, ...]: Layer, tuple[TensorSpec, ...]: TensorSpec, tuple[str, ...]: str}
_MAPPINGS: dict[Any, Any] = {Mapping[str, GraphSpec]: GraphSpec, Mapping[str, FileSpec]: FileSpec}


def _value(kind: Any, value: Any, where: str) -> Any:
    if kind in _NESTED:
        return _read(_NESTED[kind], value, where)
    if kind in _MAPPINGS:
        return {name: _read(_MAPPINGS[kind], item, f"{where}[{name}]") for name, item in _object(value, where).items()}
    if kind == Mapping[str, Any]:
        return _object(value, where)
    if kind in (bool, int, str):
        # bool is an int to Python, not to the schema.
        if type(value) is not kind:
            raise _bad(where, repr(value)[:80], f"a value of type {kind.__name__}")
        return value
    if not isinstance(value, list):
        raise _bad(where, repr(value)[:80], "a list")
    return _tuple(kind, value, where)


def _tuple(kind: Any, value: list[Any], where: str) -> tuple[Any, ...]:
    if kind in (tuple[int, int], tuple[float, float]):
        numbers = (int,) if kind == tuple[int, int] else (int, float)
        if len(value) != 2 or not all(type(item) in numbers for item in value):
            raise _bad(where, repr(value)[:80], f"two numbers of type {numbers[-1].__name__}")
        return tuple(value)
    if kind == tuple[int | str, ...]:
        if not all(type(item) in (int, str) for item in value):
            raise _bad(where, repr(value)[:80], "sizes or names of axes")
        return tuple(value)
    item = _SEQUENCES[kind]
    if item is str:
        return tuple(_value(str, entry, f"{where}[{row}]") for row, entry in enumerate(value))
    return tuple(_read(item, entry, f"{where}[{row}]") for row, entry in enumerate(value))
