"""What other tools write becomes directions of a bundle; what does not fit is refused with the reason."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from safetensors.numpy import save_file

from hyperstyle_deploy.cli import main
from hyperstyle_deploy.errors import DirectionError
from hyperstyle_deploy.runtime.bundle.reader import read_manifest
from hyperstyle_deploy.runtime.editing.folder import Directions
from hyperstyle_deploy.runtime.editing.importing import Wanted, directions_from, read_values
from hyperstyle_deploy.tests.small_bundle import STYLES, WIDTH
from hyperstyle_deploy.tests.unit.runtime.editing.conftest import smile, unit


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def read(bundle: Path, name: str):
    return Directions(bundle, read_manifest(bundle)).read(name)


@pytest.mark.parametrize(
    "array",
    [
        unit(WIDTH),
        unit(1, WIDTH),
        unit(1, WIDTH).astype(np.float64),
        np.repeat(unit(1, WIDTH), 18, 0)[None],  # the authors' pose, of a larger generator
    ],
    ids=["flat", "row", "double", "equal rows"],
)
def test_a_vector_moves_all_rows(bundle: Path, tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "grin.npy", array)
    result = run("directions", "import", bundle, tmp_path / "grin.npy")
    assert result.exit_code == 0, result.output
    found = read(bundle, "grin")
    np.testing.assert_allclose(found.vector, unit(1, WIDTH), atol=1e-7)
    assert (found.rows, found.strengths, found.source["file"]) == ((0, STYLES), (-5, 5), "grin.npy")


def test_a_vector_for_each_row(bundle: Path, tmp_path: Path) -> None:
    rows = unit(STYLES, WIDTH)
    np.save(tmp_path / "grin.npy", rows[None])
    run("directions", "import", bundle, tmp_path / "grin.npy")
    np.testing.assert_array_equal(read(bundle, "grin").vector, rows)
    options = ("--name", "top", "--rows", "2:4", "--strengths", "-1:2.5")
    assert run("directions", "import", bundle, tmp_path / "grin.npy", *options).exit_code == 0
    found = read(bundle, "top")
    np.testing.assert_array_equal(found.vector, rows[2:4])
    assert (found.rows, found.strengths) == ((2, 4), (-1, 2.5))


def test_named_vectors_in_one_file(bundle: Path, tmp_path: Path) -> None:
    """As `training` writes them."""
    vectors = {"blink": unit(1, WIDTH), "nod": unit(1, WIDTH, seed=1)}
    save_file(vectors, tmp_path / "all.safetensors", {"licence": "Apache-2.0"})
    assert run("directions", "import", bundle, tmp_path / "all.safetensors", "--strengths", "-2:2").exit_code == 0
    for name, vector in vectors.items():
        np.testing.assert_array_equal(read(bundle, name).vector, vector)
    again = run("directions", "import", bundle, tmp_path / "all.safetensors")
    assert (again.exit_code, "directions of these names" in again.stderr) == (2, True)
    assert run("directions", "import", bundle, tmp_path / "all.safetensors", "--overwrite").exit_code == 0
    assert read(bundle, "blink").source["licence"] == "Apache-2.0"
    assert read(bundle, "blink").strengths == (-5, 5)
    save_file(vectors, tmp_path / "all.safetensors", {"strengths": "-1.5:2"})
    run("directions", "import", bundle, tmp_path / "all.safetensors", "--overwrite")
    assert read(bundle, "nod").strengths == (-1.5, 2)
    for text, said in (("1:2:3", "unusable strengths"), ("x:2", "unusable strengths"), ("2:nan", "no range of")):
        save_file(vectors, tmp_path / "all.safetensors", {"strengths": text})
        wrong = run("directions", "import", bundle, tmp_path / "all.safetensors", "--overwrite")
        assert (wrong.exit_code, said in wrong.stderr) == (2, True), wrong.stderr
    named = run("directions", "import", bundle, tmp_path / "all.safetensors", "--name", "x")
    assert (named.exit_code, "holds several directions" in named.stderr) == (2, True)


def test_a_direction_of_another_bundle(bundle: Path, tmp_path: Path) -> None:
    smile("f" * 64, "grin").save(tmp_path / "grin.safetensors")
    assert run("directions", "import", bundle, tmp_path / "grin.safetensors").exit_code == 0
    found = read(bundle, "grin")
    assert found.model == read_manifest(bundle).model
    np.testing.assert_array_equal(found.vector, unit(1, WIDTH))
    replace(smile("f" * 64, "wide"), rows=(0, STYLES + 1)).save(tmp_path / "wide.safetensors")
    wide = run("directions", "import", bundle, tmp_path / "wide.safetensors")
    assert (wide.exit_code, "does not fit the codes" in wide.stderr) == (2, True)


def test_pytorch_files_and_components(bundle: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save(torch.from_numpy(unit(1, WIDTH)).double(), tmp_path / "grin.pt")
    assert run("directions", "import", bundle, tmp_path / "grin.pt").exit_code == 0
    np.testing.assert_allclose(read(bundle, "grin").vector, unit(1, WIDTH), atol=1e-7)
    components = {"comp": unit(6, 1, WIDTH), "mean": unit(1, WIDTH, seed=1), "std": np.arange(1, 7, dtype=np.float32)}
    torch.save({name: torch.from_numpy(array) for name, array in components.items()}, tmp_path / "pca.pt")
    options = ("--component", 4, "--rows", "3:5", "--name", "cube", "--strengths", "-25:25")
    assert run("directions", "import", bundle, tmp_path / "pca.pt", *options).exit_code == 0
    found = read(bundle, "cube")
    np.testing.assert_array_equal(found.vector, components["comp"][4])
    np.testing.assert_array_equal(found.mean, components["mean"])
    assert (float(found.deviation[0]), found.rows, found.source["component"]) == (5, (3, 5), "4")
    for wrong, said in (
        ((), "one at a time"),
        (("--component", 4, "--rows", "3:5"), "no name or rows"),
        (("--component", 6, "--rows", "3:5", "--name", "x"), "no such component. Got: 6. Expected: 0 to 5"),
        (("--component", 0, "--rows", "3:9", "--name", "x"), "Got: 3:9. Expected: FIRST:END inside 0:8"),
    ):
        result = run("directions", "import", bundle, tmp_path / "pca.pt", *wrong)
        assert (result.exit_code, said in result.stderr) == (2, True), result.stderr
    torch.save([1, 2], tmp_path / "list.pt")
    assert "holds no directions. Got: list" in run("directions", "import", bundle, tmp_path / "list.pt").stderr
    torch.save({"a": "b"}, tmp_path / "words.pt")
    assert "a is not a dense tensor. Got: str" in run("directions", "import", bundle, tmp_path / "words.pt").stderr


class Runs:
    """What a hostile pickle would do."""

    def __reduce__(self) -> object:
        return print, ("run",)


def test_nothing_in_a_file_runs(bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch")
    torch.save(Runs(), tmp_path / "bad.pt")
    np.save(tmp_path / "bad.npy", np.array([Runs()], object), allow_pickle=True)
    for file, said in (("bad.pt", "asks for Python code to be run"), ("bad.npy", "Cannot read directions")):
        result = run("directions", "import", bundle, tmp_path / file)
        assert (result.exit_code, said in result.stderr) == (2, True), result.stderr
    assert "run\n" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("array", "match"),
    [
        (unit(WIDTH + 1), r"no direction in these codes. Got: float32 \[9\]. Expected: floats \[1, 8\] or \[8, 8\]"),
        (unit(3, WIDTH), "a row of its own for every style. Got: 3 rows. Expected: 8"),
        (unit(2, 1, WIDTH), "no direction in these codes"),
        (np.arange(WIDTH), "no direction in these codes. Got: int64"),
        (np.float32(3), "no direction in these codes"),
        (np.zeros(WIDTH, np.float32), "moves nothing"),
        (np.full(WIDTH, np.inf, np.float32), "NaN or Inf"),
        (np.full(WIDTH, np.nan, np.float32), "NaN or Inf"),
        (np.full(WIDTH, 1e300), "NaN or Inf"),
    ],
)
def test_arrays_that_are_no_directions(bundle: Path, tmp_path: Path, array: np.ndarray, match: str) -> None:
    np.save(tmp_path / "grin.npy", array)
    with pytest.raises(DirectionError, match=match):
        directions_from(read_values(tmp_path / "grin.npy"), tmp_path / "grin.npy", read_manifest(bundle), Wanted())


def test_files_that_are_none(tmp_path: Path, bundle: Path) -> None:
    good = tmp_path / "good.npy"
    np.save(good, unit(WIDTH))
    huge = good.read_bytes().replace(b"(8,), }    ", b"(1099511627776,), }")[: good.stat().st_size]
    for content in (b"", b"<html>", good.read_bytes()[:-1], good.read_bytes()[:20], huge, b"\x93NUMPY" + bytes(100)):
        (tmp_path / "bad.npy").write_bytes(content)
        with pytest.raises(DirectionError, match="Cannot read directions"):
            read_values(tmp_path / "bad.npy")
    result = run("directions", "import", bundle, good, tmp_path / "bad.npy", tmp_path / "gone.npy")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "good" not in Directions(bundle, read_manifest(bundle)).names()
    assert "Cannot read directions" in run("directions", "import", bundle, tmp_path).stderr


@pytest.mark.parametrize("place", ["stylegan_ffhq_smile_w_boundary.npy", "stylegan_ffhq256/smile.npy", "PGGAN_x.npy"])
def test_boundaries_of_other_generators_are_refused(bundle: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / place).parent.mkdir(exist_ok=True)
    np.save(tmp_path / place, unit(1, WIDTH))
    result = run("directions", "import", bundle, tmp_path / place)
    assert result.exit_code == 2
    assert "of another generator" in result.stderr
    assert "The spaces of two generators have nothing in common" in result.stderr


def test_list_and_remove(bundle: Path) -> None:
    table = run("directions", "list", bundle)
    assert table.exit_code == 0
    for word in ("colour", "component", "2:5", "-20 to 20", "smile.npy", "Next: hyperstyle-deploy edit"):
        assert word in table.stdout
    listed = json.loads(run("directions", "list", bundle, "--json").stdout)["directions"]
    assert [direction["name"] for direction in listed] == ["colour", "pose", "smile"]
    assert listed[1] == {"name": "pose", "kind": "vector", "rows": [1, 4], "strengths": [-2.0, 2.0], "source": {}}
    assert run("directions", "remove", bundle, "smile", "grin").exit_code == 2
    assert run("directions", "remove", bundle, "smile", "pose", "colour").exit_code == 0
    empty = run("directions", "list", bundle)
    assert (empty.exit_code, "carries no directions" in empty.stdout) == (0, True)
    assert json.loads(run("directions", "list", bundle, "--json").stdout) == {"directions": []}


@pytest.mark.parametrize("options", [("--rows", "4:2"), ("--rows", "x"), ("--rows", "-1:2"), ("--strengths", "1:nan")])
def test_wrong_options(bundle: Path, tmp_path: Path, options: tuple[str, str]) -> None:
    result = run("directions", "import", bundle, tmp_path / "x.npy", *options)
    assert (result.exit_code, "is not a span such as" in result.stderr) == (2, True)
