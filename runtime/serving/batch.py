"""Many photos to a folder: every output whole or not there, finished photos skipped, a bad photo one record."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from logging import INFO, WARNING, getLogger
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...errors import HyperStyleDeployError, ImageError, InversionError, OutputError, printable
from ..alignment.record import ALIGNMENT
from ..bundle.files import sha256_of
from ..bundle.inversion import RESULT, Inversion
from ..bundle.narrow import FLOAT32, narrowed, widened
from ..images import read_photo, strip, to_uint8, write_jpeg, write_png
from ..photos import check_output_folder, output_names
from ..quality.tolerance import psnr
from ..refinement.loop import Step
from ..session import Session
from .alignments import FaceAlignment, check_takes_faces
from .strips import Strip

LOGGER = getLogger(__name__)
#: Before the names of files whose checksums an inversion keeps.
WRITTEN = "written."
DONE, SKIPPED, FAILED = "done", "skipped", "failed"


@dataclass(frozen=True)
class Outputs:
    """What to write for each photo, and where: `<name>.png`, `<name>.inversion`, strips and steps as asked for.

    ``steps`` are refinement steps, at most so many where photos stop early: ``until_gain`` as for ``Session.invert``.
    ``alignment`` says which face of a photo is inverted, None that the photo is an aligned face.
    ``stored`` is what PTI's weights are written as (``Inversion.save``).
    ``thumbnail`` is the longer side of a small JPEG of the result, 0 for none.
    ``spent`` are seconds that went before, such as those of a pivot: an inversion's file says how long its photo took,
    these included. With None it does not, and what is written of a photo is the same every time, byte for byte.
    """

    folder: Path
    steps: int
    strips: bool = True
    every_step: bool = False
    overwrite: bool = False
    until_gain: float | None = None
    alignment: FaceAlignment | None = None
    stored: str = FLOAT32
    images: bool = True
    inversions: bool = True
    thumbnail: int = 0
    spent: float | None = None

    def image(self, name: str) -> Path:
        """The result at full size."""
        return self.folder / f"{name}.png"

    def strip(self, name: str) -> Path:
        """The input, the first reconstruction and every step, side by side."""
        return self.folder / f"{name}.strip.png"

    def aligned(self, name: str) -> Path:
        """The face as it was inverted."""
        return self.folder / f"{name}.aligned.png"

    def pasted(self, name: str) -> Path:
        """The photo with the result in the place of the face."""
        return self.folder / f"{name}.pasted.png"

    def small(self, name: str) -> Path:
        """The result as a thumbnail."""
        return self.folder / f"{name}.thumbnail.jpg"

    def step(self, name: str, index: int) -> Path:
        """The image after one step, 0 before refinement, at full size."""
        return self.folder / f"{name}.step{index}.png"

    def inversion(self, name: str) -> Path:
        """Codes and offset codes. Written last: where it fits the photo, the photo is finished."""
        return self.folder / f"{name}.inversion"

    def files(self, name: str, steps: int) -> tuple[Path, ...]:
        """All files of a photo that took ``steps``, in the order they are written."""
        each = [self.step(name, index) for index in range(steps + 1)] if self.every_step else []
        asked = {
            self.image(name): self.images,
            self.strip(name): self.strips,
            self.small(name): self.thumbnail > 0,
            **dict.fromkeys(each, True),
            self.aligned(name): self.alignment is not None,
            self.pasted(name): self.alignment is not None and self.alignment.paste_back,
            self.inversion(name): self.inversions,
        }
        return tuple(file for file, wanted in asked.items() if wanted)

    def check_folder(self, photos: Sequence[Path]) -> None:
        """See that results can be written, before the model is loaded for them; nothing is made yet.

        Raises:
            OutputError: the folder, or the one that it would be made in, cannot be written; or photos are in it.
        """
        check_output_folder(self.folder, photos)

    @property
    def settings(self) -> dict[str, str]:
        """What a finished photo's file says of when it was to stop, without early stopping its steps; and its face."""
        stopping = {} if self.until_gain is None else {"until_gain": repr(self.until_gain), "steps": str(self.steps)}
        return stopping | ({} if self.alignment is None else self.alignment.settings)


@dataclass(frozen=True)
class Record:
    """What became of one photo; ``steps`` are those of its result, ``seconds`` is its share of its batch's time.

    ``sha256`` is the photo's, where it could be read; ``error_class`` is the error's name in ``errors.py``.
    """

    photo: Path
    status: str
    files: tuple[Path, ...] = ()
    l2: tuple[float, ...] = ()
    steps: int | None = None
    seconds: float = 0.0
    error: str | None = None
    error_class: str | None = None
    sha256: str | None = None


@dataclass
class _Pending:
    photo: Path
    name: str
    picture: Image.Image
    source: dict[str, str]
    strip: Strip
    #: Puts a result into the photo, if that is asked for.
    paste: Callable[[NDArray[np.uint8]], Image.Image] | None = None
    #: Images at full size of every step so far.
    steps: list[NDArray[np.uint8]] = field(default_factory=list)


def invert_files(
    session: Session,
    photos: Sequence[Path],
    outputs: Outputs,
    batch: int = 1,
    on_step: Callable[[int], None] = lambda photos: None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Record]:
    """Invert photos into ``outputs.folder``, a record each, in no particular order.

    Args:
        session: what inverts them.
        photos: as ``find_photos`` gives them.
        outputs: what to write.
        batch: photos that go through the networks together.
        on_step: called with the number of photos that took a step, or that need none.
        clock: what seconds are taken from.

    Raises:
        OutputError: the folder cannot be written, or photos are in it; what was finished before stays.
        AlignmentError: photos are to be aligned for a model that does not invert faces.
    """
    outputs.check_folder(photos)
    yield from invert_named(session, output_names(photos), outputs, batch, on_step, clock)


