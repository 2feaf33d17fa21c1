"""`export`: a checkpoint to a bundle."""

from pathlib import Path

import click

from .options import FILE, user_errors

#: What --precision takes -> what the manifest says.
PRECISIONS = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


@click.command()
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
    from ..export.exporter import REPORTS
    from ..export.exporter import export as export_bundle
    from .show.bundle import show_bundle
    from .show.progress import stages

    with stages(f"Exporting {checkpoint.name}", REPORTS) as report:
        bundle = export_bundle(checkpoint, w_encoder, output, overwrite, report, PRECISIONS[precision])
    show_bundle(output, bundle.manifest)
