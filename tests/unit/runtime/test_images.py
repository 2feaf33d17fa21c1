"""Photos of every kind a stranger may send become upright 8-bit RGB or a clear error; pictures out are exact."""

import io
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFile

from hyperstyle_deploy.errors import ArrayError, ImageError, OutputError
from hyperstyle_deploy.runtime import images
from hyperstyle_deploy.runtime.images import network_input, read_photo, strip, to_uint8, write_png

Pixels = NDArray[np.uint8]
Read = Callable[[bytes], Pixels]
WHITE = (255, 255, 255)
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6  # PNG's colour types


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, depth: int, colour: int, samples: list[int], *extra: tuple[bytes, bytes], height: int = 1) -> bytes:
    """A PNG of one written row, whatever its header says."""
    row = b"\0" + (struct.pack(f">{len(samples)}H", *samples) if depth == 16 else bytes(samples))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    between = b"".join(chunk(*one) for one in extra)
    return b"\x89PNG\r\n\x1a\n" + header + between + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format=kind, **options)
    return stream.getvalue()


def exact(image: Image.Image, kind: str, **options: object) -> bytes:
    """Encode with as little loss as the format allows."""
    best: dict[str, dict[str, object]] = {
        "JPEG": {"quality": 100, "subsampling": 0},
        "PNG": {},
        "WEBP": {"lossless": True, "exact": True},
    }
    return encoded(image, kind, **best[kind], **options)


def gradient(width: int = 40, height: int = 24) -> Image.Image:
    rows, columns = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([rows * 9, columns * 6, (rows + columns) * 3], 2).astype(np.uint8))


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def from_file(content: bytes) -> Pixels:
        (tmp_path / "photo").write_bytes(content)
        image = read_photo(tmp_path / "photo")
        assert image.mode == "RGB"
        return np.asarray(image)

    return from_file


# Formats


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_three_formats_are_read_whatever_the_file_is_called(read: Read, kind: str) -> None:
    pixels = read(exact(gradient(), kind))
    assert pixels.shape == (24, 40, 3)
    np.testing.assert_allclose(pixels.astype(int), np.asarray(gradient()), atol=3 if kind == "JPEG" else 0)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "PPM", "ICO", "TGA", "ICNS", "PDF", "EPS", "JPEG2000"])
def test_other_formats_are_refused_even_under_a_png_name(tmp_path: Path, kind: str) -> None:
    (tmp_path / "photo.png").write_bytes(encoded(Image.new("RGB", (16, 16)), kind))
    with pytest.raises(ImageError, match=r"another kind of file\. Expected: JPEG, PNG or WebP"):
        read_photo(tmp_path / "photo.png")


@pytest.mark.parametrize(
    "content", [b"", b"<html></html>", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP", bytes(4096)]
)
def test_what_is_no_photo_is_refused(read: Read, content: bytes) -> None:
    with pytest.raises(ImageError):
        read(content)


@pytest.mark.parametrize("name", [".", "missing.png", "photo.png/below", "n" * 5000, "with\0nul", "\x1b[2J", "\ud800"])
def test_a_path_without_a_photo_is_an_error_that_can_be_printed(tmp_path: Path, name: str) -> None:
    (tmp_path / "photo.png").touch()
    with pytest.raises(ImageError, match="Cannot read") as caught:
        read_photo(f"{tmp_path}/{name}")
    assert str(caught.value).isprintable()


# Size


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object) -> None:
        pytest.fail("the pixels were decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)


def jpeg_claiming(width: int, height: int) -> bytes:
    content = bytearray(encoded(gradient(), "JPEG"))
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(content)


@pytest.mark.usefixtures("no_decoding")
@pytest.mark.parametrize(
    "content",
    [
        png(2**31 - 1, 8, RGB, [0], height=2**31 - 1),
        png(2**31 - 1, 1, GREY, [0], height=1),
        png(15_000, 8, RGB, [0], height=10_000),
        png(40_000_001, 8, RGB, [0]),
        png(6325, 8, RGB, [0], height=6325),
        jpeg_claiming(65_500, 65_500),
        jpeg_claiming(10_000, 5_000),
    ],
    ids=["largest png", "long line", "150 MP", "40 MP and one", "a little over 40 MP", "largest jpeg", "50 MP jpeg"],
)
def test_a_header_that_claims_too_many_pixels_is_refused_before_decoding(read: Read, content: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow warns, as an error where the caller says so, before it refuses
        with pytest.raises(ImageError, match=r"unsupported size.*from 1 to 40,000,000 pixels"):
            read(content)


@pytest.mark.parametrize(
    ("width", "height", "fits"), [(10, 10, True), (100, 1, True), (101, 1, False), (10, 11, False)]
)
def test_the_limit_is_on_the_product(
    read: Read, monkeypatch: pytest.MonkeyPatch, width: int, height: int, fits: bool
) -> None:
    assert images.MAX_PIXELS == 40_000_000
    monkeypatch.setattr(images, "MAX_PIXELS", 100)
    image = Image.new("RGB", (width, height))
    for take in (lambda: read(encoded(image, "PNG")).shape, lambda: np.asarray(read_photo(image)).shape):
        if fits:
            assert take() == (height, width, 3)
        else:
            with pytest.raises(ImageError, match=f"{width}x{height} pixels"):
                take()


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
def test_an_image_without_pixels_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match="unsupported size"):
        read_photo(Image.new("RGB", size))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_one_pixel_is_a_photo(read: Read, kind: str) -> None:
    pixels = read(exact(Image.new("RGB", (1, 1), (10, 200, 30)), kind))
    np.testing.assert_allclose(pixels.astype(int), [[(10, 200, 30)]], atol=3 if kind == "JPEG" else 0)
    batch = network_input([Image.fromarray(pixels)], 16, 16)
    assert np.ptp(batch, (2, 3)).max() < 1e-6


# Frames and orientation


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "MPO"])
def test_only_the_first_frame_is_read(read: Read, kind: str) -> None:
    first, second = Image.new("RGB", (16, 16), "red"), Image.new("RGB", (16, 16), "blue")
    pixels = read(encoded(first, kind, save_all=True, append_images=[second]))
    np.testing.assert_allclose(pixels.reshape(-1, 3).astype(int), [(255, 0, 0)] * 256, atol=3)


