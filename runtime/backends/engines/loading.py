"""Before an engine is loaded: it is this user's own, whole, and was built for this GPU, library, graph and shape."""

import hashlib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ....errors import EngineError
from ...bundle.files import inside
from ...bundle.reader import Bundle
from ..gpu import Gpu
from .keys import graph_digest
from .record import FOLDER, Engine, Profile, Recipe, Shape, read_record, this_platform
from .trust import is_sealed

#: What TensorRT-RTX 1.7 builds a bundle for. Data-centre GPUs such as Hopper (90) are TensorRT's, and so is Turing
#: (75), for which TensorRT-RTX has no float32 matrix products: bundles of every precision have some.
RTX_CAPABILITIES = (80, 86, 89, 120, 121)


@dataclass(frozen=True)
class Machine:
    """What an engine would be loaded with: a target, its module's version, and the GPU."""

    target: str
    library: str
    gpu: Gpu
    platform: str = this_platform()


def load_engine(
    bundle: Bundle,
    machine: Machine,
    stage: str,
    shapes: Mapping[str, Shape] | None = None,
    trust_engines: bool = False,
) -> tuple[Engine, bytes]:
    """An engine's entry in the record and its content, checked in every way that needs no GPU.

    The content that is returned is the content that was checked, whatever happens to the file afterwards.

    Args:
        bundle: a verified bundle.
        machine: what is going to load it.
        stage: a stage's name.
        shapes: of inputs with a free axis, by name; those left out are not checked.
        trust_engines: take an engine that this user did not build. It runs code.

    Raises:
        EngineError: there is none; it is foreign; it was built for another GPU, library version, precision, graph or
            shape; or the file is not the one that was built. The message has the command that builds it anew.
    """
    engine = find_engine(bundle, machine.target, stage)
    if not trust_engines:
        check_seal(engine, bundle.path)
    check_engine(engine, bundle, machine)
    for name, shape in (shapes or {}).items():
        check_shape(engine, bundle.path, name, shape)
    return engine, read_engine(engine, bundle.path)


def find_engine(bundle: Bundle, target: str, stage: str) -> Engine:
    """The record's entry for a stage.

    Raises:
        EngineError: there is none.
    """
    record = read_record(bundle.path, target)
    if stage not in record.engines:
        raise EngineError(
            f"{bundle.path} has no {target} engine of {stage}",
            got=", ".join(record.engines) or "no engines",
            hint=f"Build it with: {_command(bundle.path, target, stage)}",
        )
    return record.engines[stage]


def check_seal(engine: Engine, bundle: Path) -> None:
    """See that this user built the engine.

    Raises:
        EngineError: somebody else did, or its entry in the record was changed.
    """
    if not is_sealed(engine):
        raise EngineError(
            f"The engine of {engine.recipe.stage} did not come from a build of this user",
            expected="an engine built here, since engines run code when they are loaded",
            hint=f"Build it with: {rebuild(engine.recipe, bundle, force=True)}. "
            "If you trust where it came from, pass --trust-engines (in Python, trust_engines=True).",
        )


def check_engine(engine: Engine, bundle: Bundle, machine: Machine) -> None:
    """Compare what an engine was built from and for with the bundle and the machine.

    Raises:
        EngineError: another precision, graph, library version, platform or GPU.
    """
    recipe = engine.recipe
    check_graph(engine, bundle)
    if recipe.library != machine.library and not _runs_with(recipe, machine.library):
        raise _mismatch(recipe, bundle.path, f"another version of {recipe.target}", recipe.library, machine.library)
    if recipe.target == "tensorrt" and recipe.platform != machine.platform:
        raise _mismatch(recipe, bundle.path, "another platform", recipe.platform, machine.platform)
    if not _runs_on(recipe, machine.gpu):
        wanted = built_for(recipe)
        here = f"{machine.gpu.name}, compute capability {_dotted(machine.gpu.compute_capability)}"
        raise _mismatch(recipe, bundle.path, "another GPU", wanted, here, _for_gpu(recipe, machine.gpu))


def check_graph(engine: Engine, bundle: Bundle) -> None:
    """Compare an engine with the bundle that it lies in.

    Raises:
        EngineError: another precision, or another graph, since the bundle was exported again.
    """
    recipe, precision = engine.recipe, bundle.manifest.precision
    if recipe.precision != precision:
        raise _mismatch(recipe, bundle.path, "another precision", recipe.precision, precision)
    digest = graph_digest(bundle, recipe.stage)
    if recipe.graph != digest:
        raise _mismatch(recipe, bundle.path, "another export of the graph", recipe.graph[:12], digest[:12])


def check_shape(engine: Engine, bundle: Path, name: str, shape: Shape) -> None:
    """See that an input's shape lies within what the engine was built for.

    Raises:
        EngineError: it does not.
    """
    profile = engine.recipe.profiles.get(name)
    if profile is None or profile.holds(shape):
        return
    raise EngineError(
        f"The engine of {engine.recipe.stage} was built for other shapes",
        got=f"{name} {list(shape)}",
        expected=f"{list(profile.minimum)} to {list(profile.maximum)}",
        hint=_for_shape(engine.recipe, profile, shape, bundle),
    )


