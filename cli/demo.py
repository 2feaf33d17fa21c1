"""`demo`: the whole main job on the model that comes along, or on seeded weights in the published layout."""

import shlex
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from shutil import copytree
from typing import Any

import click
from click.core import ParameterSource

from ..demo import SIZES
from .align import paste
from .animate import animate
from .directions import directions
from .edit import edit
from .export import export
from .inspect import inspect
from .invert import invert
from .options import FILE, loading_options, user_errors
from .personalize import personalize
from .verify import verify

#: Runs a command, with what loads bundles or without: its name, then its words.
Run = Callable[..., None]
_COMMANDS: dict[str, click.Command] = {
    command.name or "": command
    for command in (animate, directions, edit, export, inspect, invert, paste, personalize, verify)
}


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
    """Invert and edit faces with the model that comes along.

    One of them is taken out of a photo of several and put back, filmed, and written as a generator of its own. Where
    PyTorch is installed, the model's checkpoints are exported and verified, too. It has 64 pixels, and was trained in
    this project on faces that a program draws.
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
    from ..runtime.bundle.reader import read_manifest
    from ..runtime.methods.base import STYLED
    from ..runtime.photos import output_names

    if photo is not None:
        click.echo("This model knows drawn faces alone: from a photo of a real one it makes what it knows.")
    face, results, edits = photo or shown(FACE), output / "results", output / "edits"
    name, bundle = output_names([face])[face], shown(BUNDLE)
    person = results / f"{name}.inversion"
    run("invert", bundle, face, "-o", results, "--steps", steps, "--overwrite")
    run("edit", bundle, person, *_along(EDITS), "-o", edits)
    _faces_of_a_photo(run, bundle, output, steps)
    other = output / "group" / "group.inversion"
    mixing = ("--direction", "smile=-2:2:5", "--mix", f"0:4={other}")
    run("edit", bundle, person, *mixing, "-o", output / "mixed")
    run("animate", bundle, person, other, "--loop", "-o", output / "film.webp", "--overwrite")
    if find_spec("onnx") is None:
        click.echo("\nThe package onnx is not installed (extra calibrate): nobody's own generator is written.")
    else:
        run("personalize", bundle, person, "-o", output / f"{name}.onnx")
    own = output / BUNDLE.name
    if find_spec("torch") is not None:
        _export(run, shown(CHECKPOINT), shown(ENCODER), own, steps, "--styles")
    else:
        click.echo("\nPyTorch is not installed: export and verification are left out.")
        copytree(BUNDLE, own, dirs_exist_ok=True)  # that it can have more directions
    if STYLED in read_manifest(own).graphs:
        _styles(run, own, person, output / "styles")
    click.echo(
        closing_words(
            output,
            {
                f"results/{name}.strip.png": "the photo, its first inversion, and each refinement step.",
                f"results/{name}.inversion": "the person in a small file.",
                f"edits/{name}.sheet.png": "the person, edited.",
                "group/group.pasted.png": "a face out of a photo of three, inverted, and put back.",
                "group-older.png": "the same face, older and smiling.",
                f"mixed/{name}.sheet.png": "the person with the face's shape of that other one.",
                "film.webp": "from one to the other and back.",
                f"{name}.onnx": "the person's own generator, for any ONNX runtime.",
                f"styles/{name}.sheet.png": "single channels of single layers moved.",
            },
        )
    )


def _along(spans: Iterable[tuple[str, str]]) -> list[str]:
    return [word for name, span in spans for word in ("--direction", f"{name}={span}")]


def _faces_of_a_photo(run: Run, bundle: Path, output: Path, steps: int) -> None:
    """Align, invert, paste back; then edit, and paste that."""
    from ..demo import GROUP, LANDMARKS, shown

    group, folder = shown(GROUP), output / "group"
    where = ("--align", "--landmarks", shown(LANDMARKS), "--paste-back")
    run("invert", bundle, group, "-o", folder, "--steps", steps, *where, "--overwrite")
    person = folder / "group.inversion"
    run("edit", bundle, person, "--direction", "age=2", "--direction", "smile=2", "-o", folder)
    face, pasted = folder / "group.age=2,smile=2.png", output / "group-older.png"
    run("paste", group, face, person, "-o", pasted, loading=False)


def _styles(run: Run, bundle: Path, person: Path, edits: Path) -> None:
    """Name channels of styles, and move them."""
    from ..demo import CHANNELS

    for name, channel, span in CHANNELS:
        words = (bundle, name, channel, f"--strengths={span}", "--overwrite")
        run("directions", "channels", *words, loading=False)
    run("directions", "list", bundle, loading=False)
    run("edit", bundle, person, *_along((name, f"{span}:5") for name, _, span in CHANNELS), "-o", edits)


def _export(run: Run, checkpoint: Path, encoder: Path, bundle: Path, steps: int, *options: str) -> None:
    """Inspect, export, verify: what turns a checkpoint into a bundle."""
    run("inspect", checkpoint, loading=False)
    run("export", checkpoint, "--w-encoder", encoder, *options, "-o", bundle, "--overwrite", loading=False)
    run("verify", bundle, "--against", checkpoint, "--w-encoder", encoder, "--steps", steps)


def _published_layout(run: Run, output: Path, size: str, steps: int) -> None:
    from ..demo import PHOTO, seeded_checkpoints, seeded_words

    bundle = output / f"seeded{size}.bundle"
    _export(run, *seeded_checkpoints(output, size), bundle, steps)
    run("invert", bundle, PHOTO, "-o", output / "results", "--steps", steps, "--overwrite")
    click.echo(seeded_words(output))
