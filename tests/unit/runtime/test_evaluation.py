"""Photos and results pair up by name; scores and their summary are the script's; LPIPS says what it lacks."""

import json
import math
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from hyperstyle_deploy.cli import main
from hyperstyle_deploy.errors import BackendError, ImageError, ReportError
from hyperstyle_deploy.runtime.quality import lpips
from hyperstyle_deploy.runtime.quality.evaluation import MEASURES, evaluate, pairs, summarize
from hyperstyle_deploy.runtime.quality.metrics import l2, ms_ssim, paper_input
from hyperstyle_deploy.runtime.quality.published import read_published

FACE = Image.open(Path(__file__).parents[2] / "data" / "faces.png").convert("RGB").resize((300, 280))


def draw(folder: Path, *names: str, shift: int = 0) -> Path:
    folder.mkdir(exist_ok=True)
    for index, name in enumerate(names):
        pixels = np.asarray(FACE, np.int16) + shift * (index + 1)
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / name)
    return folder


def test_results_of_invert_pair_up(tmp_path: Path) -> None:
    originals = draw(tmp_path / "in", "a.jpg", "b.png", "c.step1.png")
    results = draw(tmp_path / "out", "a.png", "b.png", "c.step1.png", "a.strip.png", "a.step0.png", "b.step12.png")
    (results / "a.inversion").touch()
    assert pairs(originals, results) == [
        (originals / name, results / f"{Path(name).stem}.png") for name in ("a.jpg", "b.png", "c.step1.png")
    ]
    assert pairs(originals / "a.jpg", results / "a.png") == [(originals / "a.jpg", results / "a.png")]


def test_photos_that_share_a_stem_pair_by_their_full_names(tmp_path: Path) -> None:
    originals = draw(tmp_path / "in", "a.jpg", "a.png")
    results = draw(tmp_path / "out", "a.jpg.png", "a.png.png")
    assert [result.name for _, result in pairs(originals, results)] == ["a.jpg.png", "a.png.png"]


def test_what_has_no_partner_is_named(tmp_path: Path) -> None:
    originals = draw(tmp_path / "in", "a.jpg", "b.png")
    with pytest.raises(ImageError, match=r"b\.png \(no result\), c\.png \(no original\)"):
        pairs(originals, draw(tmp_path / "out", "a.png", "c.png"))
    many = draw(tmp_path / "many", *(f"{index}.png" for index in range(9)))
    with pytest.raises(ImageError, match="and 6 more"):
        pairs(originals, many)
    with pytest.raises(ImageError, match="of one name"):
        pairs(originals, draw(tmp_path / "twice", "a.png", "a.webp", "b.png"))


def test_scores_are_the_measures_of_the_resized_pictures(tmp_path: Path) -> None:
    originals, results = draw(tmp_path / "in", "a.png", "b.png"), draw(tmp_path / "out", "a.png", "b.png", shift=9)
    scores = list(evaluate(pairs(originals, results), MEASURES))
    got, want = paper_input(Image.open(results / "b.png")), paper_input(Image.open(originals / "b.png"))
    assert scores[1].values == {"L2": l2(got, want), "MS-SSIM": ms_ssim(got, want)}
    assert scores[0].values["L2"] < scores[1].values["L2"]


def test_the_summary_drops_what_has_no_value() -> None:
    summary = summarize([1.0, math.nan, 3.0])
    assert (summary.mean, summary.std, summary.count, summary.left_out) == (2.0, 1.0, 2, 1)
    assert math.isnan(summarize([math.nan]).mean)


def test_the_command_prints_and_explains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lpips, "find_spec", lambda name: None if name == "lpips" else name)
    originals, results = draw(tmp_path / "in", "a.png", "b.png"), draw(tmp_path / "out", "a.png", "b.png", shift=9)
    printed = CliRunner().invoke(main, ["evaluate", str(originals), str(results)])
    assert printed.exit_code == 0, printed.output
    assert "[lpips]" in printed.stdout
    summary = json.loads(CliRunner().invoke(main, ["evaluate", str(originals), str(results), "--json"]).stdout)
    values = [picture["l2"] for picture in summary["pictures"]]
    assert summary["summary"]["l2"]["mean"] == pytest.approx(np.mean(values))
    assert f"{np.mean(values):.5f}+-{np.std(values):.5f}" in printed.stdout
    insisted = CliRunner().invoke(main, ["evaluate", str(originals), str(results), "--lpips"])
    assert insisted.exit_code == 2
    assert "[lpips]" in insisted.stderr


def test_published_figures_stand_beside(tmp_path: Path) -> None:
    originals, results = draw(tmp_path / "in", "a.png"), draw(tmp_path / "out", "a.png", shift=9)
    table = tmp_path / "table.csv"
    table.write_text("\ufeffmethod, MS-SSIM, Time\nslow one, 0.9, 227.5\n\nquick one,,0.1\n", encoding="utf-8")
    command = ["evaluate", str(originals), str(results), "--beside", str(table)]
    printed = CliRunner().invoke(main, command)
    assert printed.exit_code == 0, printed.output
    rows = [line.split("│")[1:-1] for line in printed.stdout.splitlines() if "one" in line or "these 1" in line]
    cells = [[cell.strip() for cell in row] for row in rows]
    assert [row[0] for row in cells] == ["slow one", "quick one", "these 1"]
    assert [row[2:] for row in cells[:2]] == [["0.9", "227.5"], ["-", "0.1"]]
    assert cells[2][3] == "-"
    assert float(cells[2][1]) > 0
    found = json.loads(CliRunner().invoke(main, [*command, "--json"]).stdout)["published"]
    assert found == [{"method": "slow one", "ms_ssim": 0.9, "time": 227.5}, {"method": "quick one", "time": 0.1}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "The first row of .* is another. Got: nothing"),
        (b"name,L2\n", "Got: name,L2. Expected: method,L2"),
        (b"method,L2,L2\n", "The first row"),
        (b"method,L2\nx,1,2\n", "another length. Got: x,1,2. Expected: 2 cells"),
        (b"method,L2\nx,low\n", "is no number. Got: x,low"),
        (b"\xff\xfe", "Cannot read"),
        (b"method,L2\n" * 200_000, "too large for a table"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    table = tmp_path / "table.csv"
    table.write_bytes(content)
    with pytest.raises(ReportError, match=said):
        read_published(table)


def test_lpips_never_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package without AlexNet's weights is an error, raised before the package is asked for anything."""
    made: list[dict[str, object]] = []

    class Network:
        def __init__(self, **options: object) -> None:
            made.append(options)

        def eval(self) -> "Network":
            return self

        def __call__(self, left: object, right: object) -> float:
            return float((left - right).abs().sum())

    module = types.ModuleType("lpips")
    module.LPIPS = Network
    monkeypatch.setitem(sys.modules, "lpips", module)
    monkeypatch.setattr(lpips, "find_spec", lambda name: name)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(BackendError, match=lpips.WEIGHTS):
        lpips.open_lpips()
    assert not made
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / lpips.WEIGHTS).touch()
    picture = np.ones((3, 4, 4), np.float32)
    assert lpips.open_lpips()(picture, picture) == 0
    assert made[0]["net"] == "alex"
