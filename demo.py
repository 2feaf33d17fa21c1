"""The demo's own material: a trained model of drawn faces, and seeded checkpoints in the authors' layout."""

from collections.abc import Mapping
from pathlib import Path

import click

#: A drawn landscape, free as the rest of the project: what `verify` and `profile` look at unless told otherwise.
PHOTO = Path(__file__).parent / "demo.png"
#: The trained model (models/faces64/README.md): its checkpoints, their bundle, a face that it was not trained on, and a
#: photo of three others, with their landmarks.
MODEL = Path(__file__).parent / "models" / "faces64"
CHECKPOINT, ENCODER, BUNDLE, FACE, GROUP, LANDMARKS = (
    MODEL / name for name in ("hyperstyle.pt", "w_encoder.pt", "faces64.bundle", "photo.png", "group.png", "group.json")
)
#: What the demo does to the person in the photo: directions, each over strengths.
EDITS = (("smile", "-2:2:5"), ("pose", "-2:2:5"), ("hair_length", "-2:2:5"), ("age", "-2:2:5"))
#: Single channels of styles, found by moving each: the light of the eyes, and the shirt's green; with their strengths.
CHANNELS = (("eyes", "convs.7:6=1", "-6:6"), ("shirt", "to_rgbs.1:3=1", "-4:4"))

AUTHORS_DOWNLOADS = "https://github.com/yuval-alaluf/hyperstyle#pretrained-models"
#: Of the published layout: 1.5 GB, minutes.
SIZES = ("256", "512", "1024")


def seeded_checkpoints(folder: Path, size: str) -> tuple[Path, Path]:
    """Make the seeded checkpoint and W-encoder of a size in ``folder / seeded<size>``, unless they are there.

    Raises:
        OutputError: the folder cannot be written.
    """
    from .errors import OutputError
    from .export.seeded import published_sizes, write_checkpoints

    target = folder / f"seeded{size}"
    paths = target / "hyperstyle.pt", target / "w_encoder.pt"
    if not all(path.exists() for path in paths):
        click.echo(f"Making a seeded checkpoint at {size}x{size} in {target} ...")
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"Cannot make the folder {target}", got=error.strerror) from error
        write_checkpoints(target, sizes=published_sizes(int(size)))
    return paths


def shown(path: Path) -> Path:
    """A path as one would type it here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def closing_words(output: Path, left: Mapping[str, str]) -> str:
    """What the demo has left in its folder, by file and in words, and where to go from here."""
    return (
        "\n"
        + "".join(f"{output / file}: {what}\n" for file, what in left.items() if (output / file).exists())
        + "hyperstyle-deploy serve opens a page on the same model (extra `serve`). What takes longer than a demo,\n"
        "drawing with a fine-tuned generator and how well directions do, has its commands in docs/editing.md.\n"
        "The model was trained in this project on drawn faces (docs/demo-model.md). The authors' checkpoints of real\n"
        f"faces are at {AUTHORS_DOWNLOADS};\n"
        "next: hyperstyle-deploy export hyperstyle_ffhq.pt --w-encoder faces_w_encoder.pt -o faces.bundle"
    )


def seeded_words(folder: Path) -> str:
    """What the demo has shown in the published layout."""
    return (
        f"\nEverything is in {folder}. Seeded weights give texture, not faces: nobody has trained them.\n"
        "What they show is the time and the memory that the published layout takes.\n"
        "The authors' trained checkpoints (each with its W-encoder)\n"
        f"are at {AUTHORS_DOWNLOADS}"
    )
