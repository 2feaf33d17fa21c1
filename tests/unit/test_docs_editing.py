"""docs/editing.md: its commands and its Python example, run as they stand there on a toy bundle."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy.runtime.session import load
from hyperstyle_deploy.tests.small_bundle import WIDTH
from hyperstyle_deploy.tests.toy_bundle import write_toy_bundle
from hyperstyle_deploy.tests.unit.runtime.editing.test_importing import run

PAGE = (Path(__file__).parents[2] / "docs" / "editing.md").read_text()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Everything that the page speaks of: a bundle, a photo, two inversions, three directions."""
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    write_toy_bundle(tmp_path / "faces.bundle")
    session = load(tmp_path / "faces.bundle")
    for name, colour in (("me", (250, 10, 90)), ("you", (20, 90, 200))):
        Image.new("RGB", (40, 40), colour).save(tmp_path / f"{name}.jpg")
        session.invert(tmp_path / f"{name}.jpg").save(tmp_path / f"{name}.inversion")
    for seed, name in enumerate(("age", "smile", "pose")):
        vector = np.random.default_rng(seed).random((1, WIDTH), np.float32)
        torch.save(torch.from_numpy(vector), tmp_path / f"{name}.pt")
    return tmp_path


def test_the_commands_and_the_example(folder: Path) -> None:
    pytest.importorskip("av")
    (commands,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for command in commands.splitlines():
        program, *arguments = shlex.split(command)
        assert program == "hyperstyle-deploy"
        result = run(*arguments)
        assert result.exit_code == 0, f"{command}\n{result.output}"
    pictures = {f"me.age=2,smile={strength}.png" for strength in range(-3, 4)}
    assert {path.name for path in (folder / "edits").iterdir()} == {"me.sheet.png", *pictures}
    assert {"us.mp4", "me.onnx"} < {path.name for path in folder.iterdir()}
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    found: dict[str, object] = {}
    exec(example, found)
    assert found["pictures"].shape == (3, 32, 32, 3)
