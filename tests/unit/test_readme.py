"""The README's code runs, and the commands that it and the other pages show are ones that exist."""

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy.cli import main
from hyperstyle_deploy.cli.show.profile import show_profile
from hyperstyle_deploy.runtime.bundle.reader import read_manifest
from hyperstyle_deploy.runtime.editing.direction import Direction
from hyperstyle_deploy.runtime.editing.folder import Directions

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


PAGES = "\n".join(path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands() -> list[str]:
    lines = "\n".join(blocks("(?:bash|sh|console)", PAGES)).replace("\\\n", " ").splitlines()
    return [line.removeprefix("$ ").strip() for line in lines if "hyperstyle-deploy " in line and "pip" not in line]


def test_the_readme_shows_the_main_job() -> None:
    shown = {line.split()[1] for line in commands()}
    assert {"inspect", "export", "verify", "invert"} <= shown
    assert not re.search("FILL", README)


@pytest.mark.parametrize("line", commands())
def test_every_command_shown_parses(line: str) -> None:
    _, name, *arguments = shlex.split(line, comments=True)
    command: click.Command = main.commands[name]
    context = command.make_context(name, arguments)  # raises UsageError for an unknown option
    if isinstance(command, click.Group):
        name, below, arguments = command.resolve_command(context, [*context._protected_args, *context.args])
        assert below is not None
        below.make_context(name, arguments, parent=context)


def test_the_two_commands_are_make_targets() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in ("demo", "test"):
        assert f"make {target}" in README
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


EXAMPLES = [*blocks("python"), *blocks("python", (ROOT / "docs" / "usage.md").read_text())]


@pytest.mark.parametrize("example", EXAMPLES, ids=["README", "usage"])
def test_the_python_examples_run(
    toys: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, example: str
) -> None:
    shutil.copytree(toys("hyperstyle"), tmp_path / "faces.bundle")
    manifest = read_manifest(tmp_path / "faces.bundle")
    smile = Direction("smile", np.full((1, 8), 0.1, np.float32), (0, 4), (-3, 3), manifest.model)
    Directions(tmp_path / "faces.bundle", manifest).add([smile])
    Image.new("RGB", (300, 280), "teal").save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})


def test_the_profile_shown_is_what_the_command_prints(capsys: Any) -> None:
    """From a report that is kept: its numbers are a machine's, the rest is the command's."""
    document = json.loads((ROOT / "tests" / "data" / "profile.json").read_bytes())
    for case in document["cases"]:
        case["nodes"], case["quality"] = None, []
    show_profile(document)
    (shown,) = blocks("text", (ROOT / "docs" / "profile.md").read_text())
    assert shown.splitlines() == [line.rstrip() for line in capsys.readouterr().out.splitlines()]
