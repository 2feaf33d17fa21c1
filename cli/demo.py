"""`demo`: the whole main job on a seeded checkpoint."""

from pathlib import Path
from typing import Any

import click

from ..demo import SIZES
from .export import export
from .inspect import inspect
from .invert import invert
from .options import FILE, loading_options, user_errors
from .verify import verify


@click.command()
@click.option(
    "-o", "--output", type=FILE, default=Path("demo-output"), show_default=True, help="Folder for everything."
)
@click.option(
    "--size",
    type=click.Choice(SIZES),
    default=SIZES[0],
    show_default=True,
    help="Image size. From 256 on the networks are as large as the published ones: 1.5 GB, minutes.",
)
@click.option("--steps", type=click.IntRange(1, 100), default=5, show_default=True, help="Refinement steps.")
@loading_options
@click.pass_context
@user_errors
def demo(context: click.Context, output: Path, size: str, steps: int, loading: dict[str, Any]) -> None:
    """Do the whole main job on a seeded checkpoint.

    That is: inspect it, export it, verify the bundle, invert a photo.
    """
    from ..demo import PHOTO, closing_words, demo_checkpoints

    checkpoint, encoder = demo_checkpoints(output, size)
    bundle, results = output / f"seeded{size}.bundle", output / "results"
    click.secho(f"\n$ hyperstyle-deploy inspect {checkpoint}", bold=True)
    context.invoke(inspect, path=checkpoint, as_json=False)
    click.secho(f"\n$ hyperstyle-deploy export {checkpoint} --w-encoder {encoder} -o {bundle}", bold=True)
    context.invoke(export, checkpoint=checkpoint, encoder=encoder, output=bundle, overwrite=True)
    click.secho(f"\n$ hyperstyle-deploy verify {bundle} --against {checkpoint} --w-encoder {encoder}", bold=True)
    common = {**loading, "as_json": False, "steps": steps}
    several = {**common, "backend": (loading["backend"],)}
    context.invoke(verify, bundle=bundle, against=checkpoint, encoder=encoder, **several)
    click.secho(f"\n$ hyperstyle-deploy invert {bundle} {PHOTO} -o {results} --steps {steps}", bold=True)
    context.invoke(
        invert,
        bundle=bundle,
        photos=(PHOTO,),
        output=results,
        until_gain=None,
        batch=1,
        every_step=False,
        no_strip=False,
        overwrite=True,
        **common,
    )
    click.echo(closing_words(output))
