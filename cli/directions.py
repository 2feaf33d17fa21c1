"""`directions`: what a bundle's codes can be moved along."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..runtime.manifest.strict_json import dump
from .options import FILE, JSON_OPTION, user_errors
from .parameters import Assignment, Span

if TYPE_CHECKING:
    from ..runtime.editing.direction import Direction
    from ..runtime.editing.importing import Wanted
    from ..runtime.manifest.manifest import Manifest


@click.group()
def directions() -> None:
    """List, import and remove the directions that a bundle carries."""


@directions.command("list")
@click.argument("bundle", type=FILE)
@JSON_OPTION
@user_errors
def list_directions(bundle: Path, as_json: bool) -> None:
    """List a bundle's directions: what kind each is, which rows it moves, and which strengths look well."""
    from ..runtime.bundle.reader import read_manifest
    from ..runtime.editing.document import directions_document
    from ..runtime.editing.folder import Directions
    from .show.editing import show_directions

    found = Directions(bundle, read_manifest(bundle)).all()
    click.echo(dump(directions_document(found))) if as_json else show_directions(bundle, found)


@directions.command("import")
@click.argument("bundle", type=FILE)
@click.argument("files", type=FILE, nargs=-1, required=True, metavar="FILE...")
@click.option("--name", help="Name of the direction; the file's unless said.")
@click.option("--rows", type=Span(whole=True), metavar="FIRST:END", help="Rows to move, END not included; all of them.")
@click.option(
    "--strengths", type=Span(whole=False), metavar="LEAST:GREATEST", help="Strengths that look well; -5:5 unless said."
)
@click.option("--component", type=click.IntRange(0), help="Of GANSpace's components, which one.")
@click.option("--styles", is_flag=True, help="The numbers are for channels of styles (StyleSpace), not for codes.")
@click.option("--overwrite", is_flag=True, help="Replace directions of the same names.")
@JSON_OPTION
@user_errors
def import_directions(
    bundle: Path,
    files: tuple[Path, ...],
    name: str | None,
    rows: tuple[int, int] | None,
    strengths: tuple[float, float] | None,
    component: int | None,
    styles: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Import directions: all that the files hold, or none.

    Files are .npy, .safetensors, PyTorch's .pt (which needs the extra `export`), a direction of another bundle, or
    GANSpace's components as HyperStyle's authors keep them: mean, std and comp in a .pt.
    """
    from ..runtime.bundle.reader import read_manifest
    from ..runtime.editing.document import directions_document
    from ..runtime.editing.folder import Directions
    from ..runtime.editing.importing import Wanted
    from .show.editing import show_directions

    manifest = read_manifest(bundle)
    wanted = Wanted(name, rows, strengths, component, styles)
    found = [direction for file in files for direction in _read(file, manifest, wanted)]
    Directions(bundle, manifest).add(found, overwrite)
    click.echo(dump(directions_document(found))) if as_json else show_directions(bundle, found)


@directions.command("channels")
@click.argument("bundle", type=FILE)
@click.argument("name")
@click.argument("weights", type=Assignment(), nargs=-1, required=True, metavar="LAYER:CHANNEL=WEIGHT...")
@click.option(
    "--strengths", type=Span(whole=False), metavar="LEAST:GREATEST", help="Strengths that look well; -5:5 unless said."
)
@click.option("--overwrite", is_flag=True, help="Replace the direction if it is there.")
@JSON_OPTION
@user_errors
def add_channels(
    bundle: Path,
    name: str,
    weights: tuple[tuple[str, tuple[float, ...]], ...],
    strengths: tuple[float, float] | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Make a direction of single channels of styles, such as convs.3:17=1.

    The bundle must have been exported with --styles.
    """
    from ..runtime.bundle.reader import read_manifest
    from ..runtime.editing.channels import vector_of
    from ..runtime.editing.document import directions_document
    from ..runtime.editing.folder import Directions
    from ..runtime.editing.importing import STRENGTHS
    from ..runtime.editing.style_files import style_direction
    from .show.editing import show_directions

    if any(len(values) != 1 for _, values in weights):
        raise click.UsageError("A channel has one weight.")
    manifest = read_manifest(bundle)
    vector = vector_of({channel: value for channel, (value,) in weights}, manifest.generator)
    told = ", ".join(f"{channel}={value:g}" for channel, (value,) in weights)
    found = [style_direction(name, vector, manifest, strengths or STRENGTHS, {"channels": told})]
    Directions(bundle, manifest).add(found, overwrite)
    click.echo(dump(directions_document(found))) if as_json else show_directions(bundle, found)


def _read(file: Path, manifest: "Manifest", wanted: "Wanted") -> "list[Direction]":
    from ..runtime.editing.importing import directions_from, is_ours, read_values, readopted
    from ..runtime.inspection import content_of

    if file.is_file() and content_of(file) in ("a zip file", "a pickle"):
        from ..export.directions import read_values as read_pytorch_values

        return directions_from(read_pytorch_values(file), file, manifest, wanted)
    if is_ours(file):
        return [readopted(file, manifest, wanted)]
    return directions_from(read_values(file), file, manifest, wanted)


@directions.command("remove")
@click.argument("bundle", type=FILE)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@user_errors
def remove_directions(bundle: Path, names: tuple[str, ...]) -> None:
    """Remove directions by their names: all of them, or none."""
    from ..runtime.bundle.reader import read_manifest
    from ..runtime.editing.folder import Directions

    Directions(bundle, read_manifest(bundle)).remove(names)
