"""`python -m hyperstyle_deploy.training`: draw pictures, train the demo model, write and measure it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from .networks import Widths

#: Optimiser steps of each training, in the order in which they need each other.
STEPS = {
    "generator": 12_000, "mapping": 6_000, "encoder": 4_000, "hypernetwork": 5_200,
    "psp": 2_400, "e4e": 800, "restyle-psp": 1_600, "restyle-e4e": 500,
    "stylegan1": 7_000, "idinvert": 1_600,
}  # fmt: skip

#: The same of a fine-tuning.
ADAPTATION_STEPS = 800

_folder = click.option(
    "--folder", type=click.Path(path_type=Path), default="training-run", show_default=True, help="Checkpoints and logs."
)
_target = click.option("-o", "--output", "target", type=click.Path(path_type=Path), required=True)
#: The held-out picture that the demo inverts.
PHOTO = 43


@click.group()
def main() -> None:
    """Train the demo model: a HyperStyle model of cartoon faces, from pictures that a program draws."""


@main.command()
@click.option("--seed", default=0, show_default=True, help="Of the first face; the others follow.")
@click.option("--size", default=128, show_default=True)
@_target
def sheet(seed: int, size: int, target: Path) -> None:
    """Draw 32 faces, the lower 16 with extras."""
    import torch
    from PIL import Image

    from .parameters import sample
    from .pictures import draw

    parameters, extras = sample(range(seed, seed + 32))
    faces = torch.cat([draw(parameters[:16], size), draw(parameters[16:], size, extras[16:])])
    rows = faces.unflatten(0, (4, 8)).permute(0, 3, 1, 4, 2).reshape(4 * size, 8 * size, 3)
    Image.fromarray(((rows + 1) * 127.5).round().byte().numpy()).save(target)


@main.command()
@click.option("--seed", default=0, show_default=True, help="Of the first face; the others follow.")
@click.option("--extras", is_flag=True, help="With glasses, hats and the like.")
@_target
def group(seed: int, extras: bool, target: Path) -> None:
    """Draw a photo of three faces, turned, and write their landmarks beside it as JSON."""
    import json

    from .group import PLACES, group_photo

    photo, faces = group_photo(range(seed, seed + len(PLACES)), PLACES, (760, 420), extras)
    photo.save(target)
    rounded = [face.round(2).tolist() for face in faces]
    target.with_suffix(".json").write_text(json.dumps({target.name: rounded}) + "\n")


@main.command()
@click.argument("name", type=click.Choice([*STEPS, "all"]))
@click.option("--steps", type=int, help="Optimiser steps; those of the shipped model by default.")
@click.option("--batch", type=int, help="Pictures a step.")
@_folder
def train(name: str, steps: int | None, batch: int | None, folder: Path) -> None:
    """Train a network, or all in turn; a training that was interrupted goes on where it was."""
    from .encoder import train_encoder
    from .generator import train_generator
    from .hypernetwork import train_hypernetwork
    from .idinvert import train_idinvert, train_stylegan1
    from .inversion import WEIGHTS, train_inversion
    from .mapping import train_mapping

    trainings: dict[str, Callable[..., object]] = {
        "generator": train_generator,
        "mapping": train_mapping,
        "encoder": train_encoder,
        "hypernetwork": train_hypernetwork,
        **{method: partial(train_inversion, method) for method in WEIGHTS},
        "stylegan1": train_stylegan1,
        "idinvert": train_idinvert,
    }
    options = {} if batch is None else {"batch": batch}
    for each in STEPS if name == "all" else (name,):
        trainings[each](folder, Widths(), steps or STEPS[each], **options)


@main.command()
@click.option("--steps", default=ADAPTATION_STEPS, show_default=True, help="Optimiser steps.")
@_folder
@_target
def adapt(steps: int, folder: Path, target: Path) -> None:
    """Fine-tune the shipped model's generator to draw in pencil: what `export --generator` takes."""
    from .adaptation import adapt_generator

    adapt_generator(folder, target, steps)


@main.command()
@click.option("--photo", default=PHOTO, show_default=True, help="Which held-out picture is the photo to try it on.")
@_folder
@_target
def write(photo: int, folder: Path, target: Path) -> None:
    """Write the model from finished trainings: checkpoints in the authors' layout, their bundle, a photo."""
    from .model import write_model

    write_model(folder, target, Widths(), photo)


@main.command("write-idinvert")
@_folder
@_target
def idinvert(folder: Path, target: Path) -> None:
    """Write IDInvert's generator and encoder, which are no part of the model that ships: what `export` takes."""
    from .idinvert import write_idinvert

    write_idinvert(folder, target, Widths())


@main.command()
@click.argument("encoder", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("hyperstyle", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_target
def join(encoder: Path, hyperstyle: Path, target: Path) -> None:
    """Put the generator of HyperStyle's file into an encoder's: a checkpoint that `export` takes."""
    from .checkpoints import join as join_files

    join_files(encoder, hyperstyle, target)


@main.command()
@click.argument("model", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--pictures", default=500, show_default=True)
@_target
def evaluate(model: Path, pictures: int, target: Path) -> None:
    """Measure a model that `write` has written on held-out pictures: figures as JSON, and strips to look at."""
    from .evaluate import evaluate as measure

    figures = measure(model, Widths(), target, pictures)
    for which in ("with_extras", "without_extras"):
        click.echo(f"{which}: L2 " + " ".join(f"{value:.4f}" for value in figures[which]["l2_mean"]))


@main.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--people", default=24, show_default=True, help="Held-out faces to edit.")
@_target
def curves(bundle: Path, people: int, target: Path) -> None:
    """What a bundle's directions change, in the parameters that faces are drawn from: as JSON, and a picture."""
    from ..demo import ENCODER
    from ..runtime.session import load
    from .curves import Reader, write_curves
    from .curves import curves as measured

    write_curves(measured(load(bundle), Reader(ENCODER), people), target)


if __name__ == "__main__":
    main()