def engine_file(engine: Engine, bundle: Path) -> Path:
    """The engine's file, which has the size that was built; its content is not looked at.

    Raises:
        EngineError: it is missing or of another size.
        BundleError: it is a link, or no plain file.
    """
    name = f"{FOLDER}/{engine.recipe.target}/{engine.file}"
    if not (bundle / name).exists():
        raise EngineError(f"The engine {name} is missing", hint=_anew(engine, bundle))
    path = inside(bundle, name)
    size = path.stat().st_size
    if size != engine.bytes:
        raise _damaged(engine, bundle, f"{size} bytes", f"{engine.bytes} bytes")
    return path


def read_engine(engine: Engine, bundle: Path) -> bytes:
    """The content of an engine's file.

    Raises:
        EngineError: it is missing, or is not the one that was built.
        BundleError: it is a link, or no plain file.
    """
    path = engine_file(engine, bundle)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EngineError(f"Cannot read {path}", got=error.strerror or error) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != engine.sha256:
        raise _damaged(engine, bundle, f"sha256 {digest[:12]}", engine.sha256[:12])
    return content


def rebuild(recipe: Recipe, bundle: Path, force: bool = False) -> str:
    """The command that builds a recipe's engine again with the options that it was built with."""
    flags, options = recipe.flags, []
    if recipe.batch:
        options.append(f"--batch {':'.join(map(str, recipe.batch))}")
    if recipe.target == "tensorrt-rtx":
        options.append(f"--compute-capability {','.join(map(str, recipe.compute_capabilities))}")
    if flags.workspace_mib is not None:
        options.append(f"--workspace {flags.workspace_mib}")
    if flags.optimization_level is not None:
        options.append(f"--optimization-level {flags.optimization_level}")
    if flags.version_compatible:
        options.append("--version-compatible")
    if flags.hardware_compatible != "none":
        options.append(f"--hardware-compatible {flags.hardware_compatible}")
    if flags.tf32:
        options.append("--tf32")
    if force:
        options.append("--force")
    return " ".join((_command(bundle, recipe.target, recipe.stage), *options))


def _command(bundle: Path, target: str, stage: str) -> str:
    return f"hyperstyle-deploy build {shlex.quote(str(bundle))} --target {target} --stages {shlex.quote(stage)}"


def _runs_with(recipe: Recipe, library: str) -> bool:
    """A version-compatible engine runs with later versions of the same major one."""
    built, here = _numbers(recipe.library), _numbers(library)
    return recipe.flags.version_compatible and built[:1] == here[:1] and built <= here


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdecimal()]


def _runs_on(recipe: Recipe, gpu: Gpu) -> bool:
    level, capabilities = recipe.flags.hardware_compatible, recipe.compute_capabilities
    if recipe.target == "tensorrt" and level == "ampere-plus":
        return gpu.compute_capability >= 80
    same_gpu = level == "same-compute-capability" or recipe.gpu in ("", gpu.name)
    return gpu.compute_capability in capabilities and same_gpu


def built_for(recipe: Recipe) -> str:
    """The GPUs that a recipe is for, as a phrase."""
    capabilities = ", ".join(map(_dotted, recipe.compute_capabilities))
    if recipe.flags.hardware_compatible == "ampere-plus":
        return "compute capability 8.0 and later"
    return f"{recipe.gpu}, compute capability {capabilities}" if recipe.gpu else f"compute capability {capabilities}"


def _for_gpu(recipe: Recipe, gpu: Gpu) -> Recipe:
    """The recipe that serves ``gpu`` as well, or instead."""
    capability = gpu.compute_capability
    if recipe.target == "tensorrt":
        return recipe
    if capability not in RTX_CAPABILITIES:
        return replace(recipe, target="tensorrt")
    return replace(recipe, compute_capabilities=tuple(sorted({*recipe.compute_capabilities, capability})))


def _for_shape(recipe: Recipe, profile: Profile, shape: Shape, bundle: Path) -> str | None:
    """The hint for a shape outside a profile: a wider batch, if that is what it takes."""
    if recipe.batch is None or not shape or shape[1:] != profile.minimum[1:]:
        return None
    low, best, high = recipe.batch
    wider = replace(recipe, batch=(min(low, shape[0]), best, max(high, shape[0])))
    return f"Build it anew with: {rebuild(wider, bundle)}"


def _dotted(capability: int) -> str:
    return f"{capability // 10}.{capability % 10}"


def _mismatch(
    recipe: Recipe, bundle: Path, what: str, built: str, here: str, wanted: Recipe | None = None
) -> EngineError:
    return EngineError(
        f"The engine of {recipe.stage} was built for {what}",
        got=built,
        expected=here,
        hint=f"Build it anew with: {rebuild(wanted or recipe, bundle)}",
    )


def _damaged(engine: Engine, bundle: Path, got: str, expected: str) -> EngineError:
    return EngineError(
        f"The engine {engine.file} is not the one that was built",
        got=got,
        expected=expected,
        hint=_anew(engine, bundle),
    )


def _anew(engine: Engine, bundle: Path) -> str:
    return f"Build it anew with: {rebuild(engine.recipe, bundle, force=True)}"
