"""Results of several methods side by side: what they came to, what `invert` noted of them, and what was published."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest
from click.testing import CliRunner

from hyperstyle_deploy.cli import main
from hyperstyle_deploy.demo import BUNDLE
from hyperstyle_deploy.errors import ImageError, InversionError
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.quality.comparison import Origin, Results, compare, gather, origin_of
from hyperstyle_deploy.runtime.quality.evaluation import MEASURES, Score, evaluate
from hyperstyle_deploy.runtime.quality.published import MODEL_AND_DATA_DIFFER, read_published
from hyperstyle_deploy.tests.held_out import write_faces

PAPER = Path(__file__).parents[3] / "benchmarks" / "paper.csv"
FACES = 4


def printed(*words: object, status: int = 0) -> str:
    """What a command prints; its error where it is to fail."""
    found = CliRunner().invoke(main, [str(word) for word in words])
    assert found.exit_code == status, found.output
    assert isinstance(found.exception, SystemExit | None), found.exception
    return found.stderr if status else found.stdout


def rows_of(table: str) -> list[list[str]]:
    """The cells of every row that a command prints."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in table.splitlines() if line.startswith("│")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Held-out faces, and what the trained model makes of them: refined, not refined, and one of them in one step."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "photos").mkdir()
    for path in write_faces(folder / "photos")[FACES:]:
        path.unlink()
    command = ("invert", BUNDLE, folder / "photos", "--backend", "onnxruntime", "--threads", 1, "--no-strip", "-o")
    printed(*command, folder / "refined")
    printed(*command, folder / "encoded", "--steps", 0)
    for photo in ("face00.png", "face01.png"):
        some = (folder / "photos" / photo, "--backend", "onnxruntime", "--no-strip", "-o", folder / "some")
        printed("invert", BUNDLE, *some, "--steps", 1)
    return folder


def test_every_method_has_a_row_and_the_published_one_below_it(run: Path) -> None:
    folders = [run / name for name in ("encoded", "refined")]
    command = ("evaluate", run / "photos", *folders, "--beside", PAPER)
    table = printed(*command)
    document = json.loads(printed(*command, "--json"))
    encoded, refined = document["results"]
    assert [encoded["name"], encoded["method"], encoded["steps"]] == ["encoded", "hyperstyle, no step", [0, 0]]
    assert [refined["name"], refined["method"], refined["steps"]] == ["refined", "hyperstyle", [5, 5]]
    assert refined["summary"]["l2"]["mean"] < 0.3 * encoded["summary"]["l2"]["mean"]
    # Each row is what `evaluate` says of its folder alone, and its time is what the inversions say.
    for row, folder in zip((encoded, refined), folders, strict=True):
        alone = json.loads(printed("evaluate", run / "photos", folder, "--json"))
        assert (row["summary"], row["pictures"]) == (alone["summary"], alone["pictures"])
        seconds = [Inversion.load(path).seconds for path in folder.glob("*.inversion")]
        assert (row["seconds"], row["timed"]) == (median(map(float, filter(None, seconds))), FACES)
    assert 0 < encoded["seconds"] < refined["seconds"]
    assert (encoded["published"], refined["published"]["l2"], refined["published"]["seconds"]) == (None, 0.019, 1.234)
    rows = rows_of(table)
    assert [row[:4] for row in rows[:3]] == [
        ["encoded", "hyperstyle, no step", "0", str(FACES)],
        ["refined", "hyperstyle", "5", str(FACES)],
        ["published", "HyperStyle", "", ""],
    ]
    l2 = refined["summary"]["l2"]
    assert rows[1][4] == f"{l2['mean']:.5f}+-{l2['std']:.5f}"
    assert rows[1][-1] == f"{refined['seconds']:.3f}"
    assert (rows[2][4], rows[2][-1]) == ("0.019", "1.234")
    # The seven others of the paper's systems, which nothing here is of.
    assert [row[0] for row in rows[3:]] == ["published only"] * 7
    assert MODEL_AND_DATA_DIFFER in table
    assert document["note"] == MODEL_AND_DATA_DIFFER
    assert len(document["published"]) == 8
    without = printed(*command[:-2])
    assert "published" not in without.lower()
    assert json.loads(printed(*command[:-2], "--json"))["note"] is None


def test_one_folder_beside_published_figures_says_so_too(run: Path) -> None:
    command = ("evaluate", run / "photos", run / "refined", "--beside", PAPER)
    assert MODEL_AND_DATA_DIFFER in printed(*command)
    assert json.loads(printed(*command, "--json"))["note"] == MODEL_AND_DATA_DIFFER


def test_rows_over_different_photos_are_also_shown_over_the_same(run: Path) -> None:
    command = ("evaluate", run / "photos", run / "refined", run / "some")
    table, document = printed(*command), json.loads(printed(*command, "--json"))
    refined, some = document["results"]
    assert (document["common"], refined["missing"], some["missing"]) == (2, [], ["face02.png", "face03.png"])
    assert (refined["summary"]["l2"]["count"], refined["common"]["l2"]["count"]) == (FACES, 2)
    assert some["common"] == some["summary"]
    first = [picture["l2"] for picture in refined["pictures"] if Path(picture["result"]).stem in ("face00", "face01")]
    assert refined["common"]["l2"]["mean"] == pytest.approx(sum(first) / 2)
    assert "Over the same photos, the 2 of which every row has a result" in table
    assert "some has no result of 2: face02.png, face03.png" in table
    assert "Over the same photos" not in printed("evaluate", run / "photos", run / "refined", run / "encoded")


