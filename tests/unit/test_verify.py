"""`verify` on toy bundles: every method and backend within tolerance, a corrupted copy traced to its node."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from onnx import helper

from hyperstyle_deploy.cli import main
from hyperstyle_deploy.runtime.backends import available
from hyperstyle_deploy.tests.toy_bundle import ToyBundle

Toys = Callable[..., Path]
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


def test_every_backend_is_within_tolerance_of_the_plain_graphs(toys: Toys, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = run(toys("hyperstyle"), "--steps", 1, "--json", "--html", page)
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
        assert last["ms_ssim"] is None  # of 32 pixels
        assert each["stages"] == []
        assert each["bisection"] is None
    shown = Page(page.read_text())
    pictures = 3 * 2 * len(available()) + 1  # and the scale of colours
    assert sum(source.startswith("data:image/png;base64,") for source in shown.sources) == pictures
    assert all(source.startswith(("data:", "#")) for source in shown.sources)  # nothing from a network
    assert not re.search(r"url\((?!#)|@import|<script|<link", page.read_text())
    assert {"openvino", "onnxruntime"} <= set(available()) | set(shown.words)


@pytest.mark.parametrize("method", ["psp", "restyle-e4e"])
def test_every_method_has_the_steps_and_arrays_that_it_has(method: str, toys: Toys) -> None:
    result = run(toys(method), "--backend", "onnxruntime", "--threads", 1, "--json")
    assert result.exit_code == 0, result.output
    (comparison,) = json.loads(result.stdout)["comparisons"]
    assert [step["step"] for step in comparison["steps"]] == list(range(1 if method == "psp" else 6))
    assert all("codes" in step and "offset_codes" not in step for step in comparison["steps"])
    shown = run(toys("psp"), "--backend", "onnxruntime", "--threads", 1)
    assert "1 of 1 comparisons are within tolerance" in shown.stdout
    assert "drift" not in shown.stdout  # of one step there is none


def test_a_wrong_attribute_is_traced_to_its_stage_and_node(toys: Toys, toy_bundle: ToyBundle, tmp_path: Path) -> None:
    model = toy_bundle.graph("hypernet")
    node = next(node for node in model.graph.node if node.name == "activation")
    node.attribute.append(helper.make_attribute("alpha", 0.3))
    toy_bundle.replace("hypernet.onnx", model.SerializeToString())
    page = tmp_path / "page.html"
    options = ("--reference", toys("hyperstyle"), "--backend", "onnxruntime", "--threads", 1, "--steps", 1)
    result = run(toy_bundle.path, *options, "--bisect", "--html", page)
    assert result.exit_code == 1, result.output
    assert "stage hypernet" in result.stdout
    assert "node activation (LeakyRelu) of hypernet is the first out of tolerance" in result.stdout
    assert "stage encoder" not in result.stdout
    assert "stage synthesis" not in result.stdout
    assert any("activation" in words for words in Page(page.read_text()).words)


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
        (("--steps", "1001"), "0<=x<=1000"),
    ],
)
def test_what_cannot_be_verified_is_explained(options: tuple[str, ...], message: str, toys: Toys) -> None:
    result = run(toys("hyperstyle"), *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_steps_of_a_method_without_any_are_refused(toys: Toys) -> None:
    result = run(toys("e4e"), "--backend", "onnxruntime", "--steps", 1)
    assert result.exit_code == 2
    assert "e4e takes no refinement steps" in result.stderr
