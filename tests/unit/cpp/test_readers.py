"""The C++ readers refuse what Python's refuse, with nothing for the sanitizers to find."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

from hyperstyle_deploy.errors import BundleError, InversionError
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.bundle.reader import Bundle
from hyperstyle_deploy.runtime.manifest.manifest import FineTunedSpec
from hyperstyle_deploy.tests.hostile_bundles import Hostile, hostile_bundles, hostile_constants
from hyperstyle_deploy.tests.hostile_inversions import HostileFile, hostile_inversions, split
from hyperstyle_deploy.tests.small_bundle import make_small_bundle
from hyperstyle_deploy.tests.unit.cpp.conftest import ALL_FORMS, Probe

BUNDLE_ERROR, INVERSION_ERROR, OUTPUT_ERROR = 1, 4, 7


def refused_by_python(kind: type, path: Path) -> str:
    with pytest.raises((BundleError, InversionError)) as caught:
        kind.open(path) if kind is Bundle else kind.load(path)
    return str(caught.value).replace("\n", "\\n")


def check_refusals(cases: Iterable[Hostile | HostileFile], answers: Sequence[tuple[int, str]], code: int) -> None:
    """The same kind of error for every case, which says the same where its words are our own."""
    wrong = [
        f"{case.name}:\n  {found} {text[:300]}\n  {code} {case.match}"
        for case, (found, text) in zip(cases, answers, strict=True)
        if found != code or (case.own_words and not re.search(case.match, text))
    ]
    assert not wrong, f"{len(wrong)} cases\n" + "\n".join(wrong)


def test_hostile_bundles_are_refused(probe: Probe, tmp_path: Path) -> None:
    cases = list(hostile_bundles())
    bundles = [case.write(tmp_path / str(index) / "bundle") for index, case in enumerate(cases)]
    check_refusals(cases, probe.run(*(("bundle", bundle.path) for bundle in bundles)), BUNDLE_ERROR)


def test_hostile_inversions_are_refused(probe: Probe, tmp_path: Path) -> None:
    cases = list(hostile_inversions())
    paths = [tmp_path / f"{index}.inversion" for index in range(len(cases))]
    for case, path in zip(cases, paths, strict=True):
        path.write_bytes(case.content)
    check_refusals(cases, probe.run(*(("inversion", path) for path in paths)), INVERSION_ERROR)


def test_hostile_constants_are_refused(probe: Probe, tmp_path: Path) -> None:
    lines = []
    for name, content in hostile_constants():
        bundle = make_small_bundle(tmp_path / name / "bundle")
        document = bundle.document()
        document["files"]["generator.safetensors"] = bundle.add("generator.safetensors", content)
        lines.append(("constants", bundle.write(document)))
    assert [code for code, _ in probe.run(*lines)] == [BUNDLE_ERROR] * len(lines)


def test_sound_bundles_of_every_method_are_read(probe: Probe, tmp_path: Path) -> None:
    further = {"adapted": ("hyperstyle", {"generators": (FineTunedSpec("toonify", (5, 7), 2),)})}
    lines = [
        ("constants", make_small_bundle(tmp_path / name / "bundle", method, **options).path)
        for name, (method, options) in {**ALL_FORMS, **further}.items()
    ]
    link = tmp_path / "link"
    link.symlink_to(lines[0][1])
    assert probe.run(*lines, ("bundle", link), ("bundle", f"{link}//./")) == [(0, "")] * (len(lines) + 2)


def test_a_bundle_of_any_width_is_read(probe: Probe, tmp_path: Path) -> None:
    """Layers are what the manifest says, not what a formula gives: here one convolution more at 32x32."""
    bundle = make_small_bundle(tmp_path / "bundle", "psp")
    document = bundle.document()
    layer = document["generator"]["layers"][-2]
    document["generator"]["layers"].append({**layer, "index": len(document["generator"]["layers"]), "name": "last"})
    noise = {"name": "noise.last", "dtype": "float32", "shape": [1, 1, 32, 32]}
    for graph in ("synthesis", "synthesis_one"):
        document["graphs"][graph]["inputs"].append(noise)
    bundle.write(document)
    Bundle.open(bundle.path)
    opened, constants = probe.run(("bundle", bundle.path), ("constants", bundle.path))
    assert opened == (0, "")
    assert constants[0] == BUNDLE_ERROR
    assert "has no constant noise.last" in constants[1]


def test_a_bundle_whose_input_is_larger_than_its_drawing_is_read(probe: Probe, tmp_path: Path) -> None:
    """An encoder for 64 pixels that drives a generator of 32."""
    bundle = make_small_bundle(tmp_path / "bundle", "restyle-psp")
    document = bundle.document()
    document["image"] |= {"input_height": 64, "input_width": 64}
    for graph in document["graphs"].values():
        for tensor in (*graph["inputs"], *graph["outputs"]):
            if tensor["name"] == "reconstruction" or (graph["file"] == "encoder.onnx" and tensor["name"] == "image"):
                tensor["shape"][2:] = [64, 64]
    bundle.write(document)
    assert Bundle.open(bundle.path).manifest.image.input_width == 64
    assert probe.run(("bundle", bundle.path)) == [(0, "")]


@pytest.mark.parametrize("name", ["missing", "a_file", "empty_folder", "n" * 5000])
def test_what_is_no_bundle_is_refused_in_pythons_words(probe: Probe, tmp_path: Path, name: str) -> None:
    (tmp_path / "a_file").write_text("a file")
    (tmp_path / "empty_folder").mkdir()
    path = tmp_path / name
    assert probe.run(("bundle", path)) == [(BUNDLE_ERROR, refused_by_python(Bundle, path))]


@pytest.mark.parametrize("name", ["missing", ".", "n" * 5000])
def test_what_is_no_inversion_is_refused(probe: Probe, tmp_path: Path, name: str) -> None:
    ((code, text),) = probe.run(("inversion", f"{tmp_path}/{name}"))
    assert code == INVERSION_ERROR
    assert text.startswith("Cannot read the inversion")


@pytest.mark.parametrize(
    ("shapes", "steps", "errors"),
    [
        ({"codes": (18, 512), "offset_codes": (17, 512)}, 5, 6),
        ({"codes": (8, 8), "offset_codes": (5, 17, 3)}, 5, 6),
        ({"codes": (8, 8), "offset_codes": (0, 17, 3)}, 0, 1),
        ({"codes": (14, 512)}, 0, 1),
        ({"codes": (14, 512)}, 0, 0),
    ],
)
def test_an_inversion_survives_both_runtimes(
    probe: Probe, tmp_path: Path, shapes: dict[str, tuple[int, ...]], steps: int, errors: int
) -> None:
    noise = np.random.default_rng(0)
    first = Inversion(
        {name: noise.standard_normal(shape, np.float32) for name, shape in shapes.items()},
        steps,
        "hyperstyle",
        "a" * 64,
        tuple(1 / (1 + step) for step in range(errors)),
        source={"file": "me.jpg", "note": 'ünïcode ☃ "quoted" \\ \x1b \U0001f600'},
    )
    first.save(tmp_path / "python")
    assert probe.run(("resave", tmp_path / "python", tmp_path / "cpp")) == [(0, "")]
    second = Inversion.load(tmp_path / "cpp")
    assert set(second.arrays) == set(first.arrays)
    for name, array in second.arrays.items():
        np.testing.assert_array_equal(array, first.arrays[name], strict=True)
    assert (second.steps, second.method, second.model) == (first.steps, first.method, first.model)
    assert (second.l2, second.source) == (first.l2, first.source)
    # The same file, but for the order of the metadata, which Python's library leaves to chance.
    written, read = (tmp_path / "cpp").read_bytes(), (tmp_path / "python").read_bytes()
    assert len(written) == len(read)
    assert split(written) == split(read)
    assert list(split(written)[0]) == list(split(read)[0])


@pytest.mark.parametrize("name", ["missing/x", "python/x", ".", "n" * 300])
def test_a_place_that_cannot_be_written_is_an_output_error(probe: Probe, tmp_path: Path, name: str) -> None:
    Inversion({"codes": np.zeros((18, 512), np.float32)}, 0, "psp", "m").save(tmp_path / "python")
    ((code, text),) = probe.run(("resave", tmp_path / "python", tmp_path / name))
    assert code == OUTPUT_ERROR
    assert text.startswith("Cannot write")
    assert [file.name for file in tmp_path.iterdir()] == ["python"]
