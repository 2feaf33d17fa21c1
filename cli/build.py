"""`build`: engines of a bundle's graphs."""

from pathlib import Path

import click

from ..runtime.manifest.strict_json import dump
from .options import FILE, JSON_OPTION, user_errors
from .parameters import BatchRange, Capabilities, CommaList


@click.command()
@click.argument("bundle", type=FILE)
@click.option(
    "--target",
    type=click.Choice(["tensorrt", "tensorrt-rtx"]),
    required=True,
    help="tensorrt builds on the GPU that it builds for, tensorrt-rtx on any machine.",
)
@click.option("--method", metavar="NAME", help="Build for an optimisation's loop: projection or pti.")
@click.option("--generator", metavar="NAME", help="Build for drawing with a further generator of the bundle.")
@click.option("--stages", type=CommaList(), help="Graphs to build, with commas; those of the GPU loop unless said.")
@click.option(
    "--batch", type=BatchRange(), default="1:1:4", show_default=True, help="Photos or codes at once: N or MIN:OPT:MAX."
)
@click.option(
    "--compute-capability",
    type=Capabilities(),
    help="tensorrt-rtx: the GPUs to build for, such as 89,120; 80,86,89,120 unless said.",
)
@click.option("--workspace", type=click.IntRange(1), metavar="MIB", help="Memory that a layer may use, in MiB.")
@click.option("--optimization-level", type=click.IntRange(0, 5), help="How long to search, 0 to 5; 3 unless said.")
@click.option("--version-compatible", is_flag=True, help="tensorrt: run with later versions of the same major one.")
@click.option(
    "--hardware-compatible",
    type=click.Choice(["none", "ampere-plus", "same-compute-capability"]),
    default="none",
    show_default=True,
    help="tensorrt: the other GPUs to run on.",
)
@click.option("--tf32", is_flag=True, help="Let float32 products round their inputs to 10 bits.")
@click.option(
    "--timing-cache/--no-timing-cache", default=None, help="tensorrt: keep what is measured for the next build; on."
)
@click.option("--force", is_flag=True, help="Build even what is there and still right.")
@JSON_OPTION
@user_errors
def build(
    bundle: Path,
    target: str,
    method: str | None,
    generator: str | None,
    stages: tuple[str, ...] | None,
    batch: tuple[int, int, int],
    compute_capability: tuple[int, ...] | None,
    workspace: int | None,
    optimization_level: int | None,
    version_compatible: bool,
    hardware_compatible: str,
    tf32: bool,
    timing_cache: bool | None,
    force: bool,
    as_json: bool,
) -> None:
    """Build TensorRT engines of a bundle's graphs.

    They are for NVIDIA GPUs, and go into engines/TARGET inside the bundle. An engine that is there and follows from
    the same graph, options and versions is kept. Exit status: 0 all engines are there, 2 one could not be built,
    130 interrupted; those that were finished before stay.
    """
    from ..export.engines.builder import build as build_engines
    from ..export.engines.targets import Options
    from ..runtime.backends.engines.record import Flags, engines_folder
    from .show.bundle import show_built
    from .show.progress import build_progress

    flags = Flags(workspace, optimization_level, version_compatible, hardware_compatible, tf32)
    options = Options(batch, compute_capability or (), flags, timing_cache)
    with build_progress(f"Building for {target}", None if stages is None else len(stages)) as progress:
        built = build_engines(bundle, target, stages, options, force, progress, method, generator)
    if as_json:
        click.echo(dump([one.to_json() for one in built]))
    else:
        show_built(engines_folder(bundle, target), built)
