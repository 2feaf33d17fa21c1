"""Photos in, pictures out: safe decoding, the networks' input size and range, 8-bit output and strips."""

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from ..errors import ArrayError, ImageError
from .bundle.files import atomic_file, open_plain
from .manifest.manifest import ImageSpec

FORMATS = ("JPEG", "PNG", "WEBP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
MAX_PIXELS = 40_000_000
#: How Pillow writes PNG: a level that is quick, and not much larger than the best.
PNG: dict[str, Any] = {"format": "PNG", "compress_level": 4}
#: Transparent pixels are laid over this colour (white).
BACKGROUND = (255, 255, 255)

# EXIF orientation -> what brings the picture upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

Photo: TypeAlias = "str | os.PathLike[str] | Image.Image | NDArray[np.uint8]"


def read_photo(photo: Photo) -> Image.Image:
    """Read a photo as upright 8-bit RGB.

    Args:
        photo: a path to a JPEG, PNG or WebP file; a Pillow image; or an array [H, W, 3] uint8.

    Returns:
        The first frame, EXIF orientation applied (unreadable EXIF data has none), 16-bit values scaled to 8 bits, CMYK
        converted, transparency laid over white.

    Raises:
        ImageError: the file is missing, no plain file, of another format, damaged, empty, or has more than 40 million
            pixels.
        ArrayError: an array of another shape or type.
    """
    if isinstance(photo, np.ndarray):
        if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or 0 in photo.shape:
            raise ArrayError("Not a photo", got=f"{photo.dtype} {list(photo.shape)}", expected="uint8 [H, W, 3]")
        return Image.fromarray(photo)
    if isinstance(photo, Image.Image):
        with _typed_errors("the given image"):
            return _upright_rgb(photo, "the given image", MAX_PIXELS)
    path = Path(photo)
    with _typed_errors(path), open_plain(path) as file, Image.open(file, formats=FORMATS) as image:
        return _upright_rgb(image, path, MAX_PIXELS)


def decode_photo(content: bytes, name: str, most: int) -> Image.Image:
    """``read_photo`` of a file's content, of at most ``most`` pixels; ``name`` is what errors call it.

    Raises:
        ImageError: another format, damaged, empty, or larger.
    """
    with _typed_errors(name), Image.open(BytesIO(content), formats=FORMATS) as image:
        return _upright_rgb(image, name, most)


@contextmanager
def _typed_errors(name: object) -> Iterator[None]:
    """Whatever Pillow raises, as one type."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise ImageError(f"Cannot read {name}", got="another kind of file", expected="JPEG, PNG or WebP") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _bad_size(name, "far too many pixels", MAX_PIXELS) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"Cannot read {name}", got=reason, expected="an undamaged JPEG, PNG or WebP file") from error


def _upright_rgb(image: Image.Image, name: object, most: int) -> Image.Image:
    if not 0 < image.width * image.height <= most:
        raise _bad_size(name, f"{image.width}x{image.height} pixels", most)
    image.load()
    turn = _turn(image)
    upright = _to_rgb(image if turn is None else image.transpose(turn))
    upright.info = {}  # it would still say that the photo is to be turned, and whoever reads it again would
    return upright


def _turn(image: Image.Image) -> Image.Transpose | None:
    # Pillow's exif_transpose also rewrites the EXIF data, which fails on what some cameras and editors leave there.
    try:
        return _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except (OSError, SyntaxError, ValueError, struct.error):
        return None


def _bad_size(name: object, got: str, most: int) -> ImageError:
    return ImageError(f"{name} has an unsupported size", got=got, expected=f"from 1 to {most:,} pixels")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ImageError("Floating-point images have no defined range", got="mode F", expected="8 or 16 bits a channel")
    if image.mode == "P" and image.palette is None:
        raise ImageError("The image has colour numbers, but no palette", expected="an undamaged PNG file")
    if image.mode.startswith("I"):
        # Pillow keeps 16-bit greyscale in I or I;16; its own conversion to RGB would saturate, not scale.
        grey = np.asarray(image).astype(np.int64)
        grey = np.where(grey == image.info.get("transparency", -1), 0xFFFF, grey)  # a colour of the file's 16 bits
        image = Image.fromarray(np.clip((grey + 128) // 257, 0, 255).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, (*BACKGROUND, 255)), layer)
    return image.convert("RGB")


def network_input(photos: Sequence[Image.Image], height: int, width: int) -> NDArray[np.float32]:
    """Resize RGB images and bring them to the networks' range: ``(rgb / 255 - 0.5) / 0.5``.

    The filter is the authors' (Pillow's bilinear, antialiased when shrinking).

    Returns:
        [B, 3, height, width] float32 in [-1, 1].
    """
    batch = np.empty((len(photos), 3, height, width), np.float32)
    for row, photo in zip(batch, photos, strict=True):
        rgb = np.asarray(photo.resize((width, height), Image.Resampling.BILINEAR), np.float32)
        row[:] = ((rgb / np.float32(255) - np.float32(0.5)) / np.float32(0.5)).transpose(2, 0, 1)
    return batch


def encoder_input(photos: Sequence[Image.Image], image: ImageSpec) -> NDArray[np.float32]:
    """Resize RGB images to what an encoder looks at, as its authors do (pSp's `transforms_config` for the last two).

    Photos as ``network_input``; drawings in grey over [0, 1]; label maps as a channel a label, 1 where a pixel has it.
    A label is the grey value of a pixel, so a map in which labels are far apart loses nothing by the resizing.

    Returns:
        [B, channels, input_height, input_width] float32.
    """
    if image.kind == "photo":
        return network_input(photos, image.input_height, image.input_width)
    size = (image.input_width, image.input_height)
    grey = np.stack([np.asarray(photo.convert("L").resize(size, Image.Resampling.BILINEAR)) for photo in photos])
    if image.kind == "sketch":
        return grey[:, None].astype(np.float32) / np.float32(255)
    return (grey[:, None] == np.arange(image.channels)[:, None, None]).astype(np.float32)


def to_uint8(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Network images [N, 3, H, W] float32 to 8 bits, [N, H, W, 3]: ``clip((y + 1) / 2) * 255``, truncated.

    This is the authors' conversion, so pictures compare bit for bit.

    Raises:
        ArrayError: NaN, which would become black pixels without a word.
    """
    if np.isnan(images).any():
        raise ArrayError("The network's image has NaN in it", expected="numbers")
    scaled = np.clip((images + np.float32(1)) / np.float32(2), 0, 1) * np.float32(255)
    return np.ascontiguousarray(scaled.astype(np.uint8).transpose(0, 2, 3, 1))


def mean_squared_error(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    """The loop's L2, one value a photo: mean of ``(left - right)^2`` over [B, 3, H, W] in [-1, 1]."""
    return np.square(left - right, dtype=np.float64).mean((1, 2, 3))


def write_png(path: Path, image: NDArray[np.uint8] | Image.Image) -> None:
    """Write an RGB picture as PNG, atomically.

    Raises:
        OutputError: the folder is read-only or the disk is full.
    """
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    with atomic_file(path) as partial:
        picture.save(partial, **PNG)


def write_jpeg(path: Path, image: Image.Image) -> None:
    """Write an RGB picture as JPEG, atomically.

    Raises:
        OutputError: the folder is read-only or the disk is full.
    """
    with atomic_file(path) as partial:
        image.save(partial, format="JPEG", quality=88)


def strip(pictures: Sequence[Image.Image], height: int, width: int) -> Image.Image:
    """Pictures side by side, each ``height`` x ``width``: the input, the first reconstruction, every step."""
    canvas = Image.new("RGB", (width * len(pictures), height))
    for column, picture in enumerate(pictures):
        canvas.paste(picture.resize((width, height), Image.Resampling.BILINEAR), (column * width, 0))
    return canvas
