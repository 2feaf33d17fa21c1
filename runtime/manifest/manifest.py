"""The manifest of a bundle, `bundle.json`: its fields as types, read strictly and written back."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ...errors import BundleError
from .checks import check_generator, check_generators, check_graphs, check_image, wrong
from .layers import Layer
from .schema import OPTIONAL, Reader

SCHEMA_VERSION = 2


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
class MethodSpec:
    """Which method the bundle runs, and how many refinement steps it takes unless told otherwise.

    ``encoder_steps`` is 0, but for a HyperStyle whose codes come from a ReStyle encoder: that encoder's own steps.
    """

    name: str
    default_steps: int
    encoder_steps: int


@dataclass(frozen=True)
class ImageSpec:
    """What goes in, and which rows of the drawing are the image.

    ``kind`` is one of ``checks.KINDS``, with ``channels`` of ``input_height`` x ``input_width``. Rows from ``rows[0]``
    to before ``rows[1]`` of the square drawing are the result.
    """

    kind: str
    channels: int
    input_height: int
    input_width: int
    rows: tuple[int, int]

    @property
    def height(self) -> int:
        """Height of the result in pixels."""
        return self.rows[1] - self.rows[0]

    @property
    def comparable(self) -> bool:
        """Whether input and result are pictures of one kind, so that there is an error between them."""
        return self.kind == "photo"


@dataclass(frozen=True)
class GeneratorSpec:
    """The generator: drawings of ``size`` x ``size`` from ``styles`` rows of ``width`` numbers, layer by layer."""

    family: str
    size: int
    styles: int
    width: int
    layers: tuple[Layer, ...]

    @property
    def channels(self) -> int:
        """Channels of the styles of all layers, in their order: a point of StyleSpace."""
        return sum(layer.in_channels for layer in self.layers)


@dataclass(frozen=True)
class FineTunedSpec:
    """A further generator of the bundle: the same network, fine-tuned to draw in another domain ("toonify").

    Of the weight offsets that the method finds it takes those of the layers with the indices ``offsets``.
    ``encoder_steps`` is None where it draws the method's own codes; else they come from an encoder of its own, in so
    many steps that look at the reconstruction, or for 0 in one pass.
    """

    name: str
    offsets: tuple[int, ...]
    encoder_steps: int | None


@dataclass(frozen=True)
class StateSpec:
    """An array that an inversion keeps of a photo, float32; the axis "steps" grows with the refinement."""

    name: str
    shape: tuple[int | str, ...]

    def sized(self, steps: int) -> tuple[int, ...]:
        """The shape after ``steps`` refinement steps."""
        return tuple(steps if isinstance(dim, str) else dim for dim in self.shape)


@dataclass(frozen=True)
class CheckpointSpec:
    """A file that the bundle was exported from: what it is to the method, its name and checksum."""

    role: str
    file: str
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Everything a runtime needs to know of a bundle.

    ``model`` identifies the checkpoints that inversions belong to, ``licence`` is that of their weights, where it is
    known. ``constants`` are the files of what graphs take besides what the method computes. ``generators`` are those
    that it has besides ``generator``; most have none, and leave the field out.
    """

    method: MethodSpec
    domain: str
    model: str
    precision: str
    licence: str | None
    image: ImageSpec
    generator: GeneratorSpec
    state: tuple[StateSpec, ...]
    checkpoints: tuple[CheckpointSpec, ...]
    constants: tuple[str, ...]
    graphs: Mapping[str, GraphSpec]
    files: Mapping[str, FileSpec]
    provenance: Mapping[str, Any]
    schema_version: int = SCHEMA_VERSION
    generators: tuple[FineTunedSpec, ...] = field(default=(), metadata=OPTIONAL)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The generator's convolutions."""
        return self.generator.layers

    @property
    def tuned(self) -> tuple[Layer, ...]:
        """The layers with offsets, in the order of the offset codes' rows."""
        return tuple(layer for layer in self.layers if layer.tuned)

    @property
    def face_side(self) -> int:
        """Sides of an aligned face: of what is drawn, or of what the networks look at where that is larger."""
        return max(self.generator.size, self.image.input_width)

    @property
    def default_steps(self) -> int:
        """Refinement steps unless told otherwise."""
        return self.method.default_steps

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
            raise wrong("provenance.calibration.least_psnr", value, "a number")
        return float(value)

    @property
    def arithmetic(self) -> str:
        """What results are computed in: the precision, and the format of quantized layers behind it."""
        return self.precision if self.quantization is None else f"{self.precision}+{self.quantization}"

    def to_json(self) -> dict[str, Any]:
        """The manifest as JSON values."""
        return {
            "schema_version": self.schema_version,
            **{k: v for k, v in asdict(self).items() if k != "schema_version" and (k, v) != ("generators", ())},
        }

    @classmethod
    def from_json(cls, value: Any) -> "Manifest":
        """Read a manifest from JSON values.

        Raises:
            BundleError: another schema version; or a field is missing, unknown, of the wrong type or out of range.
        """
        if isinstance(value, dict):
            _check_version(value.get("schema_version"))
        manifest: Manifest = Reader(wrong).read(cls, value, "bundle.json")
        check_image(manifest)
        check_generator(manifest)
        check_generators(manifest)
        check_graphs(manifest)
        return manifest


def _check_version(version: object) -> None:
    if version == SCHEMA_VERSION:
        return
    newer = isinstance(version, int) and version > SCHEMA_VERSION
    raise BundleError(
        "The bundle has another schema version",
        got="none" if version is None else version,
        expected=SCHEMA_VERSION,
        hint="Upgrade hyperstyle-deploy." if newer else "Export the checkpoint again with this version.",
    )
