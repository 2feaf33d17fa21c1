"""The commands of docs/alignment.md make its pictures."""

import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hyperstyle_deploy.cli import main
from hyperstyle_deploy.runtime.images import read_photo
from hyperstyle_deploy.tests.unit.test_readme import blocks
from hyperstyle_deploy.training.__main__ import main as training

DOCS = Path(__file__).parents[4] / "docs"
PAGE = (DOCS / "alignment.md").read_text()
#: Pictures of the page, and the commands' files that they are.
PICTURES = {
    "../models/faces64/group.png": "photo.png",
    "alignment-face1.png": "faces/photo.face1.png",
    "alignment-face2.png": "faces/photo.face2.png",
    "alignment-face3.png": "faces/photo.face3.png",
    "alignment-changed.png": "others/changed.face3.png",
    "alignment-pasted.png": "pasted.png",
}


@pytest.mark.usefixtures("one_thread")
def test_the_pages_commands_make_its_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for line in "".join(blocks("sh", PAGE)[:2]).splitlines():
        words = shlex.split(line, comments=True)
        program, arguments = (training, words[3:]) if words[0] == "python" else (main, words[1:])
        assert words[0] == "hyperstyle-deploy" or words[1:3] == ["-m", "hyperstyle_deploy.training"]
        result = CliRunner().invoke(program, arguments, catch_exceptions=False)
        assert result.exit_code == 0, f"{line}\n{result.output}"
    for shown, made in PICTURES.items():
        assert f"({shown})" in PAGE
        pictures = [np.asarray(read_photo(path), np.float64) for path in (DOCS / shown, tmp_path / made)]
        assert np.abs(pictures[0] - pictures[1]).mean() < 0.2  # PyTorch's sums differ from machine to machine
