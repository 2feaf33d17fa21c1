"""`calibrate`: a float32 bundle to one with layers in 8 bits."""

import sys
from pathlib import Path
from typing import Any

import click

from ..runtime.manifest.strict_json import dump
from .options import EXIT_FAILED, FILE, JSON_OPTION, STEPS_OPTION, user_errors
from .parameters import Real


@click.command()
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
    help="What the convolutions of encoders are quantized to, and a hypernetwork's. fp8 is for GPUs since Ada.",
)
@click.option(
    "--method",
    type=click.Choice(["minmax", "entropy", "percentile", "mse"]),
    default="percentile",
    show_default=True,
    help="How a tensor's range follows from its values.",
)
@STEPS_OPTION
@click.option("--images", "count", type=click.IntRange(1), help="How many of the photos to draw; all unless said.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the draw.")
@click.option(
    "--checked", type=click.IntRange(1), default=2, show_default=True, help="Photos that the gate is measured on."
)
@click.option("--min-psnr", type=Real(), default=40.0, show_default=True, help="Against float32, at every step, in dB.")
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
    """Quantize a bundle where it does no harm to the face.

    Layers become INT8 or FP8. Ranges come from the refinement loop on the photos. Blocks that do the most harm stay
    in float32 until the image is within --min-psnr of the float32 one at every step. Exit status: 0 it is, 1 it
    cannot be and no bundle was written, 2 nothing could be run, 130 interrupted; ranges of finished photos are kept
    for the next run.
    """
    from ..calibration.calibrate import calibrate as calibrate_bundle
    from ..calibration.report import check_report_folder, write_report
    from ..calibration.settings import Settings
    from .show.calibration import show_report
    from .show.progress import calibration_progress

    folder = report or output.with_name(f"{output.name}-report")
    check_report_folder(folder)
    settings = Settings(images=count, least_psnr=min_psnr, **options)
    with calibration_progress(f"Calibrating {bundle.name}") as progress:
        result = calibrate_bundle(bundle, images, output, settings, overwrite, progress)
    plotted = write_report(result, folder)
    if as_json:
        click.echo(dump(result.to_json()))
    else:
        show_report(result, output, folder, plotted)
    if not result.met:
        sys.exit(EXIT_FAILED)