#: EXIF orientation -> how the stored rows and columns become upright, by the standard's words.
UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: stored[::-1].swapaxes(0, 1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: stored[:, ::-1].swapaxes(0, 1),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_the_orientation_is_applied(read: Read, kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = read(exact(gradient(), kind, exif=exif))
    expected = UPRIGHT[orientation](np.asarray(gradient()))
    assert pixels.shape == expected.shape
    np.testing.assert_allclose(pixels.astype(int), expected, atol=3 if kind == "JPEG" else 0)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_photo_that_was_read_is_not_turned_again(tmp_path: Path, kind: str, orientation: int) -> None:
    """Commands and services read a photo, and give what they read to a session, which reads what it is given."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "photo").write_bytes(encoded(gradient(), kind, exif=exif))
    photo = read_photo(tmp_path / "photo")
    assert np.array_equal(np.asarray(read_photo(photo)), np.asarray(photo))
    assert not photo.getexif()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_the_orientation_is_applied_in_every_mode(read: Read, mode: str) -> None:
    image = Image.new(mode, (3, 2))
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read(encoded(image, "PNG", exif=exif)).shape == (3, 2, 3)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_means_nothing(read: Read, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(read(exact(gradient(), "PNG", exif=exif)), np.asarray(gradient()))


def exif_block(*entries: tuple[int, int, int, int], offset: int = 8) -> bytes:
    """EXIF data with one directory of (tag, type, count, value or offset)."""
    directory = struct.pack(">H", len(entries)) + b"".join(struct.pack(">HHII", *entry) for entry in entries)
    return b"Exif\0\0MM\0*" + struct.pack(">I", offset) + directory + bytes(20)


ORIENTATION_6 = (0x0112, 3, 1, 6 << 16)


@pytest.mark.parametrize(
    ("exif", "turned"),
    [
        pytest.param(exif_block(ORIENTATION_6), True, id="whole"),
        pytest.param(exif_block(ORIENTATION_6, (0x0132, 5, 1, 8)), True, id="date is a fraction"),
        pytest.param(exif_block(ORIENTATION_6, (0x8769, 2, 1, 0x41000000)), True, id="directory is a text"),
        pytest.param(exif_block(ORIENTATION_6, (0x011A, 5, 1, 0xFFFFFFFF)), True, id="fraction past the end"),
        pytest.param(exif_block((0x0112, 2, 2, 0x36000000)), False, id="orientation is a text"),
        pytest.param(exif_block((0x0112, 5, 1, 8)), False, id="orientation is a fraction"),
        pytest.param(exif_block(ORIENTATION_6, offset=0xFFFF), False, id="directory past the end"),
        pytest.param(b"Exif\0\0MM\0*\0\0", False, id="cut"),
        pytest.param(b"Exif\0\0nonsense", False, id="nonsense"),
        pytest.param(b"Exif\0\0", False, id="empty"),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_broken_exif_data_costs_at_most_the_orientation(read: Read, kind: str, exif: bytes, turned: bool) -> None:
    assert read(exact(gradient(), kind, exif=exif)).shape == ((40, 24, 3) if turned else (24, 40, 3))


# Kinds of pixels


def test_16_bit_grey_is_scaled_not_saturated(read: Read) -> None:
    samples = [0, 1, 128, 129, 255, 256, 257, 25_700, 32_767, 32_768, 51_400, 65_406, 65_407, 65_535]
    pixels = read(png(len(samples), 16, GREY, samples))
    np.testing.assert_array_equal(pixels[0], [[round(sample / 257)] * 3 for sample in samples])


def test_16_bit_colour_is_scaled(read: Read) -> None:
    samples = [0, 25_700, 65_535, 300, 32_768, 65_407]
    pixels = read(png(2, 16, RGB, samples))
    np.testing.assert_allclose(pixels.ravel() * 257.0, samples, atol=257)
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_32_bit_grey_given_as_an_image_is_brought_into_range() -> None:
    image = Image.fromarray(np.array([[-5, 0, 25_700, 65_535, 2**31 - 1]], np.int32))
    np.testing.assert_array_equal(np.asarray(read_photo(image))[0, :, 0], [0, 0, 100, 255, 255])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(png(4, 2, GREY, [0b00011011]), [0, 85, 170, 255], id="2-bit grey"),
        pytest.param(png(2, 4, GREY, [0x0F]), [0, 255], id="4-bit grey"),
        pytest.param(png(4, 1, GREY, [0b01010000]), [0, 255, 0, 255], id="1-bit grey"),
        pytest.param(png(3, 8, GREY, [0, 100, 255]), [0, 100, 255], id="8-bit grey"),
        pytest.param(png(2, 8, GREY, [1, 2], (b"tRNS", b"\0\1")), [255, 2], id="grey with a clear value"),
        pytest.param(
            png(3, 16, GREY, [1000, 25_700, 1001], (b"tRNS", struct.pack(">H", 1000))),
            [255, 100, 4],
            id="16-bit grey with a clear value",
        ),
        pytest.param(png(2, 16, GREY_ALPHA, [25_700, 65_535, 25_700, 0]), [100, 255], id="16-bit grey with alpha"),
        pytest.param(png(2, 8, GREY_ALPHA, [100, 255, 0, 128]), [100, 127], id="grey with alpha"),
    ],
)
def test_grey_becomes_equal_channels(read: Read, content: bytes, expected: list[int]) -> None:
    np.testing.assert_array_equal(read(content)[0], [[value] * 3 for value in expected])


PALETTE_RED_GREEN = (b"PLTE", bytes([255, 0, 0, 0, 255, 0]))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(
            png(3, 8, RGB_ALPHA, [9, 8, 7, 0, 0, 0, 0, 128, 255, 0, 0, 255]),
            [WHITE, (127, 127, 127), (255, 0, 0)],
            id="RGBA",
        ),
        pytest.param(png(2, 8, PALETTE, [0, 1], PALETTE_RED_GREEN), [(255, 0, 0), (0, 255, 0)], id="palette"),
        pytest.param(
            png(2, 8, PALETTE, [0, 1], PALETTE_RED_GREEN, (b"tRNS", b"\xff\0")), [(255, 0, 0), WHITE], id="clear entry"
        ),
        pytest.param(
            png(2, 8, PALETTE, [0, 1], PALETTE_RED_GREEN, (b"tRNS", b"\x80\xff")),
            [(255, 127, 127), (0, 255, 0)],
            id="half-clear entry",
        ),
        pytest.param(
            png(2, 8, PALETTE, [0, 200], PALETTE_RED_GREEN), [(255, 0, 0), (0, 0, 0)], id="past the palette's end"
        ),
        pytest.param(
            png(2, 8, RGB, [1, 2, 3, 4, 5, 6], (b"tRNS", b"\0\1\0\2\0\3")), [WHITE, (4, 5, 6)], id="clear colour"
        ),
    ],
)
def test_transparency_is_laid_over_white(read: Read, content: bytes, expected: list[tuple[int, int, int]]) -> None:
    np.testing.assert_array_equal(read(content)[0], expected)


def test_a_palette_photo_without_its_palette_is_refused(read: Read) -> None:
    with pytest.raises(ImageError, match="no palette"):
        read(png(2, 8, PALETTE, [0, 1]))


def test_webp_with_alpha_is_laid_over_white(read: Read) -> None:
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (255, 0, 0, 255))
    np.testing.assert_array_equal(read(exact(image, "WEBP"))[0], [WHITE, (255, 0, 0)])


@pytest.mark.parametrize(
    ("cmyk", "rgb"),
    [
        ((0, 0, 0, 0), WHITE),
        ((0, 0, 0, 255), (0, 0, 0)),
        ((0, 255, 255, 0), (255, 0, 0)),
        ((255, 0, 255, 0), (0, 255, 0)),
        ((0, 0, 0, 127), (128, 128, 128)),
    ],
)
def test_cmyk_jpeg_is_converted(read: Read, cmyk: tuple[int, ...], rgb: tuple[int, ...]) -> None:
    pixels = read(encoded(Image.new("CMYK", (16, 16), cmyk), "JPEG", quality=100))
    np.testing.assert_allclose(pixels.reshape(-1, 3).astype(int), [rgb] * 256, atol=3)


@pytest.mark.parametrize(
    "mode",
    ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I", "I;16", "I;16B"],
)
def test_a_pillow_image_of_any_mode_becomes_rgb_and_is_left_as_it_was(mode: str) -> None:
    image = Image.new(mode, (3, 2))
    photo = read_photo(image)
    assert (photo.mode, photo.size) == ("RGB", (3, 2))
    photo.putpixel((0, 0), (1, 2, 3))
    assert image == Image.new(mode, (3, 2))


@pytest.mark.parametrize("mode", ["F", "La"])
def test_a_pillow_image_of_an_unusable_mode_is_refused(mode: str) -> None:
    with pytest.raises(ImageError):
        read_photo(Image.new(mode, (3, 2)))


def test_a_pillow_image_that_turns_out_truncated_is_an_image_error() -> None:
    content = encoded(gradient(200, 200), "PNG")
    with Image.open(io.BytesIO(content[: len(content) // 2])) as image, pytest.raises(ImageError, match="given image"):
        read_photo(image)


# Damage


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("percent", [1, 5, 10, 25, 40, 50, 60, 75, 90, 95])
def test_a_truncated_photo_is_an_error(read: Read, kind: str, percent: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    content = encoded(Image.fromarray(noise), kind)
    with pytest.raises(ImageError):
        read(content[: len(content) * percent // 100])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_a_damaged_photo_is_an_error_or_a_picture(read: Read, kind: str) -> None:
    exif = Image.Exif()
    exif.update({0x0112: 6, 0x010F: "maker", 0x011A: 72.5, 0x0132: "2020:01:01 00:00:00"})
    content = exact(gradient(), kind, exif=exif)
    random = np.random.default_rng(1)
    outcomes: set[object] = set()
    for _ in range(150):
        damaged = bytearray(content)
        for position in random.integers(0, len(content), random.integers(1, 4)):
            damaged[position] = random.integers(0, 256)
        try:
            outcomes.add(read(bytes(damaged)).ndim)
        except ImageError:
            outcomes.add("error")
    assert outcomes <= {3, "error"}
    assert "error" in outcomes


# Arrays


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 3), np.uint16),
        np.zeros((4, 4, 3), bool),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 1), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 0, 3), np.uint8),
        np.zeros((), np.uint8),
        np.full((4, 4, 3), None),
    ],
    ids=lambda array: f"{array.dtype}{list(array.shape)}",
)
def test_an_array_that_is_no_photo_is_refused(array: Pixels) -> None:
    with pytest.raises(ArrayError) as caught:
        read_photo(array)
    assert f"{array.dtype} {list(array.shape)}" in str(caught.value)
    assert "uint8 [H, W, 3]" in str(caught.value)


@pytest.mark.parametrize("view", [np.s_[:], np.s_[::-1, ::2], np.s_[:1, :1]], ids=["whole", "view", "pixel"])
def test_an_array_is_taken_as_it_is(view: tuple[slice, ...]) -> None:
    pixels = np.asarray(gradient())[view]
    np.testing.assert_array_equal(np.asarray(read_photo(pixels)), pixels)


# The networks' input


@pytest.mark.parametrize(("height", "width"), [(256, 256), (192, 256), (16, 17)])
def test_the_input_is_pillows_resize_in_the_networks_range(height: int, width: int) -> None:
    photos = [gradient(), gradient(300, 500), Image.new("RGB", (1, 1), WHITE)]
    batch = network_input(photos, height, width)
    assert batch.dtype == np.float32
    assert batch.shape == (3, 3, height, width)
    for row, photo in zip(batch, photos, strict=True):
        resized = np.asarray(photo.resize((width, height), Image.Resampling.BILINEAR), np.float64)
        np.testing.assert_allclose(row, ((resized / 255 - 0.5) / 0.5).transpose(2, 0, 1), atol=1e-6)


def test_the_input_covers_exactly_minus_one_to_one() -> None:
    levels = Image.fromarray(np.arange(256, dtype=np.uint8)[:, None, None].repeat(3, 2))
    batch = network_input([levels], 256, 1)
    assert (batch.min(), batch.max()) == (-1, 1)
    assert np.isfinite(batch).all()
    assert (np.diff(batch[0, 0, :, 0]) > 0).all()


def test_no_photos_are_an_empty_batch() -> None:
    assert network_input([], 16, 16).shape == (0, 3, 16, 16)


# Pictures out


@pytest.mark.parametrize(
    ("value", "level"),
    [
        (-1, 0),
        (1, 255),
        (0, 127),  # 127.5, truncated
        (0.999, 254),  # 254.87, truncated
        (-0.999, 0),
        (-1.5, 0),
        (1.5, 255),
        (-1e30, 0),
        (1e30, 255),
        (-np.inf, 0),
        (np.inf, 255),
        (-0.0, 127),
    ],
)
def test_values_become_levels_by_truncation(value: float, level: int) -> None:
    assert to_uint8(np.full((1, 3, 1, 1), value, np.float32)).tolist() == [[[[level] * 3]]]


def test_to_uint8_moves_channels_last() -> None:
    image = np.linspace(-1.2, 1.2, 2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    pixels = to_uint8(image)
    assert pixels.dtype == np.uint8
    assert (pixels.shape, pixels.flags.c_contiguous) == ((2, 4, 5, 3), True)
    for n, y, x, c in np.ndindex(pixels.shape):
        assert pixels[n, y, x, c] == int(np.clip((image[n, c, y, x] + np.float32(1)) / 2, 0, 1) * np.float32(255))


def test_nan_never_becomes_a_pixel() -> None:
    image = np.zeros((1, 3, 4, 4), np.float32)
    image[0, 1, 2, 3] = np.nan
    with pytest.raises(ArrayError, match="NaN"):
        to_uint8(image)


@pytest.mark.parametrize(("count", "height", "width"), [(1, 8, 8), (3, 8, 16), (7, 5, 3)])
def test_a_strip_has_its_pictures_side_by_side(count: int, height: int, width: int) -> None:
    colours = [(40 * index, 0, 255 - 30 * index) for index in range(count)]
    picture = strip([Image.new("RGB", (20 + i, 30), colour) for i, colour in enumerate(colours)], height, width)
    assert (picture.mode, picture.size) == ("RGB", (width * count, height))
    pixels = np.asarray(picture).reshape(height, count, width, 3)
    np.testing.assert_array_equal(pixels, np.broadcast_to(np.array(colours)[None, :, None], pixels.shape))


def pictures() -> Iterator[tuple[str, Image.Image | Pixels]]:
    yield "image", gradient()
    yield "array", np.asarray(gradient())
    yield "view", np.asarray(gradient().transpose(Image.Transpose.FLIP_TOP_BOTTOM))[::-1]


@pytest.mark.parametrize("picture", [pytest.param(picture, id=name) for name, picture in pictures()])
def test_a_png_holds_the_pixels_and_takes_the_old_ones_place(tmp_path: Path, picture: Image.Image | Pixels) -> None:
    path = tmp_path / "out.png"
    path.write_text("old")
    write_png(path, picture)
    np.testing.assert_array_equal(np.asarray(read_photo(path)), np.asarray(gradient()))
    assert [file.name for file in tmp_path.iterdir()] == ["out.png"]


def test_a_png_that_cannot_be_encoded_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    path.write_text("old")
    broken = Image.open(io.BytesIO(encoded(gradient(200, 200), "PNG")[:500]))
    with pytest.raises(OutputError):
        write_png(path, broken)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["out.png"]


@pytest.mark.parametrize("name", ["missing/out.png", "file/out.png", "n" * 300])
def test_a_place_that_cannot_be_written_is_an_output_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Cannot write"):
        write_png(tmp_path / name, gradient())
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_is_an_output_error_and_leaves_nothing(
    on_small_disk: Callable[[str, str], tuple[str, list[str]]],
) -> None:
    code = (
        "import numpy as np\n"
        "from hyperstyle_deploy.runtime.images import write_png\n"
        "write_png(path, np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8))"
    )
    error, left = on_small_disk(code, "out.png")
    assert "Cannot write" in error
    assert left == []
