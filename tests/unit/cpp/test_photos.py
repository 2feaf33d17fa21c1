"""Photos come out of the C++ reader and resizer as they do out of Pillow, bit for bit."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy.errors import ImageError
from hyperstyle_deploy.runtime.images import encoder_input, read_photo
from hyperstyle_deploy.runtime.manifest.manifest import ImageSpec
from hyperstyle_deploy.tests.unit.cpp.conftest import Probe

IMAGE_ERROR = 2
NOISE = np.random.default_rng(0)


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return NOISE.integers(0, 256, (height, width, channels), np.uint8).squeeze()


def pixels_in(path: Path) -> np.ndarray:
    content = path.read_bytes()
    height, width = np.frombuffer(content[:8], np.int32)
    return np.frombuffer(content[8:], np.uint8).reshape(height, width, 3)


def smooth(height: int, width: int) -> Image.Image:
    """Something that JPEG keeps."""
    return Image.fromarray(noise(7, 5)).resize((width, height), Image.Resampling.BICUBIC)


def with_orientation(value: int, byte_order: str) -> bytes:
    exif = Image.Exif()
    exif.endian = byte_order
    exif[0x0112], exif[0x010F] = value, "maker"
    return exif.tobytes()


def photos() -> Iterator[tuple[str, bytes]]:
    def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
        stream = io.BytesIO()
        image.save(stream, format=kind, **options)
        return stream.getvalue()

    for subsampling in (0, 1, 2):
        for progressive in (False, True):
            options = {"subsampling": subsampling, "progressive": progressive, "quality": 83}
            yield f"jpeg {subsampling} {progressive}", encoded(smooth(61, 83), "JPEG", **options)
    yield "grey jpeg", encoded(smooth(33, 21).convert("L"), "JPEG")
    yield "cmyk jpeg", encoded(Image.fromarray(noise(24, 32, 4), "CMYK"), "JPEG", quality=95)
    for value in range(1, 9):
        for order in "<>":
            exif = with_orientation(value, order)
            yield f"jpeg turned {value}{order}", encoded(smooth(24, 40), "JPEG", exif=exif)
            yield f"png turned {value}{order}", encoded(smooth(24, 40), "PNG", exif=exif)
    for mode, channels in {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}.items():
        yield f"png {mode}", encoded(Image.fromarray(noise(37, 29, channels), mode), "PNG")
    yield "png P", encoded(Image.fromarray(noise(37, 29)).quantize(50), "PNG")
    yield (
        "png P clear",
        encoded(Image.fromarray(noise(37, 29)).quantize(50), "PNG", transparency=bytes(range(0, 250, 5))),
    )
    yield "png 1", encoded(Image.fromarray(noise(37, 29, 1)).convert("1"), "PNG")
    yield "png 16-bit grey", encoded(Image.fromarray(NOISE.integers(0, 65536, (37, 29), np.uint16)), "PNG")
    grey = Image.fromarray(NOISE.integers(998, 1002, (37, 29)).astype(np.uint16))
    yield "png 16-bit grey clear", encoded(grey, "PNG", transparency=1000)
    yield "png RGB clear", encoded(Image.fromarray(noise(9, 9)), "PNG", transparency=(1, 2, 3))
    levels = np.stack(np.meshgrid(np.arange(256), np.arange(256)), -1).astype(np.uint8)
    yield "png every alpha", encoded(Image.fromarray(levels, "LA"), "PNG")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_photos_are_read_as_pillow_reads_them(probe: Probe, tmp_path: Path) -> None:
    cases = dict(photos())
    paths = [tmp_path / f"{index}" for index in range(len(cases))]
    for path, content in zip(paths, cases.values(), strict=True):
        path.write_bytes(content)
    answers = probe.run(*(("photo", path, f"{path}.raw") for path in paths))
    assert answers == [(0, "")] * len(cases)
    for name, path in zip(cases, paths, strict=True):
        np.testing.assert_array_equal(pixels_in(Path(f"{path}.raw")), np.asarray(read_photo(path)), err_msg=name)


@pytest.mark.parametrize("size", [(1, 1), (256, 256), (255, 257), (7, 1000), (1000, 7), (301, 257), (640, 480)])
def test_resizing_is_pillows(probe: Probe, tmp_path: Path, size: tuple[int, int]) -> None:
    image = Image.fromarray(noise(*size, 3).reshape(*size, 3))
    image.save(tmp_path / "in.png")
    targets = [(256, 256), (192, 256), (16, 17), (1, 1), size, (size[0], 31), (33, size[1]), (311, 290)]
    lines = [("resize", tmp_path / "in.png", tmp_path / f"{row}", *target) for row, target in enumerate(targets)]
    assert probe.run(*lines) == [(0, "")] * len(lines)
    for row, (height, width) in enumerate(targets):
        # Pillow 13 takes columns first for some sizes, which rounds otherwise: so Pillow's two passes, rows first.
        wide = image.resize((width, size[0]), Image.Resampling.BILINEAR)
        expected = np.asarray(wide.resize((width, height), Image.Resampling.BILINEAR))
        found = pixels_in(tmp_path / f"{row}")
        np.testing.assert_array_equal(found, expected, err_msg=f"{size} to {height}x{width}")
        at_once = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
        assert np.abs(found.astype(int) - at_once).max() <= 1


@pytest.mark.parametrize(("kind", "channels"), [("photo", 3), ("sketch", 1), ("labels", 5)])
@pytest.mark.parametrize("height", [32, 61])
def test_what_the_encoder_sees_is_pythons(probe: Probe, tmp_path: Path, kind: str, channels: int, height: int) -> None:
    """Bit for bit: one of the two passes of a resize is left out, so that their order does not matter."""
    picture = noise(height, 32)
    if kind == "labels":
        picture[:] = picture[..., :1] // 50  # 0 to 5, of which the last is no label
    Image.fromarray(picture).save(tmp_path / "in.png")
    assert probe.run(("input", tmp_path / "in.png", tmp_path / "out", kind, channels, 32, 32)) == [(0, "")]
    found = np.frombuffer((tmp_path / "out").read_bytes(), np.float32).reshape(1, channels, 32, 32)
    spec = ImageSpec(kind, channels, 32, 32, (0, 32))
    np.testing.assert_array_equal(found, encoder_input([read_photo(tmp_path / "in.png")], spec))
    assert {"photo": -1, "sketch": 0, "labels": 0}[kind] <= found.min() < found.max() <= 1


def test_a_written_png_holds_the_pixels(probe: Probe, tmp_path: Path) -> None:
    Image.fromarray(noise(33, 77)).save(tmp_path / "in.png")
    assert probe.run(("png", tmp_path / "in.png", tmp_path / "out.png")) == [(0, "")]
    np.testing.assert_array_equal(*(np.asarray(Image.open(tmp_path / name)) for name in ("in.png", "out.png")))


def refused_by_python(path: Path) -> bool:
    try:
        read_photo(path)
    except ImageError:
        return True
    return False


def test_damaged_photos_are_errors_or_pictures_as_in_python(probe: Probe, tmp_path: Path) -> None:
    paths = []
    for name in ("jpeg 2 True", "jpeg turned 6<", "png turned 6>", "png P", "cmyk jpeg"):
        content = dict(photos())[name]
        for row in range(60):
            damaged = bytearray(content[: len(content) * (row + 1) // 30] if row < 30 else content)
            if row >= 30:
                for position in NOISE.integers(0, len(content), 3):
                    damaged[position] = NOISE.integers(0, 256)
            paths.append(tmp_path / f"{len(paths)}")
            paths[-1].write_bytes(damaged)
    codes = [code for code, _ in probe.run(*(("photo", path, f"{path}.raw") for path in paths))]
    assert set(codes) == {0, IMAGE_ERROR}
    others = [path for path, code in zip(paths, codes, strict=True) if refused_by_python(path) != bool(code)]
    assert len(others) <= len(paths) // 50  # the two libjpegs are of different versions


def odd_jpegs() -> Iterator[tuple[str, bytes]]:
    """What cameras and editors write, and cuts."""
    whole = dict(photos())["jpeg 2 False"]
    progressive = dict(photos())["jpeg 2 True"]
    scan = whole.index(b"\xff\xda")
    length = int.from_bytes(whole[scan + 2 : scan + 4], "big")
    yield "padded before its end", whole[:-2] + b"\0\0" + whole[-2:]
    yield "padded between segments", whole[:scan] + b"\0\0\0" + whole[scan:]
    yield "bytes behind its end", whole + b"and more"
    yield "no spectral selection", whole[: scan + 2 + length - 3] + b"\0\0\0" + whole[scan + 2 + length :]
    yield "cut in its scan", whole[: len(whole) * 2 // 3]
    yield "progressive, cut", progressive[: len(progressive) * 2 // 3]
    yield "progressive, one byte cut", progressive[:-3]
    png = dict(photos())["png RGB"]
    yield "png without IEND", png[:-12]
    yield "png with damage behind its pixels", png[:-12] + b"\0\0\0\x04abcd12345678" + png[-12:]


def test_a_jpeg_needs_no_end_marker(probe: Probe, tmp_path: Path) -> None:
    """If all pixels are there. Pillow reads some such files and refuses others."""
    whole = dict(photos())["jpeg 2 False"]
    for name, content in (("whole", whole), ("open", whole[:-2])):
        (tmp_path / name).write_bytes(content)
        assert probe.run(("photo", tmp_path / name, tmp_path / f"{name}.raw")) == [(0, "")]
    np.testing.assert_array_equal(*(pixels_in(tmp_path / f"{name}.raw") for name in ("whole", "open")))


def test_odd_files_are_read_or_refused_as_python_does(probe: Probe, tmp_path: Path) -> None:
    for name, content in odd_jpegs():
        path = tmp_path / "photo"
        path.write_bytes(content)
        try:
            expected = np.asarray(read_photo(path))
        except ImageError:
            expected = None
        ((code, text),) = probe.run(("photo", path, f"{path}.raw"))
        assert code == (IMAGE_ERROR if expected is None else 0), f"{name}: {text}"
        if expected is not None:
            np.testing.assert_array_equal(pixels_in(Path(f"{path}.raw")), expected, err_msg=name)


def test_other_files_are_refused(probe: Probe, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no photo")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "wide").write_bytes(_png_header(50_000, 50_000))
    names = ("text", "empty", "wide", "missing", ".")
    answers = dict(zip(names, probe.run(*(("photo", tmp_path / name, "x") for name in names)), strict=True))
    assert {code for code, _ in answers.values()} == {IMAGE_ERROR}
    assert answers["text"][1] == f"Cannot read {tmp_path}/text. Got: another kind of file. Expected: JPEG or PNG."
    with pytest.raises(ImageError, match="40,000,000 pixels"):
        read_photo(tmp_path / "wide")
    assert "50000x50000 pixels. Expected: from 1 to 40,000,000 pixels." in answers["wide"][1]


def _png_header(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, format="PNG")
    content = bytearray(stream.getvalue())
    content[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    import zlib

    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)
