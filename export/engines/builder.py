"""Engines of a bundle: what is there and still right is kept, the rest is built, and each appears only when whole."""

import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ... import __version__
from ...errors import BuildError, BundleError, EngineError
from ...runtime.backends.device import loop_graphs
from ...runtime.backends.engines.keys import free_axes, graph_digest, profiles
from ...runtime.backends.engines.loading import engine_file
from ...runtime.backends.engines.record import (
    Engine,
    Recipe,
    Record,
    engines_folder,
    read_record,
    refuse_links,
    this_platform,
    write_record,
)
from ...runtime.backends.engines.trust import is_sealed, own_key, seal
from ...runtime.bundle.files import atomic_file, sha256_of
from ...runtime.bundle.reader import Bundle
from ...runtime.manifest.checks import MAX_STEPS
from ...runtime.methods.base import BATCH, KEPT_STEPS
from .callbacks import Output, Progress, Silent, interruptible
from .lock import only_builder
from .network import StageBuild
from .targets import TARGETS, Options, Target


@dataclass(frozen=True)
class Built:
    """What became of a stage: its engine, whether one that was there could be kept, and the builder's warnings."""

    engine: Engine
    reused: bool
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The entry as JSON values."""
        return {"reused": self.reused, "warnings": list(self.warnings), **asdict(self.engine)}


def build(
    path: Path,
    target: str,
    stages: Sequence[str] | None = None,
    options: Options | None = None,
    force: bool = False,
    progress: Progress | None = None,
    method: str | None = None,
    generator: str | None = None,
) -> list[Built]:
    """Build engines of a bundle's graphs into `engines/<target>/` inside it.

    Args:
        path: the bundle's folder.
        target: "tensorrt", which needs the GPU to build for, or "tensorrt-rtx", which needs none.
        stages: names of graphs, one engine each; None for those of the loop on a GPU, and `synthesis`.
        method: an optimisation whose loop that is; the bundle's own method unless said.
        generator: a further generator that draws.
        options: batch, GPUs and flags; None for the defaults.
        force: build even what is there and still right.
        progress: told of every stage, and of the builder's phases within it.

    Returns:
        One entry a stage, in their order. Engines of other stages are left as they are.

    Raises:
        BundleError: the bundle is incomplete, damaged or unsafe, or has no graphs of the optimisation.
        ArrayError: there is no such optimisation.
        BuildError: the library is not installed or refuses, an option is not the target's, a stage is unknown, or
            another build is writing there.
        EngineError: the bundle's engines folder is a link, or the key that marks engines is not private.
        OutputError: the bundle is read-only or the disk is full.
        KeyboardInterrupt: Ctrl-C or termination; engines that were finished before stay.
    """
    options = options or Options()
    bundle = Bundle.open(path, method, generator=generator)
    if target not in TARGETS:
        raise BuildError("Unknown target", got=target, expected=" or ".join(TARGETS))
    graphs = bundle.manifest.graphs
    stages = [*loop_graphs(bundle.method), bundle.method.syntheses[0]] if stages is None else stages
    if unknown := [stage for stage in stages if stage not in graphs]:
        raise BuildError("Unknown stages", got=", ".join(unknown), expected=f"of {', '.join(graphs)}")
    if not stages:
        raise BuildError("No stages to build", expected=f"of {', '.join(graphs)}")
    library = TARGETS[target]()
    recipes = _recipes(bundle, library, dict.fromkeys(stages), options)
    refuse_links(path, target)
    with only_builder(engines_folder(path, target)):
        work = _Work(bundle, library, options, progress or Silent())
        return [work.stage(recipe, force) for recipe in recipes]


def _recipes(bundle: Bundle, target: Target, stages: Sequence[str] | dict[str, None], options: Options) -> list[Recipe]:
    """What each stage's engine would follow from, now."""
    gpu, capabilities = target.gpus(options)
    manifest = bundle.manifest
    ranges = {BATCH: options.batch, KEPT_STEPS: (1, max(1, manifest.default_steps), MAX_STEPS)}
    recipes = []
    for stage in stages:
        spec = manifest.graphs[stage]
        if unknown := free_axes(spec) - set(ranges):
            raise BuildError(f"{spec.file} has free axes without a range", got=", ".join(sorted(unknown)))
        recipes.append(
            Recipe(
                stage=stage,
                target=target.name,
                graph=graph_digest(bundle, stage),
                precision=manifest.precision,
                tool=__version__,
                library=target.library.__version__,
                platform=this_platform(),
                gpu=gpu,
                compute_capabilities=capabilities,
                batch=options.batch if BATCH in free_axes(spec) else None,
                profiles=profiles(spec, ranges),
                flags=options.flags,
            )
        )
    return recipes


class _Work:
    """A build of several stages, which holds the lock on the folder."""

    def __init__(self, bundle: Bundle, target: Target, options: Options, progress: Progress) -> None:
        self._bundle, self._target, self._options, self._progress = bundle, target, options, progress
        self._folder = engines_folder(bundle.path, target.name)
        self._key = own_key()
        try:
            self._record = read_record(bundle.path, target.name)
        except EngineError:  # damaged, or of another version of this package: everything is built anew
            self._record = Record(target.name, {})
        self._clean()

    def stage(self, recipe: Recipe, force: bool) -> Built:
        """Build a stage's engine, or keep the one that is there."""
        self._progress.stage_started(recipe.stage)
        kept = None if force else self._kept(recipe)
        if kept is not None:
            self._progress.stage_finished(recipe.stage, "reused")
            return Built(kept, True)
        engine, warnings = self._build(recipe)
        self._record = replace(self._record, engines={**self._record.engines, recipe.stage: engine})
        write_record(self._bundle.path, self._record)
        self._clean()
        self._progress.stage_finished(recipe.stage, f"{engine.bytes / 1e6:.1f} MB")
        return Built(engine, False, warnings)

    def _kept(self, recipe: Recipe) -> Engine | None:
        """The engine that is there, if it follows from the same recipe, is this user's, and is whole."""
        engine = self._record.engines.get(recipe.stage)
        if engine is None or engine.key != recipe.key:
            return None
        try:
            whole = sha256_of(engine_file(engine, self._bundle.path)) == engine.sha256
        except (EngineError, BundleError):  # missing, cut short, or a link to somewhere else
            return None
        return engine if whole and is_sealed(engine) else None

    def _build(self, recipe: Recipe) -> tuple[Engine, tuple[str, ...]]:
        """Write the engine under a name of its own: the record goes on to name the old one until it is complete."""
        started = time.monotonic()
        manifest = self._bundle.manifest
        name = f"{recipe.stage}-{secrets.token_hex(4)}.engine"
        job = StageBuild(self._target, self._bundle.graph(recipe.stage), manifest.graphs[recipe.stage], recipe)
        with atomic_file(self._folder / name) as partial, partial.open("wb") as stream, interruptible() as asked:
            output = Output(stream)
            job.run(output, self._options, self._folder, self._progress, asked)
        engine = Engine(
            recipe=recipe,
            key=recipe.key,
            file=name,
            bytes=output.bytes,
            sha256=output.digest.hexdigest(),
            seconds=round(time.monotonic() - started, 3),
            built=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            seal="",
        )
        return replace(engine, seal=seal(engine, self._key)), tuple(job.messages.warnings)

    def _clean(self) -> None:
        """Remove what no engine of the record is: older engines, and what a killed build has left half-written."""
        named = {engine.file for engine in self._record.engines.values()}
        for file in (*self._folder.glob("*.engine"), *self._folder.glob(".*.partial-*")):
            if file.name not in named:
                with suppress(OSError):
                    file.unlink()
