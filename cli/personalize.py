"""`personalize`: a person's generator to take along."""

from pathlib import Path
from typing import Any

import click

from ..runtime.manifest.strict_json import dump
from .options import FILE, GENERATOR_OPTION, JSON_OPTION, METHOD_OPTION, loading_options, user_errors
from .parameters import BatchRange, Capabilities


@click.command()
@click.argument("bundle", type=FILE)
@click.argument("inversion", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="The .onnx file: codes in, image out.")
@click.option("--half", is_flag=True, help="Keep its constants in 16 bits: half the file.")
@click.option("--styles", is_flag=True, help="Let it take offsets of styles too (StyleSpace); they may be left out.")
@click.option("--offsets", type=FILE, help="Also write the weight offsets by layer, as a safetensors file.")
@click.option("--engine", type=FILE, help="Also build a TensorRT engine of the .onnx file: codes in, image out.")
@click.option(
    "--target",
    type=click.Choice(["tensorrt", "tensorrt-rtx"]),
    default="tensorrt-rtx",
    show_default=True,
    help="Of --engine: tensorrt builds on the GPU that it builds for, tensorrt-rtx on any machine.",
)
@click.option(
    "--batch",
    type=BatchRange(),
    default="1:1:4",
    show_default=True,
    help="Of --engine: codes at once, N or MIN:OPT:MAX.",
)
@click.option(
    "--compute-capability",
    type=Capabilities(),
    help="Of --engine for tensorrt-rtx: the GPUs to build for, such as 89,120; 80,86,89,120 unless said.",
)
@click.option(
    *("--state", "state"),
    type=(FILE, FILE),
    metavar="CHECKPOINT FILE",
    help="Also write a StyleGAN2 state dict to FILE; CHECKPOINT is what the bundle was exported from.",
)
@METHOD_OPTION
@GENERATOR_OPTION
@loading_options
@JSON_OPTION
@user_errors
def personalize(
    bundle: Path,
    inversion: Path,
    output: Path,
    half: bool,
    styles: bool,
    offsets: Path | None,
    engine: Path | None,
    target: str,
    batch: tuple[int, int, int],
    compute_capability: tuple[int, ...] | None,
    state: tuple[Path, Path] | None,
    method: str | None,
    generator: str | None,
    loading: dict[str, Any],
    as_json: bool,
) -> None:
    """Write a person's generator as one ONNX file.

    Any ONNX runtime runs it, with no code of ours. It is held against the session before it appears. Needs the package
    onnx, and --state PyTorch.
    """
    from ..export.personal import personalize as write_personal
    from ..runtime.bundle.files import check_folder_of
    from ..runtime.bundle.inversion import Inversion
    from ..runtime.session import load
    from .show.editing import show_personal
    from .show.progress import stages

    if engine is not None and styles:
        raise click.UsageError("An engine has no inputs that may be left out: give --engine or --styles.")
    for file in (output, offsets, state and state[1], engine):
        check_folder_of(file)
    person = Inversion.load(inversion)
    session = load(bundle, **loading, method=method, generator=generator)
    with stages(f"Personalizing {inversion.name}") as report:
        # The checkpoint first: what is wrong with it is said before any file appears.
        count = 1 + (offsets is not None) + (state is not None)
        if state is not None:
            from ..export.personal_weights import write_state

            report("state dict", count)
            write_state(session, person, *state)
        if offsets is not None:
            from ..export.personal_weights import write_offsets

            report("weight offsets", count)
            write_offsets(session, person, offsets)
        report("generator", count)
        written = write_personal(session, person, output, half, styles)
    built = None
    if engine is not None:
        from ..export.engines.single import build_file
        from ..export.engines.targets import Options
        from .show.progress import build_progress

        with build_progress(f"Building for {target}", 1) as progress:
            built = build_file(output, engine, target, Options(batch, compute_capability or ()), progress)
    document = written.to_json() | ({} if built is None else {"engine": built.to_json()})
    click.echo(dump(document)) if as_json else show_personal(written, built)
