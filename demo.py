"""The demo's own material: a drawn photo and seeded checkpoints in the authors' layout."""

from pathlib import Path

import click

#: A drawn landscape, free as the rest of the project; nobody's face.
PHOTO = Path(__file__).parent / "demo.png"

AUTHORS_DOWNLOADS = "https://github.com/yuval-alaluf/hyperstyle#pretrained-models"


#: Sizes of the demo: a few hundred thousand numbers at the first, the published layout (1.5 GB) at the others.
SIZES = ("64", "256", "512", "1024")


def demo_checkpoints(folder: Path, size: str) -> tuple[Path, Path]:
    """Make the seeded checkpoint and W-encoder of a size in ``folder / seeded<size>``, unless they are there.

    Raises:
        OutputError: the folder cannot be written.
    """
    from .errors import OutputError
    from .export.seeded import TINY, published_sizes, write_checkpoints

    target = folder / f"seeded{size}"
    paths = target / "hyperstyle.pt", target / "w_encoder.pt"
    if not all(path.exists() for path in paths):
        click.echo(f"Making a seeded checkpoint at {size}x{size} in {target} ...")
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"Cannot make the folder {target}", got=error.strerror) from error
        write_checkpoints(target, sizes=TINY if size == SIZES[0] else published_sizes(int(size)))
    return paths


def closing_words(folder: Path) -> str:
    """What the demo has shown, and where to go from here."""
    return (
        f"\nEverything is in {folder}. Seeded weights give texture, not faces: nobody has trained them.\n"
        "With --size 256 and above the networks have the published shapes.\n"
        "The authors' trained checkpoints (each with its W-encoder)\n"
        f"are at {AUTHORS_DOWNLOADS}"
    )