def invert_named(
    session: Session,
    names: Mapping[Path, str],
    outputs: Outputs,
    batch: int = 1,
    on_step: Callable[[int], None] = lambda photos: None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Record]:
    """``invert_files`` for photos whose results have names already.

    Raises:
        OutputError: the folder cannot be written; what was finished before stays.
        AlignmentError: photos are to be aligned for a model that does not invert faces.
    """
    if outputs.alignment is not None:
        check_takes_faces(session.manifest)
    try:
        outputs.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot make the folder {outputs.folder}", got=error.strerror) from error
    waiting: list[_Pending] = []
    for photo, name in names.items():
        opened = _open(session, photo, name, outputs)
        if isinstance(opened, Record):
            on_step(outputs.steps + 1)
            yield _logged(opened)
        else:
            waiting.append(opened)
        if len(waiting) == batch:
            yield from _invert_batch(session, waiting, outputs, on_step, clock)
            waiting = []
    if waiting:
        yield from _invert_batch(session, waiting, outputs, on_step, clock)


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
        } | outputs.settings
        if session.settings is not None:
            source |= {"settings": session.settings, "stored": outputs.stored}
        # A finished photo is known by its bytes: there is no need to decode it.
        if not outputs.overwrite and (finished := _finished(session, name, source, outputs)):
            files = outputs.files(name, finished.steps)
            return Record(photo, SKIPPED, files, finished.l2, finished.steps, sha256=source["sha256"])
        picture, drawn = read_photo(photo), Strip(outputs.steps)
        if outputs.alignment is None:
            return _Pending(photo, name, picture, source, drawn)
        face = outputs.alignment.align(picture, photo.name, session.manifest)
        source[ALIGNMENT] = face.crop.text
        return _Pending(photo, name, face.picture, source, drawn, outputs.alignment.pasting(picture, face.crop))
    except HyperStyleDeployError as error:
        return Record(photo, FAILED, error=str(error), error_class=type(error).__name__)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        unread = ImageError(f"Cannot read {photo}", got=getattr(error, "strerror", None) or error)
        return Record(photo, FAILED, error=str(unread), error_class=type(unread).__name__)


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
    asked.pop(ALIGNMENT, None)
    same = asked == source
    fits = inversion.steps == outputs.steps or outputs.until_gain is not None or session.settings is not None
    return inversion if same and fits and written.items() <= digests.items() else None


def _written(files: Sequence[Path]) -> dict[str, str]:
    """The checksums of a photo's files, but for its inversion, which keeps them."""
    return {f"{WRITTEN}{printable(file.name)}": sha256_of(file) for file in files if file.suffix != ".inversion"}


def _invert_batch(
    session: Session,
    pending: Sequence[_Pending],
    outputs: Outputs,
    on_step: Callable[[int], None],
    clock: Callable[[], float],
) -> Iterator[Record]:
    started = clock()
    images = session.prepare([item.picture for item in pending])
    settling = session.settling(len(pending), outputs.until_gain)
    for step in session.refine(images, outputs.steps, settling.stopped):
        for photo, item in enumerate(pending):
            _look(item, step, photo, outputs)
        on_step(len(pending))
        if not settling.take(step):
            on_step(len(pending) * (outputs.steps - step.index))
            break
    found = session.settled(settling)
    took = None if outputs.spent is None else outputs.spent + (clock() - started) / len(pending)
    inversions = [inversion.noted(took, session.begins_with) for inversion in found]
    for photo, (item, inversion) in enumerate(zip(pending, inversions, strict=True)):
        if outputs.strips:
            _keep_for_strip(item, settling.results[photo], photo)
        _write(session, item, inversion, outputs)
    seconds = (clock() - started) / len(pending)
    for item, inversion in zip(pending, inversions, strict=True):
        files = outputs.files(item.name, inversion.steps)
        sha256 = item.source["sha256"]
        yield _logged(Record(item.photo, DONE, files, inversion.l2, inversion.steps, seconds, sha256=sha256))


def _look(item: _Pending, step: Step, photo: int, outputs: Outputs) -> None:
    """Keep the pictures of a step that are asked for; only they leave the backend."""
    if outputs.strips:
        _keep_for_strip(item, step, photo)
    if outputs.every_step:
        item.steps.append(step.pixels(photo))


def _keep_for_strip(item: _Pending, step: Step, photo: int) -> None:
    item.strip.keep(step.index, to_uint8(step.reconstruction[photo : photo + 1])[0])


def _write(session: Session, item: _Pending, inversion: Inversion, outputs: Outputs) -> None:
    assert inversion.image is not None
    taken = inversion.steps + 1
    if outputs.images:
        write_png(outputs.image(item.name), inversion.image)
    if outputs.thumbnail:
        small = Image.fromarray(inversion.image)
        small.thumbnail((outputs.thumbnail, outputs.thumbnail))
        write_jpeg(outputs.small(item.name), small)
    if outputs.strips:
        size = session.manifest.image
        pictures = [item.picture, *map(Image.fromarray, item.strip.pictures(inversion.steps))]
        write_png(outputs.strip(item.name), strip(pictures, size.input_height, size.input_width))
    for index, picture in enumerate(item.steps[:taken]):
        write_png(outputs.step(item.name, index), picture)
    if outputs.alignment is not None:
        write_png(outputs.aligned(item.name), item.picture)
    if item.paste is not None:
        write_png(outputs.pasted(item.name), item.paste(inversion.image))
    if not outputs.inversions:
        return
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
