"""The demo's own material: a trained model of drawn faces, and seeded checkpoints in the authors' layout."""

from pathlib import Path

import click

#: A drawn landscape, free as the rest of the project: what `verify` and `profile` look at unless told otherwise.
PHOTO = Path(__file__).parent / "demo.png"
#: The trained model (models/faces64/README.md): its checkpoints, their bundle, and a face that it was not trained on.
MODEL = Path(__file__).parent / "models" / "faces64"
CHECKPOINT, ENCODER, BUNDLE, FACE = (
    MODEL / name for name in ("hyperstyle.pt", "w_encoder.pt", "faces64.bundle", "photo.png")
)
#: What the demo does to the person in the photo: directions, each over strengths.
EDITS = (("smile", "-2:2:5"), ("pose", "-2:2:5"), ("hair_length", "-2:2:5"), ("age", "-2:2:5"))

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


def closing_words(results: Path, edits: Path, name: str) -> str:
    """What the demo has shown, and where to go from here."""
    return (
        f"\n{results / f'{name}.strip.png'}: the photo, its first inversion, and each refinement step.\n"
        f"{edits / f'{name}.sheet.png'}: the person, edited.\n"
        f"{results / f'{name}.inversion'}: the person in a small file.\n"
        "hyperstyle-deploy serve opens a page on the same model (extra `serve`).\n"
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
