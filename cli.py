"""The command line: thin commands over the rooms, each importing what it needs when it runs."""

import json
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from . import __version__
from .errors import HyperStyleDeployError
from .parameters import BatchRange, Capabilities, CommaList

EXIT_FAILED, EXIT_ERROR, EXIT_INTERRUPTED = 1, 2, 130
#: What --precision takes -> what the manifest says.
PRECISIONS = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}

FILE = click.Path(path_type=Path)
LOADING_OPTIONS = (
    click.option(
        "--backend",
        default="auto",
        show_default=True,
        help="onnxruntime or openvino on the CPU, auto: the faster of these; "
        "tensorrt, tensorrt-rtx or onnxruntime-cuda on a GPU.",
    ),
    click.option("--threads", type=click.IntRange(1), help="CPU threads a run may use."),
    click.option(
        "--precision-hint", type=click.Choice(["f32", "bf16"]), help="What OpenVINO computes in; f32 unless said."
    ),
    click.option("--device", type=click.IntRange(0), help="Number of the GPU; the first unless said."),
    click.option("--trust-engines", is_flag=True, help="Load engines that were not built here: they are programs."),
)
JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")


def user_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Print the package's own errors without a traceback and exit 2; stop cleanly on Ctrl-C with 130."""

    @wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except HyperStyleDeployError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(EXIT_ERROR)
        except ModuleNotFoundError as error:
            extra = {
                "torch": "export",
                "onnx": "calibrate" if command.__name__ == "calibrate" else "export",
                "onnxruntime": "calibrate",
                "ml_dtypes": "calibrate",
                "onnx_ir": "export",
                "onnxscript": "export",
            }.get(error.name or "")
            if extra is None:
                raise
            click.echo(
                f'Error: {error.name} is not installed. Install it with: pip install "hyperstyle-deploy[{extra}]"',
                err=True,
            )
            sys.exit(EXIT_ERROR)
        except KeyboardInterrupt:
            click.echo("Stopped. Nothing is half-written; the same command goes on where it can.", err=True)
            sys.exit(EXIT_INTERRUPTED)

    return guarded


