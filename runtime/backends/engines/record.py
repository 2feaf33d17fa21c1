"""The record of a bundle's engines for one target, `engines/<target>/engine.json`, and where its files are."""

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ....errors import EngineError
from ...bundle.files import atomic_file
from ...manifest import strict_json
from ...manifest.schema import Reader

SCHEMA_VERSION = 1
RECORD_NAME = "engine.json"
FOLDER = "engines"
MAX_RECORD_BYTES = 1 << 20

#: Target -> the Python module that builds and runs its engines.
MODULES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
HARDWARE_LEVELS = ("none", "ampere-plus", "same-compute-capability")

Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Profile:
    """The shapes of one input that an engine runs with: each axis from minimum to maximum, fastest at the optimum."""

    minimum: Shape
    optimum: Shape
    maximum: Shape

    def holds(self, shape: Shape) -> bool:
        """Whether ``shape`` lies within."""
        return len(self.minimum) == len(shape) == len(self.maximum) and all(
            low <= size <= high for low, size, high in zip(self.minimum, shape, self.maximum, strict=True)
        )


@dataclass(frozen=True)
class Flags:
    """How to build, as far as it changes the engine; None leaves a choice to the library."""

    workspace_mib: int | None = None
    optimization_level: int | None = None
    version_compatible: bool = False
    hardware_compatible: str = "none"
    tf32: bool = False


@dataclass(frozen=True)
class Recipe:
    """Everything that an engine follows from. Two engines with one recipe are interchangeable.

    ``graph`` is the digest of the graph and its constants, ``library`` the version of the target's module, ``tool``
    this package's. ``gpu`` is the name of the GPU that it was built on and for, empty where only the
    ``compute_capabilities`` count; those are numbers such as 89 for 8.9. ``batch`` is (minimum, optimum, maximum), None
    where the graph has no free batch; ``profiles`` has every input with a free axis.
    """

    stage: str
    target: str
    graph: str
    precision: str
    tool: str
    library: str
    platform: str
    gpu: str
    compute_capabilities: tuple[int, ...]
    batch: tuple[int, int, int] | None
    profiles: Mapping[str, Profile]
    flags: Flags

    @property
    def key(self) -> str:
        """SHA-256 over all of it: an engine with the same key is reused."""
        return hashlib.sha256(canonical(asdict(self))).hexdigest()


@dataclass(frozen=True)
class Engine:
    """An engine file beside the record: its recipe, and the file that came of it.

    ``file`` is its name there, ``seconds`` the build took, ``built`` the time in UTC (ISO 8601). ``seal`` marks an
    engine that this user built, see `trust.py`.
    """

    recipe: Recipe
    key: str
    file: str
    bytes: int
    sha256: str
    seconds: float
    built: str
    seal: str


@dataclass(frozen=True)
class Record:
    """A bundle's engines for one target, by stage."""

    target: str
    engines: Mapping[str, Engine]
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        engines = {stage: asdict(engine) for stage, engine in self.engines.items()}
        return {"schema_version": self.schema_version, "target": self.target, "engines": engines}

    @classmethod
    def from_json(cls, value: Any, where: str) -> "Record":
        """Read a record from JSON values; ``where`` names the file in errors.

        Raises:
            EngineError: another schema version, or a field is missing, unknown, of another type or inconsistent.
        """
        version = value.get("schema_version") if isinstance(value, dict) else None
        if version != SCHEMA_VERSION:
            raise EngineError(
                f"{where} has another schema version",
                got=version,
                expected=SCHEMA_VERSION,
                hint="Build the engines again with this version.",
            )
        record: Record = Reader(wrong).read(cls, value, where)
        for stage, engine in record.engines.items():
            _check(stage, engine, record.target, f"{where}: {stage}")
        return record


def _check(stage: str, engine: Engine, target: str, where: str) -> None:
    recipe = engine.recipe
    if (recipe.stage, recipe.target) != (stage, target):
        raise wrong(where, f"an engine of {recipe.stage} for {recipe.target}", f"{stage} for {target}")
    if engine.key != recipe.key:
        raise wrong(f"{where}.key", engine.key[:12], f"{recipe.key[:12]}, which follows from the recipe")
    if not engine.file.endswith(".engine") or set(engine.file) & set("/\\:\0"):
        raise wrong(f"{where}.file", repr(engine.file)[:80], "the name of an .engine file")
    if recipe.flags.hardware_compatible not in HARDWARE_LEVELS:
        raise wrong(f"{where}.hardware_compatible", recipe.flags.hardware_compatible, HARDWARE_LEVELS)
    for name, profile in recipe.profiles.items():
        if not profile.holds(profile.optimum):
            raise wrong(f"{where}.profiles[{name}]", profile, "minimum <= optimum <= maximum")


def wrong(where: str, got: object, expected: object) -> EngineError:
    """The error of a record's field."""
    return EngineError(
        f"{where} is wrong", got=got, expected=expected, hint="Delete the file, then build the engines again."
    )


def canonical(value: Any) -> bytes:
    """JSON values as bytes, always the same for the same values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def this_platform() -> str:
    """Operating system and processor, for instance "Linux-x86_64"."""
    return f"{platform.system()}-{platform.machine()}"


def engines_folder(bundle: Path, target: str) -> Path:
    """Where a bundle keeps its engines for ``target``; it need not exist."""
    return bundle / FOLDER / target


def read_record(bundle: Path, target: str) -> Record:
    """The record of a bundle's engines for ``target``; one without engines if there is no file.

    Raises:
        EngineError: the file cannot be read or is no valid record, or is reached through a symbolic link.
    """
    path = engines_folder(bundle, target) / RECORD_NAME
    refuse_links(bundle, target)
    if not path.exists():
        return Record(target, {})
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_RECORD_BYTES:
            raise wrong(str(path), "a link, no file, or too large a file", f"a file up to {MAX_RECORD_BYTES} bytes")
        record = Record.from_json(strict_json.parse(path.read_bytes()), str(path))
    except OSError as error:
        raise EngineError(f"Cannot read {path}", got=error.strerror or error) from error
    except ValueError as error:
        raise wrong(str(path), str(error)[:120], "JSON") from error
    if record.target != target:
        raise wrong(str(path), f"engines for {record.target}", target)
    return record


def write_record(bundle: Path, record: Record) -> None:
    """Put a record in the place of the one before, in one step.

    Raises:
        OutputError: the folder cannot be written.
    """
    with atomic_file(engines_folder(bundle, record.target) / RECORD_NAME) as partial:
        partial.write_text(json.dumps(record.to_json(), indent=1) + "\n")


def refuse_links(bundle: Path, target: str) -> None:
    """See that the engines' folder is the bundle's own: what is read, written and cleaned there must be nowhere else.

    Raises:
        EngineError: a folder on the way is a symbolic link.
    """
    for folder in (bundle / FOLDER, engines_folder(bundle, target)):
        if folder.is_symlink():
            raise EngineError(f"{folder} is a symbolic link", expected="a folder of the bundle's own")
