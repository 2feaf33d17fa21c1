"""`verify` on the demo's bundle: every backend within tolerance, and a corrupted copy traced to its node."""

import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from hyperstyle_deploy.cli import main
from hyperstyle_deploy.runtime.backends import available
from hyperstyle_deploy.tests.tiny_bundle import TinyBundle

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(main, ["verify", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


class Page(HTMLParser):
    """What a page loads, and its words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attributes if name in ("src", "href", "xlink:href")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_every_backend_is_within_tolerance_of_the_plain_graphs(faces256_bundle: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = run(faces256_bundle, "--steps", 1, "--json", "--html", page)
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["within"] is True
    assert {each["backend"] for each in summary["comparisons"]} == set(available())
    for each in summary["comparisons"]:
        first, last = each["steps"]
        assert first["offset_codes"]["largest"] == 0  # there are none yet
        assert (
            0 < last["image"]["mean"] < last["image"]["largest"] <= last["image"]["limit"]
        )  # not compared with itself
        assert last["psnr"] > 90
        assert 0.9999 < last["ms_ssim"] <= 1
        assert each["stages"] == []
        assert each["bisection"] is None
    shown = Page(page.read_text())
    pictures = 3 * 2 * len(available()) + 1  # and the scale of colours
    assert sum(source.startswith("data:image/png;base64,") for source in shown.sources) == pictures
    assert all(source.startswith(("data:", "#")) for source in shown.sources)  # nothing from a network
    assert not re.search(r"url\((?!#)|@import|<script|<link", page.read_text())
    assert {"openvino", "onnxruntime"} <= set(available()) | set(shown.words)


@pytest.fixture(scope="module")
def corrupted(faces256_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyBundle]:
    """A copy of the bundle, for tests to change."""
    folder = tmp_path_factory.mktemp("corrupted") / "faces.bundle"
    shutil.copytree(faces256_bundle, folder, ignore=shutil.ignore_patterns("engines"))
    yield TinyBundle(folder)
    shutil.rmtree(folder)


def test_a_wrong_attribute_is_traced_to_its_stage_and_node(
    corrupted: TinyBundle, faces256_bundle: Path, tmp_path: Path
) -> None:
    model = corrupted.graph("hypernet")
    node = next(node for node in model.graph.node if node.name == "node_leaky_relu_44")
    node.attribute[0].f = 0.3
    good = (corrupted.path / "hypernet.onnx").read_bytes()
    corrupted.replace("hypernet.onnx", model.SerializeToString())
    page = tmp_path / "page.html"
    options = ("--reference", faces256_bundle, "--backend", "onnxruntime", "--steps", 1)
    result = run(corrupted.path, *options, "--bisect", "--html", page)
    corrupted.replace("hypernet.onnx", good)
    assert result.exit_code == 1, result.output
    assert "stage hypernet" in result.stdout
    assert "node node_leaky_relu_44 (LeakyRelu) of hypernet is the first out of tolerance" in result.stdout
    assert "stage encoder" not in result.stdout
    assert "stage synthesis" not in result.stdout
    assert any("node_leaky_relu_44" in words for words in Page(page.read_text()).words)


def test_wrong_constants_of_the_generator_are_a_stage_of_their_own(
    corrupted: TinyBundle, faces256_bundle: Path
) -> None:
    from safetensors.numpy import load, save

    content = (corrupted.path / "generator.safetensors").read_bytes()
    tensors = {name: array.copy() for name, array in load(content).items()}
    tensors["noise.conv1"] += np.float32(0.5)
    corrupted.replace("generator.safetensors", save(tensors))
    options = ("--reference", faces256_bundle, "--backend", "onnxruntime", "--steps", 0, "--json")
    result = run(corrupted.path, *options)
    corrupted.replace("generator.safetensors", content)
    assert result.exit_code == 1, result.output
    (comparison,) = json.loads(result.stdout)["comparisons"]
    wrong = {stage["stage"]: stage["output"] for stage in comparison["stages"] if not stage["within"]}
    assert wrong["constants"] == "noise.conv1"
    assert "encoder" not in wrong


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--against", "x.pt", "--w-encoder", "y.pt", "--reference", "b"), "two references"),
        (("--against", "x.pt", "--w-encoder", "y.pt", "--bisect"), "--bisect"),
        (("--files-only", "--steps", "1"), "--files-only"),
        (("--backend", "onnxruntime,nothing"), "Unknown backend"),
        (("--backend", ","), "No backend was named"),
        (("--images", "nowhere.png"), "nowhere.png"),
        (("--reference", "nowhere"), "is not a bundle"),
    ],
)
def test_what_cannot_be_verified_is_explained(options: tuple[str, ...], message: str, faces256_bundle: Path) -> None:
    result = run(faces256_bundle, *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