def test_pictures_of_another_program_go_by_their_folders_name(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "refined", tmp_path / "restyle_e4e", ignore=shutil.ignore_patterns("*.inversion"))
    others = [tmp_path / "x" / "same", tmp_path / "y" / "same"]
    for folder in others:
        shutil.copytree(tmp_path / "restyle_e4e", folder)
    command = ("evaluate", run / "photos", tmp_path / "restyle_e4e", *others, "--beside", PAPER)
    document = json.loads(printed(*command, "--json"))
    found = [(row["name"], row["method"], row["seconds"]) for row in document["results"]]
    assert found == [("restyle_e4e", None, None), *((str(folder), None, None) for folder in others)]
    assert [row["published"] and row["published"]["method"] for row in document["results"]] == [
        "ReStyle-e4e",
        None,
        None,
    ]
    row = next(row for row in rows_of(printed(*command)) if row[0] == "restyle_e4e")
    assert (row[1], row[2], row[-1]) == ("-", "", "-")


def test_what_does_not_belong_together_is_refused(run: Path, tmp_path: Path) -> None:
    """Nothing is measured: pictures of no photo, folders of different photos, damaged inversions."""
    for name, photo in (("left", "face00"), ("right", "face01")):
        (tmp_path / name).mkdir()
        shutil.copy(run / "refined" / f"{photo}.png", tmp_path / name)
    with pytest.raises(ImageError, match=r"every folder has a result.*left of face00\.png; right of face01\.png"):
        gather(run / "photos", [tmp_path / "left", tmp_path / "right"])
    shutil.copy(run / "refined" / "face00.png", tmp_path / "left" / "stranger.png")
    said = printed("evaluate", run / "photos", run / "refined", tmp_path / "left", status=2)
    assert "stranger.png (no original)" in said
    assert "face01" not in said
    (tmp_path / "right" / "face01.inversion").write_bytes(b"no inversion")
    said = printed("evaluate", run / "photos", run / "refined", tmp_path / "right", status=2)
    assert "Cannot read the inversion" in said


@pytest.mark.parametrize("noted", ["soon", "-1", "nan", "inf", ""])
def test_seconds_that_are_none_are_refused(run: Path, tmp_path: Path, noted: str) -> None:
    found = Inversion.load(run / "refined" / "face00.inversion")
    assert found.noted(1.5).seconds == 1.5
    replace(found, source={"result.seconds": noted}).save(tmp_path / "a.inversion")
    with pytest.raises(InversionError, match="seconds are none"):
        origin_of([tmp_path / "a.png"])


def test_names_of_strangers_cannot_reach_the_terminal(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "some", tmp_path / "some")
    for path in (tmp_path / "some").glob("*.inversion"):
        replace(Inversion.load(path), method="\x1b[2Jpsp", source={"result.begun_with": "\x07"}).save(path)
    assert "\\x1b[2Jpsp" in printed("evaluate", run / "photos", tmp_path / "some", run / "refined")


def test_an_interrupted_comparison_has_what_was_measured(run: Path) -> None:
    gathered = gather(run / "photos", [run / "refined", run / "some"])
    paired = [pair for each in gathered for pair in each.pairs]
    scores = list(evaluate(paired[: FACES + 1], MEASURES))
    assert [len(row.scores) for row in compare(gathered, scores).rows] == [FACES, 1]
    assert [row.results.name for row in compare(gathered, scores[:2]).rows] == ["refined"]


def beside(methods: Sequence[str | None]) -> list[str | None]:
    """The paper's rows beside results of these methods, of one photo each."""
    score = Score(Path("photo.png"), Path("result.png"), {"L2": 0.0})
    gathered = [Results("folder", [(score.original, score.result)], [], Origin(method)) for method in methods]
    rows = compare(gathered, [score], read_published(PAPER)).rows
    return [row.published and row.published.method for row in rows]


def test_all_eight_systems_of_the_paper_stand_beside_ours() -> None:
    ours = ["projection", "pti", "idinvert, no step", "psp", "e4e", "restyle-psp", "restyle-e4e", "hyperstyle"]
    assert beside(ours) == [row.method for row in read_published(PAPER)]
    assert beside([None, "hyperstyle, no step", "hyperstyle + pti", "psp+toonify", "psp or e4e"]) == [None] * 5


def test_published_rows_that_nothing_is_beside_are_kept() -> None:
    score = Score(Path("photo.png"), Path("result.png"), {"L2": 0.0})
    gathered = [Results("folder", [(score.original, score.result)], [], Origin("psp", seconds=1.0))]
    left = [row.method for row in compare(gathered, [score], read_published(PAPER)).unmeasured]
    assert left == [row.method for row in read_published(PAPER) if row.method != "pSp"]
