"""An engine of one ONNX file outside any bundle: of a person's generator."""

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import __version__
from ...errors import BuildError, printable
from ...runtime.backends.engines.keys import profiles
from ...runtime.backends.engines.record import Recipe, this_platform
from ...runtime.bundle.files import atomic_file
from ...runtime.manifest.manifest import GraphSpec, TensorSpec
from ...runtime.methods.base import BATCH
from .callbacks import Output, Progress, Silent, interruptible
from .network import StageBuild
from .targets import TARGETS, Options

if TYPE_CHECKING:
    import onnx

#: What the library calls the one stage that there is.
STAGE = "generator"
#: Of ONNX's numbers for types.
_DTYPES = {1: "float32"}


@dataclass(frozen=True)
class BuiltFile:
    """An engine that was written: the file, its size and checksum, what it is for, and the builder's warnings."""

    path: Path
    bytes: int
    sha256: str
    target: str
    compute_capabilities: tuple[int, ...]
    seconds: float
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "file": printable(str(self.path)),
            **{name: getattr(self, name) for name in ("bytes", "sha256", "target", "seconds")},
            "compute_capabilities": list(self.compute_capabilities),
            "warnings": list(self.warnings),
        }


def build_file(
    graph: Path, output: Path, target: str, options: Options | None = None, progress: Progress | None = None
) -> BuiltFile:
    """Build an engine of an ONNX file that holds all its values, as `build` does of a bundle's graphs.

    Args:
        graph: the file; its inputs and outputs are float32, and "batch" the only free axis.
        output: the engine, which appears when it is whole.
        target: "tensorrt", which needs the GPU to build for, or "tensorrt-rtx", which needs none.
        options: batch, GPUs and flags; None for the defaults.
        progress: told of the builder's phases.

    Raises:
        BuildError: the library is not installed or refuses, an option is not the target's, or the graph is of another
            kind.
        OutputError: the file cannot be written.
        KeyboardInterrupt: Ctrl-C or termination; nothing is left.
    """
    if target not in TARGETS:
        raise BuildError("Unknown target", got=target, expected=" or ".join(TARGETS))
    import onnx

    options, progress, library = options or Options(), progress or Silent(), TARGETS[target]()
    gpu, capabilities = library.gpus(options)
    content = graph.read_bytes()
    spec = _spec(graph, onnx.load_from_string(content))
    recipe = Recipe(
        stage=STAGE,
        target=library.name,
        graph=hashlib.sha256(content).hexdigest(),
        precision="float32",
        tool=__version__,
        library=library.library.__version__,
        platform=this_platform(),
        gpu=gpu,
        compute_capabilities=capabilities,
        batch=options.batch,
        profiles=profiles(spec, {BATCH: options.batch}),
        flags=options.flags,
    )
    started, job = time.monotonic(), StageBuild(library, graph, spec, recipe)
    progress.stage_started(STAGE)
    with atomic_file(output) as partial, partial.open("wb") as stream, interruptible() as asked:
        written = Output(stream)
        job.run(written, options, output.absolute().parent, progress, asked)
    progress.stage_finished(STAGE, f"{written.bytes / 1e6:.1f} MB")
    seconds = round(time.monotonic() - started, 3)
    warnings = tuple(job.messages.warnings)
    return BuiltFile(output, written.bytes, written.digest.hexdigest(), target, capabilities, seconds, warnings)


def _spec(path: Path, model: "onnx.ModelProto") -> GraphSpec:
    """What the graph takes and gives. An input that may be left out is none to TensorRT."""
    constants = {tensor.name for tensor in model.graph.initializer}
    if optional := [value.name for value in model.graph.input if value.name in constants]:
        raise BuildError(
            f"{path} takes an input that may be left out", got=", ".join(optional), hint="Leave --styles out."
        )
    sides = [tuple(map(_tensor, side)) for side in (model.graph.input, model.graph.output)]
    for tensor in (*sides[0], *sides[1]):
        if tensor.dtype != "float32" or not all(isinstance(dim, int) or dim == BATCH for dim in tensor.shape):
            raise BuildError(f"{path} is of another kind", got=tensor, expected="float32, with a batch for free axis")
    return GraphSpec(path.name, model.opset_import[0].version, *sides)


def _tensor(value: "onnx.ValueInfoProto") -> TensorSpec:
    kind = value.type.tensor_type
    shape = tuple(dim.dim_param or dim.dim_value for dim in kind.shape.dim)
    return TensorSpec(value.name, _DTYPES.get(kind.elem_type, str(kind.elem_type)), shape)