def loading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say what runs a bundle; the command gets them as ``loading``, arguments of ``load``."""
    names = ("backend", "threads", "precision_hint", "device", "trust_engines")

    @wraps(command)
    def collected(*args: Any, **kwargs: Any) -> Any:
        return command(*args, loading={name: kwargs.pop(name) for name in names}, **kwargs)

    for option in reversed(LOADING_OPTIONS):
        collected = option(collected)
    return collected


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
def main() -> None:
    """Export HyperStyle checkpoints to bundles of ONNX graphs, and invert photos with them, without PyTorch."""
    # A terminated run cleans up as an interrupted one does.
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))


@main.command()
@click.argument("path", type=FILE, metavar="CHECKPOINT|BUNDLE")
@JSON_OPTION
@user_errors
def inspect(path: Path, as_json: bool) -> None:
    """Say what a checkpoint is and what exporting it needs, or what a bundle holds and which engines it has."""
    from . import console

    if path.is_dir():
        from .runtime.bundle import Bundle, read_manifest
        from .runtime.engines.overview import engine_states

        manifest = read_manifest(path)
        states = engine_states(Bundle(path, manifest))
        if as_json:
            engines = [state.to_json() for state in states]
            click.echo(json.dumps({**manifest.to_json(), "engines": engines}, indent=1))
        else:
            console.show_bundle(path, manifest)
            console.show_engines(states)
        return
    from .export.inspection import inspect as inspect_checkpoint

    description = inspect_checkpoint(path)
    click.echo(json.dumps(description.to_json(), indent=1)) if as_json else console.show_checkpoint(description)


@main.command()
@click.argument("checkpoint", type=FILE)
@click.option("--w-encoder", type=FILE, required=True, help="The W-encoder's file that belongs to the checkpoint.")
@click.option("-o", "--output", type=FILE, required=True, help="The bundle's folder; it appears only when complete.")
@click.option("--overwrite", is_flag=True, help="Replace an existing bundle.")
@click.option(
    "--precision",
    type=click.Choice(list(PRECISIONS)),
    default="fp32",
    show_default=True,
    help="What weights and activations are in the graphs. fp16 halves the bundle; bf16 needs TensorRT to run.",
)
@user_errors
def export(checkpoint: Path, w_encoder: Path, output: Path, overwrite: bool, precision: str) -> None:
    """Export a HyperStyle checkpoint to a bundle.

    TensorRT computes what the graphs say, so --precision is chosen here. What would overflow or lose too much in 16
    bits stays float32; every graph is compared with PyTorch in float32, its results rounded as on a GPU.
    """
    from . import console
    from .export.exporter import REPORTS
    from .export.exporter import export as export_bundle

    with console.stages(f"Exporting {checkpoint.name}", REPORTS) as report:
        bundle = export_bundle(checkpoint, w_encoder, output, overwrite, report, PRECISIONS[precision])
    console.show_bundle(output, bundle.manifest)


@main.command()
@click.argument("bundle", type=FILE)
@click.option(
    "--target",
    type=click.Choice(["tensorrt", "tensorrt-rtx"]),
    required=True,
    help="tensorrt builds on the GPU that it builds for, tensorrt-rtx on any machine.",
)
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
    """Build engines of a bundle's graphs for NVIDIA GPUs, into engines/TARGET inside it.

    An engine that is there and follows from the same graph, options and versions is kept. Exit status: 0 all engines
    are there, 2 one could not be built, 130 interrupted; those that were finished before stay.
    """
    from . import console
    from .export.engines.builder import DEFAULT_STAGES
    from .export.engines.builder import build as build_engines
    from .export.engines.targets import Options
    from .runtime.engines.record import Flags, engines_folder

    flags = Flags(workspace, optimization_level, version_compatible, hardware_compatible, tf32)
    options = Options(batch, compute_capability or (), flags, timing_cache)
    names = DEFAULT_STAGES if stages is None else stages
    with console.build_progress(f"Building for {target}", len(names)) as progress:
        built = build_engines(bundle, target, names, options, force, progress)
    if as_json:
        click.echo(json.dumps([one.to_json() for one in built], indent=1))
    else:
        console.show_built(engines_folder(bundle, target), built)


@main.command()
@click.argument("bundle", type=FILE)
@click.argument("images", type=FILE, nargs=-1, required=True, metavar="PHOTO|FOLDER...")
@click.option("-o", "--output", type=FILE, required=True, help="The calibrated bundle's folder.")
@click.option("--overwrite", is_flag=True, help="Replace an existing bundle.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["int8", "fp8"]),
    default="int8",
    show_default=True,
    help="What encoder and hypernetwork are quantized to. fp8 is for GPUs since Ada.",
)
@click.option(
    "--method",
    type=click.Choice(["minmax", "entropy", "percentile", "mse"]),
    default="percentile",
    show_default=True,
    help="How a tensor's range follows from its values.",
)
@click.option("--steps", type=click.IntRange(1, 100), help="Refinement steps; the bundle's default (5) unless said.")
@click.option("--images", "count", type=click.IntRange(1), help="How many of the photos to draw; all unless said.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the draw.")
@click.option(
    "--checked", type=click.IntRange(1), default=2, show_default=True, help="Photos that the gate is measured on."
)
@click.option("--min-psnr", type=float, default=40.0, show_default=True, help="Against float32, at every step, in dB.")
@click.option(
    "--backend", default="auto", show_default=True, help="What the gate is measured in: onnxruntime, openvino."
)
@click.option("--threads", type=click.IntRange(1), help="CPU threads a run may use.")
@click.option("--report", type=FILE, help="A folder for calibration.json and plots; OUTPUT-report unless said.")
@JSON_OPTION
@user_errors
def calibrate(
    bundle: Path,
    images: tuple[Path, ...],
    output: Path,
    overwrite: bool,
    count: int | None,
    min_psnr: float,
    report: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Quantize a float32 bundle: INT8 or FP8 where it does no harm to the face.

    Ranges come from the refinement loop on the photos. Blocks that do the most harm stay in float32 until the image is
    within --min-psnr of the float32 one at every step. Exit status: 0 it is, 1 it cannot be and no bundle was
    written, 2 nothing could be run, 130 interrupted; ranges of finished photos are kept for the next run.
    """
    from . import calibration_console as printed
    from .calibration.calibrate import calibrate as calibrate_bundle
    from .calibration.report import write_report
    from .calibration.settings import Settings

    settings = Settings(images=count, least_psnr=min_psnr, **options)
    with printed.calibration_progress(f"Calibrating {bundle.name}") as progress:
        result = calibrate_bundle(bundle, images, output, settings, overwrite, progress)
    folder = report or output.with_name(f"{output.name}-report")
    plotted = write_report(result, folder)
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=1))
    else:
        printed.show_report(result, output, folder, plotted)
    if not result.met:
        sys.exit(EXIT_FAILED)


