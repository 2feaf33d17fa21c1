"""Films of pictures that come one by one, MP4, GIF, WebP or PNG files: none waits in memory for the last."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import GifImagePlugin, Image

from ...errors import OutputError, printable
from ..bundle.files import atomic_directory, atomic_file, check_folder_of
from ..images import PNG

#: [height, width, 3] uint8, all of one size.
Frame: TypeAlias = NDArray[np.uint8]

MAX_RATE = 120
#: The encoder of MP4, by FFmpeg's name for it, and its constant quality: nothing to be seen is lost.
ENCODER, QUALITY = "libx264", "18"
_COLOURS = 256
_FRAME = re.compile(r"\d+\.png", re.ASCII)


def check_film(path: Path, rate: float, overwrite: bool = False) -> None:
    """See that a film could be written there, before it is drawn.

    Raises:
        OutputError: an unknown kind of file, a rate out of range, a folder that cannot be written, or something of that
            name, unless ``overwrite`` is on.
        ModuleNotFoundError: the package that writes MP4 is not installed.
    """
    if path.suffix.lower() not in _WRITERS:
        kinds = ", ".join(suffix or "no suffix for a folder of PNG files" for suffix in _WRITERS)
        raise OutputError("This kind of film is unknown", got=path.name, expected=kinds)
    if not 0 < rate <= MAX_RATE:
        raise OutputError("The rate is out of range", got=rate, expected=f"above 0, at most {MAX_RATE} frames a second")
    check_folder_of(path if path.suffix else path.with_name(f"{path.name}.film"))
    if path.exists() and not overwrite:
        raise OutputError("The output exists", got=path, hint="Choose another name, or pass --overwrite.")
    if path.is_dir() and (foreign := [file for file in path.iterdir() if not _FRAME.fullmatch(file.name)]):
        raise OutputError("The output is no folder of frames", got=foreign[0], hint="Choose another name.")
    if path.suffix.lower() == ".mp4":
        _check_encoder()


def write_film(path: Path, frames: Iterable[Frame], count: int, rate: float, overwrite: bool = False) -> None:
    """Write ``count`` frames, ``rate`` a second; the file or folder is there once it is complete.

    GIF and WebP repeat for ever. GIF has 256 colours a frame, and times in hundredths of a second.

    Raises:
        OutputError: as ``check_film``; the encoder fails, or the disk is full.
    """
    check_film(path, rate, overwrite)
    write = _WRITERS[path.suffix.lower()]
    if path.suffix:
        with atomic_file(path) as partial:
            write(partial, iter(frames), count, rate)
    else:
        with atomic_directory(path, overwrite) as partial:
            write(partial, iter(frames), count, rate)


def film_document(path: Path, frames: int, rate: float) -> dict[str, Any]:
    """A film that was written, as JSON values."""
    files = path.iterdir() if path.is_dir() else [path]
    total = sum(file.stat().st_size for file in files)
    return {"film": printable(str(path)), "frames": frames, "seconds": frames / rate, "bytes": total}


def _check_encoder() -> None:
    import av

    if ENCODER not in av.codecs_available:
        raise OutputError(
            f"This build of FFmpeg cannot write H.264: it has no {ENCODER}",
            hint="Install the package av from its wheels, or write .webp or .gif.",
        )


def _write_mp4(path: Path, frames: Iterator[Frame], count: int, rate: float) -> None:
    """H.264 in 4:2:0 as browsers play it, the colours those of BT.709."""
    import av
    from av.video.reformatter import Colorspace

    try:
        with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as film:
            speed = Fraction(rate).limit_denominator(1001)
            stream = film.add_stream(ENCODER, rate=speed, options={"crf": QUALITY})
            first = next(frames)
            stream.height, stream.width = _even(first)
            stream.pix_fmt, stream.codec_context.colorspace = "yuv420p", Colorspace.ITU709
            for frame in itertools.chain([first], frames):
                drawn = av.VideoFrame.from_ndarray(frame, format="rgb24")
                yuv = drawn.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
                film.mux(stream.encode(yuv))
            film.mux(stream.encode(None))
    except av.FFmpegError as error:
        raise OutputError(
            "FFmpeg cannot write the film", got=error.strerror or error, hint="Check free space."
        ) from error


def _even(frame: Frame) -> tuple[int, int]:
    height, width = frame.shape[:2]
    if height % 2 or width % 2:
        raise OutputError("MP4 needs even sides", got=f"{width}x{height}", hint="Write .webp or .gif.")
    return height, width


def _write_gif(path: Path, frames: Iterator[Frame], count: int, rate: float) -> None:
    """Frame by frame: Pillow's own `save_all` keeps all of them until the end."""
    with path.open("wb") as film:
        for index, frame in enumerate(frames):
            picture = Image.fromarray(frame).quantize(_COLOURS)
            if index == 0:
                header, _ = GifImagePlugin.getheader(picture.copy(), info={"loop": 0})
                film.writelines(header)
            # Rounded so that the whole film is as long as it is to be.
            hundredths = round(100 * (index + 1) / rate) - round(100 * index / rate)
            film.writelines(GifImagePlugin.getdata(picture, duration=10 * hundredths, include_color_table=True))
        film.write(b";")


def _write_webp(path: Path, frames: Iterator[Frame], count: int, rate: float) -> None:
    _Streamed(frames, count).save(path, format="WEBP", save_all=True, duration=1000 / rate, loop=0, quality=90)


class _Streamed(Image.Image):
    """An image of many frames that draws each when Pillow asks for it, and forgets it."""

    def __init__(self, frames: Iterator[Frame], count: int) -> None:
        super().__init__()
        self._frames, self.n_frames, self._index = frames, count, 0
        self._shown = Image.fromarray(next(frames))

    @property
    def mode(self) -> str:
        return self._shown.mode

    @property
    def size(self) -> tuple[int, int]:
        return self._shown.size

    def tell(self) -> int:
        return 0

    def seek(self, frame: int) -> None:
        if frame == self._index + 1:
            self._shown, self._index = Image.fromarray(next(self._frames)), frame

    def load(self) -> Any:
        return self._shown.load()

    def getim(self) -> Any:
        return self._shown.getim()


def _write_folder(path: Path, frames: Iterator[Frame], count: int, rate: float) -> None:
    digits = len(str(count - 1))
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(path / f"{index:0{digits}d}.png", **PNG)


#: Suffix -> who writes such a film.
_WRITERS: dict[str, Callable[[Path, Iterator[Frame], int, float], None]] = {
    ".mp4": _write_mp4,
    ".gif": _write_gif,
    ".webp": _write_webp,
    "": _write_folder,
}
