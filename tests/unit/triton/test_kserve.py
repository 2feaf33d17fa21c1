"""examples/kserve: files that their readers understand, and command lines that are ours. No cluster has seen them."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from hyperstyle_deploy import __version__
from hyperstyle_deploy.cli import main
from hyperstyle_deploy.runtime.serving.http import protocol_v2

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "kserve"


def instructions() -> list[tuple[str, str]]:
    lines = [line for line in (EXAMPLE / "Containerfile").read_text().splitlines() if line and line[0] != "#"]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def served(words: list[str]) -> dict[str, Any]:
    """What our own command line makes of these words."""
    assert words[:2] == ["hyperstyle-deploy", "serve"]
    context = click.Context(main)
    return main.get_command(context, "serve").make_context("serve", list(words[2:]), parent=context).params


@pytest.fixture
def entry() -> list[str]:
    return json.loads(dict(instructions())["ENTRYPOINT"])


def test_the_container_file_takes_the_readmes_steps(entry: list[str]) -> None:
    names = [name for name, _ in instructions()]
    assert names == ["FROM", "WORKDIR", "COPY", "RUN", "USER", "WORKDIR", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"]
    told = dict(instructions())
    (extras,) = re.findall(r'^pip install --no-cache-dir "\.\[(.*)\]"$', told["RUN"])
    assert f'pip install ".[{extras}]"' in (ROOT / "docs" / "serving.md").read_text()
    assert 'pip install ".[cpu]"' in (ROOT / "README.md").read_text()
    command = served([*entry, *json.loads(told["CMD"])])
    assert (command["host"], command["port"], command["page"]) == ("0.0.0.0", int(told["EXPOSE"]), False)
    assert command["bundles"] == ()
    _, _, asked = json.loads(told["HEALTHCHECK"].removeprefix("CMD "))
    (path,) = re.findall(rf"'http://127\.0\.0\.1:{command['port']}(.*)'", asked)
    assert path in {route.path for route in protocol_v2.ROUTES}


def test_the_manifest_starts_a_service_that_answers_its_probes(entry: list[str]) -> None:
    yaml = pytest.importorskip("yaml", reason="pyyaml is not installed")
    document = yaml.safe_load((EXAMPLE / "inference-service.yaml").read_text())
    assert (document["apiVersion"], document["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    predictor = document["spec"]["predictor"]
    (container,) = predictor["containers"]
    assert container["name"] == "kserve-container"
    assert container["image"].endswith(f":{__version__}")
    command = served([*entry, *container["args"]])
    (bundle,) = command["bundles"]
    (mount,) = container["volumeMounts"]
    assert Path(mount["mountPath"]) == bundle.parent
    assert [volume["name"] for volume in predictor["volumes"]] == [mount["name"]]
    assert bundle.stem == document["metadata"]["name"]
    assert command["drain"] < predictor["terminationGracePeriodSeconds"]
    assert command["threads"] == 4
    ours = {route.path for route in protocol_v2.ROUTES}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        assert (asked["path"] in ours, asked["port"]) == (True, command["port"])


def test_commands_in_the_docs_are_ours() -> None:
    text = (ROOT / "docs" / "triton.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    commands = [shlex.split(line, comments=True) for line in lines if line.startswith("hyperstyle-deploy ")]
    assert {words[1] for words in commands} >= {"export-triton"}
    context = click.Context(main)
    for words in commands:
        command = main.get_command(context, words[1])
        command.make_context(words[1], list(words[2:]), parent=context)
    for path in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (ROOT / "docs" / path).exists(), path
