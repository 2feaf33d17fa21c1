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

EXIT_FAILED, EXIT_ERROR, EXIT_INTERRUPTED = 1, 2, 130
#: What --precision takes -> what the manifest says.
PRECISIONS = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}

FILE = click.Path(path_type=Path)
BACKEND_OPTION = click.option(
    "--backend", default="auto", show_default=True, help="onnxruntime, openvino, or auto: the fastest one installed."
)
THREADS_OPTION = click.option("--threads", type=click.IntRange(1), help="CPU threads a run may use.")
HINT_OPTION = click.option(
    "--precision-hint", type=click.Choice(["f32", "bf16"]), help="What OpenVINO computes in; f32 unless said."
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
            extra = {"torch": "export", "onnx": "export", "onnx_ir": "export", "onnxscript": "export"}.get(
                error.name or ""
            )
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
    """Say what a checkpoint is and what exporting it needs, or what a bundle holds."""
    from . import console

    if path.is_dir():
        from .runtime.bundle import read_manifest

        manifest = read_manifest(path)
        click.echo(json.dumps(manifest.to_json(), indent=1)) if as_json else console.show_bundle(path, manifest)
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
@click.argument("photos", type=FILE, nargs=-1, required=True, metavar="PHOTO|FOLDER...")
@click.option("-o", "--output", type=FILE, required=True, help="Folder for the results.")
@click.option("--steps", type=click.IntRange(0, 100), help="Refinement steps; the bundle's default (5) unless said.")
@click.option("--batch", type=click.IntRange(1, 256), default=1, show_default=True, help="Photos that run together.")
@click.option("--every-step", is_flag=True, help="Also write the image after each step.")
@click.option("--no-strip", is_flag=True, help="Do not write the strip of input, reconstruction and steps.")
@click.option("--overwrite", is_flag=True, help="Invert photos again whose results are there.")
@BACKEND_OPTION
@THREADS_OPTION
@HINT_OPTION
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
    backend: str,
    threads: int | None,
    precision_hint: str | None,
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
    session = load(bundle, backend, threads, precision_hint)
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
@BACKEND_OPTION
@THREADS_OPTION
@JSON_OPTION
@user_errors
def verify(
    bundle: Path,
    against: Path | None,
    w_encoder: Path | None,
    photo: Path | None,
    steps: int | None,
    backend: str,
    threads: int | None,
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
    session = load(bundle, backend, threads)
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
@BACKEND_OPTION
@THREADS_OPTION
@click.pass_context
@user_errors
def demo(context: click.Context, output: Path, size: str, steps: int, backend: str, threads: int | None) -> None:
    """Do the whole main job on a seeded checkpoint: inspect, export, verify, invert a photo."""
    from .demo import PHOTO, closing_words, demo_checkpoints

    checkpoint, encoder = demo_checkpoints(output, int(size))
    bundle, results = output / f"seeded{size}.bundle", output / "results"
    click.secho(f"\n$ hyperstyle-deploy inspect {checkpoint}", bold=True)
    context.invoke(inspect, path=checkpoint, as_json=False)
    click.secho(f"\n$ hyperstyle-deploy export {checkpoint} --w-encoder {encoder} -o {bundle}", bold=True)
    context.invoke(export, checkpoint=checkpoint, w_encoder=encoder, output=bundle, overwrite=True, precision="fp32")
    click.secho(f"\n$ hyperstyle-deploy verify {bundle} --against {checkpoint} --w-encoder {encoder}", bold=True)
    common = {"backend": backend, "threads": threads, "as_json": False, "steps": steps}
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
        precision_hint=None,
        **common,
    )
    click.echo(closing_words(output))
