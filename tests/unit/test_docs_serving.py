"""docs/serving.md: its requests by curl and its Python example, as they stand there, to a service on a toy bundle."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("starlette", reason="the extra [serve] is not installed")

from hyperstyle_deploy.runtime.serving.http.service import Service
from hyperstyle_deploy.runtime.serving.http.settings import Settings
from hyperstyle_deploy.tests.toy_bundle import ToyBundle
from hyperstyle_deploy.tests.unit.runtime.serving.conftest import loader, running, with_direction

PAGE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()


def test_the_requests_and_the_example(toy_bundle: ToyBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (40, 40), (250, 10, 90)).save("me.jpg")
    with running(Service({"toy": loader(with_direction(toy_bundle))}, Settings())) as found:
        page = PAGE.replace("http://127.0.0.1:8080", str(found.client.base_url).rstrip("/"))
        requests = [line for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
        curls = [shlex.split(line) for line in requests if line.startswith("curl")]
        assert len(curls) == 2
        if shutil.which("curl"):
            said = [subprocess.run([*line, "-sS", "--fail"], check=True, capture_output=True).stdout for line in curls]
            assert Image.open("me.png").size == (32, 32)
            assert b"event: done" in said[1]
        (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
        values: dict[str, object] = {}
        exec(example, values)
        assert len(set(values["pictures"])) == 3
