"""Documents: what is read back, refused and compared, nodes folded, traces, and the page."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hyperstyle_deploy.cli import main
from hyperstyle_deploy.errors import ReportError
from hyperstyle_deploy.runtime.backends.node_runs import NodeRun
from hyperstyle_deploy.runtime.profiling.document import case_labels, read_report
from hyperstyle_deploy.runtime.profiling.nodes import NodeProfile, _last_half, fold
from hyperstyle_deploy.runtime.profiling.peaks import Peaks
from hyperstyle_deploy.runtime.profiling.stage_clock import Span
from hyperstyle_deploy.runtime.profiling.trace import trace_document
from hyperstyle_deploy.runtime.reports.profile import write_page

PEAKS = Peaks(flops=1e9, bytes=1e8)
CONV = ((1, 4, 8, 8), (4, 4, 1, 1)), ((1, 4, 8, 8),)


def node(stage: str, run: int, name: str, operator: str, seconds: float) -> NodeRun:
    return NodeRun(stage, run, name, operator, seconds, *CONV, bytes=2112)


RUNS = [
    node("encoder", 0, "a", "Conv", 0.5),
    node("encoder", 0, "b", "Conv", 0.25),
    node("encoder", 0, "c", "Add", 1.0),
]


def test_nodes_are_folded_by_operator_and_by_name() -> None:
    operators = fold([*RUNS, node("hypernet", 0, "a", "Conv", 3.0)], PEAKS, by_name=False)
    assert [(row.stage, row.operator, row.runs, row.seconds) for row in operators] == [
        ("hypernet", "Conv", 1, 3.0),
        ("encoder", "Add", 1, 1.0),
        ("encoder", "Conv", 2, 0.75),
    ]
    flops = 2 * 4 * 64 * 4
    assert [row.flops for row in operators] == [flops, 0, 2 * flops]
    assert operators[2].floor_s == pytest.approx(2 * 2112 / 1e8)  # memory is the slower of the two
    assert [row.name for row in fold(RUNS, PEAKS, by_name=True)] == ["c", "a", "b"]
    assert Peaks(None, 1e8).floor(1e12, 1e8) == 1.0


def test_only_the_second_inversion_counts() -> None:
    runs = [node("weights", run, "x", "Gemm", run) for run in range(6)]
    assert [(run.run, run.seconds) for run in _last_half(runs)] == [(0, 3), (1, 4), (2, 5)]


def test_a_trace_has_the_nodes_within_their_stages() -> None:
    spans = [Span("encoder", 0.0, 2.0), Span("weights", 2.0, 1.0), Span("weights", 3.5, 1.0)]
    runs = [*RUNS, node("offsets", 0, "o", "Gemm", 0.5), node("weights", 1, "w", "Gemm", 0.5)]
    document = trace_document({"the case": NodeProfile(spans, runs, [], [], PEAKS)})
    events = [event for event in json.loads(json.dumps(document))["traceEvents"] if event["ph"] == "X"]
    assert [event["name"] for event in events] == ["encoder", "a", "b", "c", "weights", "o", "weights", "w"]
    by_name = {event["name"]: event for event in events}
    assert (by_name["a"]["ts"], by_name["b"]["ts"], by_name["c"]["ts"]) == (0, 0.5e6, 0.75e6)
    assert (by_name["o"]["ts"], by_name["w"]["ts"], by_name["w"]["dur"]) == (2e6, 3.5e6, 0.5e6)
    assert by_name["a"]["args"]["operator"] == "Conv"
    assert {event["tid"] for event in events} == {1, 2}


def report(**seconds: list[float]) -> dict[str, Any]:
    """A document with these cases, as small as a reader takes it."""
    cases = [
        {"name": name, "setup": {}, "batch": 1, "steps": 5, "streams": 1, "seconds": values}
        for name, values in seconds.items()
    ]
    machine = {"cpu": "one", "versions": {"numpy": "1"}}
    fixed = {"schema": "hyperstyle-deploy profile", "schema_version": 2, "date": "", "interrupted": False}
    return {**fixed, "environment": {"machine": machine}, "cases": cases}


def compare(folder: Path, before: Any, after: Any, *options: str) -> Result:
    for name, document in (("a.json", before), ("b.json", after)):
        (folder / name).write_text(document if isinstance(document, str) else json.dumps(document))
    return CliRunner().invoke(main, ["profile", "compare", str(folder / "a.json"), str(folder / "b.json"), *options])


def test_a_slower_case_fails_past_the_limit(tmp_path: Path) -> None:
    before, after = report(x=[1.0, 1.1, 1.0]), report(x=[1.2, 1.3, 1.2], z=[1.0])
    shown = compare(tmp_path, before, after, "--fail-above", "1.25")
    assert shown.exit_code == 0
    assert "1.200" in shown.stdout
    assert "only in B: z" in shown.stdout
    shown = compare(tmp_path, before, after, "--fail-above", "1.1", "--json")
    assert shown.exit_code == 1
    found = json.loads(shown.stdout)
    assert found["failed"] == ["x"]
    assert found["ratios"][0]["ratio"] == pytest.approx(1.2)
    assert found["ratios"][0]["low"] <= 1.2 <= found["ratios"][0]["high"]


def test_a_case_that_b_did_not_measure_fails_a_guard(tmp_path: Path) -> None:
    before = report(x=[1.0], y=[1.0])
    for after in (report(x=[1.0]), report(x=[1.0], y=[])):
        after["interrupted"] = True
        shown = compare(tmp_path, before, after, "--fail-above", "1.25")
        assert shown.exit_code == 1
        assert "only in A: y" in shown.stdout
        assert "only in B" not in shown.stdout
        assert "B was interrupted" in shown.stdout
        assert compare(tmp_path, before, after).exit_code == 0


def test_few_runs_tell_nothing(tmp_path: Path) -> None:
    for count, verdict in ((4, "too few runs"), (5, "")):
        shown = compare(tmp_path, report(x=[1.0] * count), report(x=[1.2] * 9), "--json")
        assert json.loads(shown.stdout)["ratios"][0]["distinct"] is (count == 5)
        assert verdict in compare(tmp_path, report(x=[1.0] * count), report(x=[1.2] * 9)).stdout


def test_another_precision_under_one_name_is_said(tmp_path: Path) -> None:
    before, after = report(x=[1.0]), report(x=[1.0])
    before["cases"][0]["setup"]["precision"], after["cases"][0]["setup"]["precision"] = "float32", "float16"
    assert "precision of x: float32 -> float16" in compare(tmp_path, before, after).stdout


def test_another_machine_or_version_is_said(tmp_path: Path) -> None:
    after = report(x=[1.0])
    after["environment"]["machine"] = {"cpu": "two", "versions": {"numpy": "2"}}
    shown = compare(tmp_path, report(x=[1.0]), after)
    assert "cpu: one -> two" in shown.stdout
    assert "numpy: 1 -> 2" in shown.stdout


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "Cannot read the profile"),
        ({"schema": "something else"}, "is no profile"),
        ([], "is no profile"),
        ({**report(x=[1.0]), "schema_version": 1}, "another version"),
        ({**report(x=[1.0]), "cases": None}, "cases"),
        ({**report(x=[1.0]), "cases": [1]}, "name, setup"),
        (report(x=[-1.0]), "numbers above 0"),
        (report(x=["1"]), "numbers above 0"),  # type: ignore[list-item]
        (report(x=[]), "no case in common"),
        (report(other=[1.0]), "no case in common"),
    ],
)
def test_what_cannot_be_compared_is_explained(tmp_path: Path, document: Any, message: str) -> None:
    shown = compare(tmp_path, report(x=[1.0]), document if isinstance(document, str) else json.dumps(document))
    assert shown.exit_code == 2
    assert message in shown.stderr
    assert "Traceback" not in shown.stderr


def test_a_missing_report_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="No such file"):
        read_report(tmp_path / "none.json")


def test_labels_say_what_tells_cases_apart(example: Path) -> None:
    cases = json.loads(example.read_text())["cases"]
    common, labels = case_labels(cases)
    assert labels == ["onnxruntime", "openvino"]
    assert common == "seeded256.bundle, float32, 2 threads, batch 1, 5 steps, 1 stream"
    assert case_labels(cases[:1])[1] == ["the case"]
    assert case_labels([]) == ("", [])


class Page(HTMLParser):
    """Counts elements, and notes what stays open and what would be loaded from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count: dict[str, int] = {}
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        links = [value or "" for name, value in attributes if name in ("src", "href", "xlink:href")]
        self.loaded += [link for link in links if not link.startswith("#")]
        if tag not in ("meta", "br", "img", "hr", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag


def test_the_page_is_whole_and_loads_nothing(example: Path, tmp_path: Path) -> None:
    document = json.loads(example.read_text())
    document["cases"][0]["setup"]["bundle"] = "<script>.bundle"
    write_page(tmp_path / "page.html", document)
    text = (tmp_path / "page.html").read_text()
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.loaded == []
    assert "script" not in page.count
    assert not re.search(r"@import|url\(\s*['\"]?http", text)
    assert page.count["svg"] == 2 + 2 + 1  # latencies, stages, a roofline a case, quality
    median = document["cases"][0]["inversion"]["median"]
    assert f"{median * 1e3:,.1f}" in text
    assert "&lt;script&gt;" in text


def test_a_page_of_nothing_measured_is_a_page(example: Path, tmp_path: Path) -> None:
    document = {**json.loads(example.read_text()), "interrupted": True}
    for case in document["cases"]:
        case["inversion"] = None
    write_page(tmp_path / "page.html", document)
    assert "Nothing was measured" in (tmp_path / "page.html").read_text()
