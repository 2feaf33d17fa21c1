"""`export`: a checkpoint to a bundle."""

from pathlib import Path

import click

from .options import FILE, user_errors
from .parameters import Named

#: What --precision takes -> what the manifest says.
PRECISIONS = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
#: What gradient graphs can be exported for.
OPTIMISATIONS = ["projection", "pti", "pti-locality"]


@click.command()
@click.argument("checkpoint", type=FILE)
@click.option(
    "--encoder",
    "--w-encoder",
    type=FILE,
    help="For a HyperStyle checkpoint: the W-encoder's file, or a pSp, e4e or ReStyle checkpoint, for its codes. "
    "For IDInvert's generator: its encoder.",
)
@click.option("-o", "--output", type=FILE, required=True, help="The bundle's folder; it appears only when complete.")
@click.option("--overwrite", is_flag=True, help="Replace an existing bundle.")
@click.option(
    "--precision",
    type=click.Choice(list(PRECISIONS)),
    default="fp32",
    show_default=True,
    help="What weights and activations are in the graphs. fp16 halves the bundle; bf16 needs TensorRT to run.",
)
@click.option(
    "--input-size",
    type=int,
    help="Side of the square that the networks look at, cars' width. "
    "By default what the checkpoint was made for, else 256 or the drawing's size.",
)
@click.option("--encoder-steps", type=int, help="Steps of a ReStyle encoder in front of HyperStyle. By default 5.")
@click.option(
    "--gradients",
    multiple=True,
    type=click.Choice(OPTIMISATIONS),
    help="Also export gradient graphs for an optimisation, to be run with `invert --method`; may be repeated.",
)
@click.option(
    "--lpips",
    nargs=2,
    type=FILE,
    metavar="TRUNK HEADS",
    help="For the losses of --gradients: torchvision's VGG16 or AlexNet, and the file of LPIPS's heads for it. "
    "Without them losses are mean squares, at several scales.",
)
@click.option(
    "--vgg16",
    type=FILE,
    help="For IDInvert: its authors' vgg16.pth. Without it the loss has no feature term: pixels and encoder alone.",
)
@click.option(
    "--styles", is_flag=True, help="Also export a graph for directions that move channels of styles (StyleSpace)."
)
@click.option(
    *("--generator", "generators"),
    multiple=True,
    type=Named(),
    metavar="NAME=FILE",
    help="Also export a fine-tuned generator (`g_ema`, or ADA's .pkl), for `--generator NAME`; may be repeated.",
)
@click.option(
    "--generator-encoder",
    type=FILE,
    metavar="FILE",
    help="The e4e or ReStyle checkpoint that gives codes for --generator; of HyperStyle its own unless said.",
)
@click.option(
    "--generator-encoder-steps", type=int, help="Steps of a ReStyle encoder as --generator-encoder. By default 2."
)
@click.option(
    "--generator-offsets-from",
    type=click.IntRange(4),
    default=128,
    show_default=True,
    help="Layers of --generator from this resolution on take HyperStyle's offsets.",
)
@click.option("--licence", "--license", help="The licence of the weights, to be kept in the bundle.")
@user_errors
def export(
    checkpoint: Path,
    encoder: Path | None,
    output: Path,
    overwrite: bool,
    precision: str,
    input_size: int | None,
    encoder_steps: int | None,
    gradients: tuple[str, ...],
    lpips: tuple[Path, Path] | None,
    vgg16: Path | None,
    styles: bool,
    generators: tuple[tuple[str, Path], ...],
    generator_encoder: Path | None,
    generator_encoder_steps: int | None,
    generator_offsets_from: int,
    licence: str | None,
) -> None:
    """Export a checkpoint to a bundle.

    TensorRT computes what the graphs say, so --precision is chosen here. What would overflow or lose too much in 16
    bits stays float32; every graph is compared with PyTorch in float32, its results rounded as on a GPU.
    """
    from ..export.exporter import export as export_bundle
    from ..export.methods.model import Choices, FineTuned
    from .show.bundle import show_bundle
    from .show.progress import stages
    from .show.text import show_next

    if len(dict(generators)) != len(generators):
        raise click.UsageError("Two generators have one name.")
    further = FineTuned(dict(generators), generator_encoder, generator_encoder_steps, generator_offsets_from)
    with stages(f"Exporting {checkpoint.name}") as report:
        bundle = export_bundle(
            [checkpoint] if encoder is None else [checkpoint, encoder],
            output,
            choices=Choices(input_size, encoder_steps, further, styles),
            licence=licence,
            overwrite=overwrite,
            report=report,
            precision=PRECISIONS[precision],
            gradients=gradients,
            perceptual=lpips,
            vgg16=vgg16,
        )
    show_bundle(output, bundle.manifest)
    against = ["--against", checkpoint, *(["--encoder", encoder] if encoder else [])]
    show_next("verify", output, *against)
    show_next("invert", output, "PHOTO", "-o", "results")
    for name, _ in generators:
        show_next("invert", output, "PHOTO", "-o", f"results-{name}", "--generator", name)
    for name in [name for name in gradients if name != "pti-locality"]:
        show_next("invert", output, "PHOTO", "-o", f"results-{name}", "--method", name)
