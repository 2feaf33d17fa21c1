"""Films of edits, as their files' bytes."""

from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from ...editing.film import write_film
from ..live.work import Pictures

#: Frames a second.
RATE = 24


def kinds() -> list[str]:
    """The films that this service can write, the one that most players know first."""
    return [*(["mp4"] if find_spec("av") else []), "webp", "gif"]


def film_of(pictures: Pictures, kind: str) -> bytes:
    """Pictures from the first to the last and back, so that it can go on for ever.

    Raises:
        OutputError: the encoder fails, or there is no room for a temporary file.
    """
    frames = [*pictures, *pictures[-2:0:-1]]
    with TemporaryDirectory(prefix="hyperstyle-film-") as folder:
        path = Path(folder) / f"film.{kind}"
        write_film(path, frames, len(frames), RATE)
        return path.read_bytes()
