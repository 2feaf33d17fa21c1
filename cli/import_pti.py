"""`import-pti`: what PTI's own program has tuned, as an inversion."""

from pathlib import Path

import click

from ..runtime.manifest.strict_json import dump
from .options import FILE, JSON_OPTION, user_errors


@click.command("import-pti")
@click.argument("bundle", type=FILE)
@click.argument("model", type=FILE)
@click.argument("pivot", type=FILE)
@click.option("--checkpoint", type=FILE, required=True, help="What the bundle was exported from: it has the generator.")
@click.option("-o", "--output", type=FILE, required=True, help="The .inversion file.")
@click.option(
    "--store",
    type=click.Choice(["float32", "float16", "int8"]),
    default="float16",
    show_default=True,
    help="What the weights are written as, a number for each of the generator's.",
)
@JSON_OPTION
@user_errors
def import_pti(
    bundle: Path, model: Path, pivot: Path, checkpoint: Path, output: Path, store: str, as_json: bool
) -> None:
    """Import what PTI's own program has tuned, as an inversion.

    MODEL is its model_*.pt, PIVOT the 0.pt among its embeddings; nothing in these files runs. BUNDLE was exported with
    --gradients pti; the inversion is then drawn and edited with it, as those of `invert --method pti` are. Needs
    PyTorch.
    """
    from ..export.tuned_results import import_tuned
    from ..runtime.bundle.files import check_folder_of

    check_folder_of(output)
    inversion = import_tuned(bundle, checkpoint, model, pivot)
    inversion.save(output, store)
    size = output.stat().st_size
    if as_json:
        click.echo(dump({"file": output.name, "bytes": size, "stored": store, "model": inversion.model}))
    else:
        click.echo(f"{output}: {size / 1e6:.1f} MB in {store}")
