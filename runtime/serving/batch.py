"""Many photos to a folder: every output whole or not there, finished photos skipped, a bad photo one record."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from logging import INFO, WARNING, getLogger
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...errors import HyperStyleDeployError, InversionError, OutputError, printable
from ..bundle.files import sha256_of
from ..bundle.inversion import Inversion
from ..bundle.narrow import FLOAT32, narrowed, widened
from ..images import read_photo, strip, to_uint8, write_png
from ..photos import output_names
from ..quality.tolerance import psnr
from ..refinement.loop import Step
from ..session import Session
from .strips import Strip

LOGGER = getLogger(__name__)
#: Before the names of files whose checksums an inversion keeps.
WRITTEN = "written."
#: Before the names of what an inversion's file says of its result, not of what was asked for.
RESULT = "result."
DONE, SKIPPED, FAILED = "done", "skipped", "failed"


@dataclass(frozen=True)
class Outputs:
    """What to write for each photo, and where: `<name>.png`, `<name>.inversion`, strips and steps as asked for.

    ``steps`` are refinement steps, at most so many where photos stop early: ``until_gain`` as for ``Session.invert``.
    ``stored`` is what PTI's weights are written as (``Inversion.save``).
    """

    folder: Path
    steps: int
    strips: bool = True
    every_step: bool = False
    overwrite: bool = False
    until_gain: float | None = None
    stored: str = FLOAT32

    def image(self, name: str) -> Path:
        """The result at full size."""
        return self.folder / f"{name}.png"

    def strip(self, name: str) -> Path:
        """The input, the first reconstruction and every step, side by side."""
        return self.folder / f"{name}.strip.png"

    def step(self, name: str, index: int) -> Path:
        """The image after one step, 0 before refinement, at full size."""
        return self.folder / f"{name}.step{index}.png"

    def inversion(self, name: str) -> Path:
        """Codes and offset codes. Written last: where it fits the photo, the photo is finished."""
        return self.folder / f"{name}.inversion"

    def files(self, name: str, steps: int) -> tuple[Path, ...]:
        """All files of a photo that took ``steps``, in the order they are written."""
        each = [self.step(name, index) for index in range(steps + 1)] if self.every_step else []
        return (self.image(name), *([self.strip(name)] if self.strips else []), *each, self.inversion(name))

    def check_folder(self, photos: Sequence[Path]) -> None:
        """See that results can be written, before the model is loaded for them; nothing is made yet.

        Raises:
            OutputError: the folder, or the one that it would be made in, cannot be written; or photos are in it.
        """
        if any(photo.parent.resolve() == self.folder.resolve() for photo in photos):
            raise OutputError(
                "Results would be written among the photos",
                got=self.folder,
                hint="Choose another output folder, so that no photo is overwritten or taken for one later.",
            )
        there = next(path for path in (self.folder, *self.folder.absolute().parents) if path.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            got = f"{there} cannot be written" if there.is_dir() else f"{there} is a file"
            raise OutputError(f"Cannot make the folder {self.folder}", got=got, hint="Choose another output folder.")

    @property
    def stopping(self) -> dict[str, str]:
        """What a finished photo's file says of when it was to stop; without early stopping its steps say it."""
        return {} if self.until_gain is None else {"until_gain": repr(self.until_gain), "steps": str(self.steps)}


@dataclass(frozen=True)
class Record:
    """What became of one photo; ``steps`` are those of its result, ``seconds`` is its share of its batch's time."""

    photo: Path
    status: str
    files: tuple[Path, ...] = ()
    l2: tuple[float, ...] = ()
    steps: int | None = None
    seconds: float = 0.0
    error: str | None = None


@dataclass
class _Pending:
    photo: Path
    name: str
    picture: Image.Image
    source: dict[str, str]
    strip: Strip
    #: Images at full size of every step so far.
    steps: list[NDArray[np.uint8]] = field(default_factory=list)


def invert_files(
    session: Session,
    photos: Sequence[Path],
    outputs: Outputs,
    batch: int = 1,
    on_step: Callable[[int], None] = lambda photos: None,
) -> Iterator[Record]:
    """Invert photos into ``outputs.folder``, a record each, in no particular order.

    Args:
        session: what inverts them.
        photos: as ``find_photos`` gives them.
        outputs: what to write.
        batch: photos that go through the networks together.
        on_step: called with the number of photos that took a step, or that need none.

    Raises:
        OutputError: the folder cannot be written, or photos are in it; what was finished before stays.
    """
    names = output_names(photos)
    outputs.check_folder(photos)
    try:
        outputs.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot make the folder {outputs.folder}", got=error.strerror) from error
    waiting: list[_Pending] = []
    for photo in photos:
        opened = _open(session, photo, names[photo], outputs)
        if isinstance(opened, Record):
            on_step(outputs.steps + 1)
            yield _logged(opened)
        else:
            waiting.append(opened)
        if len(waiting) == batch:
            yield from _invert_batch(session, waiting, outputs, on_step)
            waiting = []
    if waiting:
        yield from _invert_batch(session, waiting, outputs, on_step)