@main.command()
@click.argument("bundle", type=FILE)
@click.argument("photos", type=FILE, nargs=-1, required=True, metavar="PHOTO|FOLDER...")
@click.option("-o", "--output", type=FILE, required=True, help="Folder for the results.")
@click.option("--steps", type=click.IntRange(0, 100), help="Refinement steps; the bundle's default (5) unless said.")
@click.option("--batch", type=click.IntRange(1, 256), default=1, show_default=True, help="Photos that run together.")
@click.option("--every-step", is_flag=True, help="Also write the image after each step.")
@click.option("--no-strip", is_flag=True, help="Do not write the strip of input, reconstruction and steps.")
@click.option("--overwrite", is_flag=True, help="Invert photos again whose results are there.")
@loading_options
@JSON_OPTION
@user_errors
def invert(
    bundle: Path,
    photos: tuple[Path, ...],
    output: Path,
    steps: int | None,
    batch: int,
    every_step: bool,
    no_strip: bool,
    overwrite: bool,
    loading: dict[str, Any],
    as_json: bool,
) -> None:
    """Invert photos: the result at full size, a strip of the steps, and the inversion, for each.

    Photos whose results are there already are skipped. Exit status: 0 all photos are done, 1 some failed, 2 nothing
    could be run, 130 interrupted.
    """
    from . import console
    from .runtime.batch import FAILED, Outputs, find_photos, invert_files
    from .runtime.session import load

    found = find_photos(photos)
    session = load(bundle, **loading)
    steps = session.manifest.default_steps if steps is None else steps
    outputs = Outputs(output, steps, not no_strip, every_step, overwrite)
    with console.photo_progress(len(found), steps + 1, f"{session.backend}, {session.manifest.domain}") as advance:
        records = list(invert_files(session, found, outputs, batch, advance))
    if as_json:
        click.echo(json.dumps(console.invert_summary(session, steps, records), indent=1))
    else:
        console.show_records(output, records)
    if any(record.status == FAILED for record in records):
        sys.exit(EXIT_FAILED)


@main.command()
@click.argument("bundle", type=FILE)
@click.option("--against", type=FILE, help="The HyperStyle checkpoint to compare with, in PyTorch.")
@click.option("--w-encoder", type=FILE, help="The checkpoint's W-encoder.")
@click.option("--photo", type=FILE, help="The photo to run; the demo's unless said.")
@click.option("--steps", type=click.IntRange(0, 100), help="Refinement steps.")
@loading_options
@JSON_OPTION
@user_errors
def verify(
    bundle: Path,
    against: Path | None,
    w_encoder: Path | None,
    photo: Path | None,
    steps: int | None,
    loading: dict[str, Any],
    as_json: bool,
) -> None:
    """Check a bundle's files, and with --against its results at every step of the loop.

    Exit status: 0 all is well, 1 a result is out of tolerance, 2 the bundle cannot be used.
    """
    from . import console
    from .demo import PHOTO
    from .runtime.session import load

    if (against is None) != (w_encoder is None):
        raise click.UsageError("--against and --w-encoder belong together.")
    if against is None and (photo is not None or steps is not None):
        raise click.UsageError("--photo and --steps are for a comparison: give --against as well.")
    session = load(bundle, **loading)
    if against is None or w_encoder is None:
        console.show_loaded(bundle, session, as_json)
        return
    from .export.verification import verify_against

    differences = verify_against(session, against, w_encoder, photo or PHOTO, steps)
    good = all(difference.within for difference in differences)
    if as_json:
        click.echo(json.dumps(console.verify_summary(session, differences), indent=1))
    else:
        console.show_differences(session, differences)
    if not good:
        sys.exit(EXIT_FAILED)


@main.command()
@click.option(
    "-o", "--output", type=FILE, default=Path("demo-output"), show_default=True, help="Folder for everything."
)
@click.option("--size", type=click.Choice(["256", "512", "1024"]), default="256", show_default=True, help="Image size.")
@click.option("--steps", type=click.IntRange(1, 100), default=5, show_default=True, help="Refinement steps.")
@loading_options
@click.pass_context
@user_errors
def demo(context: click.Context, output: Path, size: str, steps: int, loading: dict[str, Any]) -> None:
    """Do the whole main job on a seeded checkpoint: inspect, export, verify, invert a photo."""
    from .demo import PHOTO, closing_words, demo_checkpoints

    checkpoint, encoder = demo_checkpoints(output, int(size))
    bundle, results = output / f"seeded{size}.bundle", output / "results"
    click.secho(f"\n$ hyperstyle-deploy inspect {checkpoint}", bold=True)
    context.invoke(inspect, path=checkpoint, as_json=False)
    click.secho(f"\n$ hyperstyle-deploy export {checkpoint} --w-encoder {encoder} -o {bundle}", bold=True)
    context.invoke(export, checkpoint=checkpoint, w_encoder=encoder, output=bundle, overwrite=True, precision="fp32")
    click.secho(f"\n$ hyperstyle-deploy verify {bundle} --against {checkpoint} --w-encoder {encoder}", bold=True)
    common = {**loading, "as_json": False, "steps": steps}
    context.invoke(verify, bundle=bundle, against=checkpoint, w_encoder=encoder, photo=PHOTO, **common)
    click.secho(f"\n$ hyperstyle-deploy invert {bundle} {PHOTO} -o {results} --steps {steps}", bold=True)
    context.invoke(
        invert,
        bundle=bundle,
        photos=(PHOTO,),
        output=results,
        batch=1,
        every_step=False,
        no_strip=False,
        overwrite=True,
        **common,
    )
    click.echo(closing_words(output))
