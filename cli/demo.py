"""`demo`: the whole main job on the model that comes along, or on seeded weights in the published layout."""

import shlex
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ..demo import SIZES
from .edit import edit
from .export import export
from .inspect import inspect
from .invert import invert
from .options import FILE, loading_options, user_errors
from .verify import verify

#: Runs a command, with what loads bundles or without: its name, then its words.
Run = Callable[..., None]
_COMMANDS = {"edit": edit, "export": export, "inspect": inspect, "invert": invert, "verify": verify}


@click.command()
@click.option(
    "-o", "--output", type=FILE, default=Path("demo-output"), show_default=True, help="Folder for everything."
)
@click.option("--photo", type=FILE, help="A picture of your own. The model knows drawn faces, not real ones.")
@click.option("--steps", type=click.IntRange(1, 100), default=5, show_default=True, help="Refinement steps.")
@click.option("--published-layout", is_flag=True, help="Seeded weights, nothing trained, in the published sizes.")
@click.option(
    "--size", type=click.Choice(SIZES), default=SIZES[0], show_default=True, help="Of the published layout: 1.5 GB."
)
@loading_options
@click.pass_context
@user_errors
def demo(
    context: click.Context,
    output: Path,
    photo: Path | None,
    steps: int,
    published_layout: bool,
    size: str,
    loading: dict[str, Any],
) -> None:
    """Invert and edit a face with the model that comes along.

    Where PyTorch is installed, its checkpoints are exported and verified, too. The model has 64 pixels, and was trained
    in this project on faces that a program draws.
    """
    given = [name for name in loading if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    options = {name: f"--{name.replace('_', '-')}" for name in given}
    loads = [word for name in given for word in (options[name], str(loading[name])) if loading[name] is not True]
    loads += [options[name] for name in given if loading[name] is True]

    def run(command: str, *words: object, loading: bool = True) -> None:
        texts = [str(word) for word in words] + (loads if loading else [])
        click.secho(f"\n$ {shlex.join(['hyperstyle-deploy', command, *texts])}", bold=True)
        with _COMMANDS[command].make_context(command, texts, parent=context) as inner:
            _COMMANDS[command].invoke(inner)

    if published_layout:
        _published_layout(run, output, size, steps)
    else:
        _trained(run, output, photo, steps)


def _trained(run: Run, output: Path, photo: Path | None, steps: int) -> None:
    """Invert and edit with the bundle as it came; then make that bundle from its checkpoints."""
    from ..demo import BUNDLE, CHECKPOINT, EDITS, ENCODER, FACE, closing_words, shown
    from ..runtime.photos import output_names

    if photo is not None:
        click.echo("This model knows drawn faces alone: from a photo of a real one it makes what it knows.")
    face, results, edits = photo or shown(FACE), output / "results", output / "edits"
    name = output_names([face])[face]
    run("invert", shown(BUNDLE), face, "-o", results, "--steps", steps, "--overwrite")
    directions = [word for name, span in EDITS for word in ("--direction", f"{name}={span}")]
    run("edit", shown(BUNDLE), results / f"{name}.inversion", *directions, "-o", edits)
    if find_spec("torch") is None:
        click.echo("\nPyTorch is not installed: export and verification are left out.")
    else:
        _export(run, shown(CHECKPOINT), shown(ENCODER), output / BUNDLE.name, steps)
    click.echo(closing_words(results, edits, name))


def _export(run: Run, checkpoint: Path, encoder: Path, bundle: Path, steps: int) -> None:
    """Inspect, export, verify: what turns a checkpoint into a bundle."""
    run("inspect", checkpoint, loading=False)
    run("export", checkpoint, "--w-encoder", encoder, "-o", bundle, "--overwrite", loading=False)
    run("verify", bundle, "--against", checkpoint, "--w-encoder", encoder, "--steps", steps)


def _published_layout(run: Run, output: Path, size: str, steps: int) -> None:
    from ..demo import PHOTO, seeded_checkpoints, seeded_words

    bundle = output / f"seeded{size}.bundle"
    _export(run, *seeded_checkpoints(output, size), bundle, steps)
    run("invert", bundle, PHOTO, "-o", output / "results", "--steps", steps, "--overwrite")
    click.echo(seeded_words(output))