def _logged(record: Record) -> Record:
    what = record.error or ("" if record.status == SKIPPED else f"{record.steps} steps, {record.seconds:.2f} s")
    LOGGER.log(WARNING if record.status == FAILED else INFO, "%s: %s %s", record.photo, record.status, what)
    return record


def _open(session: Session, photo: Path, name: str, outputs: Outputs) -> "_Pending | Record":
    try:
        source = {
            "file": printable(photo.name),
            "sha256": sha256_of(photo),
            "precision": session.precision,
        } | outputs.stopping
        if session.settings is not None:
            source |= {"settings": session.settings, "stored": outputs.stored}
        # A finished photo is known by its bytes: there is no need to decode it.
        if not outputs.overwrite and (finished := _finished(session, name, source, outputs)):
            return Record(photo, SKIPPED, outputs.files(name, finished.steps), finished.l2, finished.steps)
        return _Pending(photo, name, read_photo(photo), source, Strip(outputs.steps))
    except HyperStyleDeployError as error:
        return Record(photo, FAILED, error=str(error))
    except OSError as error:
        return Record(photo, FAILED, error=f"Cannot read {photo}. Got: {error.strerror}.")


def _finished(session: Session, name: str, source: dict[str, str], outputs: Outputs) -> Inversion | None:
    """The inversion of an earlier run, if photo, precision, model and steps agree and its files are unchanged."""
    try:
        inversion = Inversion.load(outputs.inversion(name))
        session.check(inversion)
        written = _written(outputs.files(name, inversion.steps))
    except (InversionError, OSError):
        return None
    digests = {key: value for key, value in inversion.source.items() if key.startswith(WRITTEN)}
    asked = {key: value for key, value in inversion.source.items() if not key.startswith((WRITTEN, RESULT))}
    same = asked == source
    fits = inversion.steps == outputs.steps or outputs.until_gain is not None or session.settings is not None
    return inversion if same and fits and written.items() <= digests.items() else None


def _written(files: Sequence[Path]) -> dict[str, str]:
    """The checksums of a photo's files, but for its inversion, which keeps them."""
    return {f"{WRITTEN}{printable(file.name)}": sha256_of(file) for file in files if file.suffix != ".inversion"}


def _invert_batch(
    session: Session, pending: Sequence[_Pending], outputs: Outputs, on_step: Callable[[int], None]
) -> Iterator[Record]:
    started = time.monotonic()
    images = session.prepare([item.picture for item in pending])
    settling = session.settling(len(pending), outputs.until_gain)
    for step in session.refine(images, outputs.steps, settling.stopped):
        for photo, item in enumerate(pending):
            _look(item, step, photo, outputs)
        on_step(len(pending))
        if not settling.take(step):
            on_step(len(pending) * (outputs.steps - step.index))
            break
    inversions = session.settled(settling)
    for item, inversion in zip(pending, inversions, strict=True):
        _write(session, item, inversion, outputs)
    seconds = (time.monotonic() - started) / len(pending)
    for item, inversion in zip(pending, inversions, strict=True):
        files = outputs.files(item.name, inversion.steps)
        yield _logged(Record(item.photo, DONE, files, inversion.l2, inversion.steps, seconds))


def _look(item: _Pending, step: Step, photo: int, outputs: Outputs) -> None:
    """Keep the pictures of a step that are asked for; only they leave the backend."""
    if outputs.strips:
        item.strip.keep(step.index, to_uint8(step.reconstruction[photo : photo + 1])[0])
    if outputs.every_step:
        item.steps.append(step.pixels(photo))


def _write(session: Session, item: _Pending, inversion: Inversion, outputs: Outputs) -> None:
    assert inversion.image is not None
    taken = inversion.steps + 1
    write_png(outputs.image(item.name), inversion.image)
    if outputs.strips:
        size = session.manifest.image
        pictures = [item.picture, *map(Image.fromarray, item.strip.pictures(inversion.steps))]
        write_png(outputs.strip(item.name), strip(pictures, size.input_height, size.input_width))
    for index, picture in enumerate(item.steps[:taken]):
        write_png(outputs.step(item.name, index), picture)
    source = {**item.source, **inversion.source, **_written(outputs.files(item.name, inversion.steps))}
    if session.settings is not None and outputs.stored != FLOAT32:
        source[f"{RESULT}psnr"] = f"{_psnr_as_stored(session, inversion, outputs.stored):.1f}"
    replace(inversion, source=source).save(outputs.inversion(item.name), outputs.stored)


def _psnr_as_stored(session: Session, inversion: Inversion, stored: str) -> float:
    """The PSNR in dB of what is drawn of an inversion as it is stored, against its image; over 8 bits."""
    assert inversion.image is not None
    kept = replace(inversion, arrays=widened(narrowed(inversion.arrays, stored)))
    drawn, exact = (image.astype(np.float32) for image in (session.synthesize(kept)[0], inversion.image))
    return psnr(drawn, exact, 255.0)
