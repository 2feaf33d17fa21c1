"""The C++ readers refuse what Python's refuse, in the same words, with nothing for the sanitizers to find."""

from pathlib import Path

import numpy as np
import pytest

from hyperstyle_deploy.errors import BundleError, InversionError
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.manifest.layers import layer_table
from hyperstyle_deploy.runtime.bundle.reader import Bundle
from hyperstyle_deploy.tests.hostile_bundles import hostile_bundles, hostile_constants
from hyperstyle_deploy.tests.hostile_inversions import hostile_inversions, split
from hyperstyle_deploy.tests.small_bundle import make_small_bundle
from hyperstyle_deploy.tests.unit.cpp.conftest import Probe

BUNDLE_ERROR, INVERSION_ERROR, OUTPUT_ERROR = 1, 4, 7


def refused_by_python(kind: type, path: Path) -> str:
    with pytest.raises((BundleError, InversionError)) as caught:
        kind.open(path) if kind is Bundle else kind.load(path)
    return str(caught.value).replace("\n", "\\n")


def test_hostile_bundles_are_refused_in_pythons_words(probe: Probe, tmp_path: Path) -> None:
    cases = list(hostile_bundles())
    bundles = [make_small_bundle((tmp_path / str(index)) / "bundle") for index in range(len(cases))]
    for case, bundle in zip(cases, bundles, strict=True):
        case.spoil(bundle)
    answers = probe.run(*(("bundle", bundle.path) for bundle in bundles))
    wrong = []
    for case, bundle, (code, text) in zip(cases, bundles, answers, strict=True):
        expected = refused_by_python(Bundle, bundle.path)
        if code != BUNDLE_ERROR or (case.own_words and text != expected):
            wrong.append(f"{case.name}:\n  {code} {text[:300]}\n  {BUNDLE_ERROR} {expected[:300]}")
    assert not wrong, "\n".join(wrong)


def test_hostile_inversions_are_refused_in_pythons_words(probe: Probe, tmp_path: Path) -> None:
    cases = list(hostile_inversions())
    paths = [tmp_path / f"{index}.inversion" for index in range(len(cases))]
    for case, path in zip(cases, paths, strict=True):
        path.write_bytes(case.content)
    wrong = []
    answers = probe.run(*(("inversion", path) for path in paths))
    for case, path, (code, text) in zip(cases, paths, answers, strict=True):
        expected = refused_by_python(Inversion, path)
        if code != INVERSION_ERROR or (case.own_words and text != expected):
            wrong.append(f"{case.name}:\n  {code} {text[:300]}\n  {INVERSION_ERROR} {expected[:300]}")
    assert not wrong, "\n".join(wrong)


def test_hostile_constants_are_refused(probe: Probe, tmp_path: Path) -> None:
    lines = []
    for name, content in hostile_constants():
        bundle = make_small_bundle(tmp_path / name / "bundle")
        document = bundle.document()
        document["files"]["generator.safetensors"] = bundle.add("generator.safetensors", content)
        lines.append(("constants", bundle.write(document)))
    assert [code for code, _ in probe.run(*lines)] == [BUNDLE_ERROR] * len(lines)


def test_sound_bundles_of_every_kind_are_read(probe: Probe, tmp_path: Path) -> None:
    lines = []
    for size in (256, 512, 1024):
        for separable in (False, True):
            bundle = make_small_bundle(tmp_path / f"{size}{separable}" / "bundle")
            document = bundle.document()
            document["image"].update(size=size, rows=[0, size])
            document["separable"] = separable
            document["layers"] = [vars(layer) for layer in layer_table(size, range(30), separable)]
            lines.append(("constants", bundle.write(document)))
    link = tmp_path / "link"
    link.symlink_to(lines[0][1])
    assert probe.run(*lines, ("bundle", link), ("bundle", f"{link}//./")) == [(0, "")] * (len(lines) + 2)


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
    ("offset_shape", "steps"), [((17, 512), 5), ((12, 512), 0), ((5, 17, 512), 5), ((0, 17, 512), 0)]
)
def test_an_inversion_survives_both_runtimes(
    probe: Probe, tmp_path: Path, offset_shape: tuple[int, ...], steps: int
) -> None:
    noise = np.random.default_rng(0)
    first = Inversion(
        noise.standard_normal((18, 512), np.float32),
        noise.standard_normal(offset_shape, np.float32),
        steps,
        "a" * 64,
        tuple(1 / (1 + step) for step in range(steps + 1)),
        source={"file": "me.jpg", "note": 'ünïcode ☃ "quoted" \\ \x1b \U0001f600'},
    )
    first.save(tmp_path / "python")
    assert probe.run(("resave", tmp_path / "python", tmp_path / "cpp")) == [(0, "")]
    second = Inversion.load(tmp_path / "cpp")
    np.testing.assert_array_equal(second.codes, first.codes, strict=True)
    np.testing.assert_array_equal(second.offset_codes, first.offset_codes, strict=True)
    assert (second.steps, second.model, second.l2, second.source) == (first.steps, first.model, first.l2, first.source)
    # The same file, but for the order of the metadata, which Python's library leaves to chance.
    written, read = (tmp_path / "cpp").read_bytes(), (tmp_path / "python").read_bytes()
    assert len(written) == len(read)
    assert split(written) == split(read)
    assert list(split(written)[0]) == list(split(read)[0])


@pytest.mark.parametrize("name", ["missing/x", "python/x", ".", "n" * 300])
def test_a_place_that_cannot_be_written_is_an_output_error(probe: Probe, tmp_path: Path, name: str) -> None:
    zeros = np.zeros((18, 512), np.float32)
    Inversion(zeros, zeros, 5, "m").save(tmp_path / "python")
    ((code, text),) = probe.run(("resave", tmp_path / "python", tmp_path / name))
    assert code == OUTPUT_ERROR
    assert text.startswith("Cannot write")
    assert [file.name for file in tmp_path.iterdir()] == ["python"]
