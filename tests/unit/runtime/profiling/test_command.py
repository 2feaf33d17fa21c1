"""`profile` on bundles of a few nodes a graph, as a user runs it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hyperstyle_deploy.cli import main
from hyperstyle_deploy.errors import BackendError
from hyperstyle_deploy.runtime.backends import BACKENDS, available
from hyperstyle_deploy.runtime.profiling import peaks
from hyperstyle_deploy.runtime.profiling import profile as whole
from hyperstyle_deploy.runtime.profiling.cases import Case
from hyperstyle_deploy.runtime.profiling.cold_start import ColdStart
from hyperstyle_deploy.runtime.profiling.document import read_report
from hyperstyle_deploy.runtime.profiling.measure import Inverter
from hyperstyle_deploy.tests import toy_bundle
from hyperstyle_deploy.tests.toy_bundle import write_toy_bundle

Toys = Callable[..., Path]

#: ONNX Runtime tells of blocks of 16 features, on some processors of 8.
FEATURES = 16
#: FLOPs of one run of each stage of toys with as many, two a multiply-accumulate, counted by hand from their graphs.
FLOPS = {
    "encoder": 2 * (32 * 32 * FEATURES * 3 * 9 + FEATURES * 64),
    "hypernet": 2 * (32 * 32 * FEATURES * 6 * 9 + FEATURES * 20),
    "weights": 2 * 5 * (8 * 8 * 9 + 8 * 8 * 9 + 6 * 8 + 3 * 6),
    "synthesis_one": 2 * (64 * 48 + 3 * 4 * 4 * 8 * 8),
}
#: Runs of each stage in an inversion of one step, and of a method without steps.
RUNS = {
    "hyperstyle": {"encoder": 1, "synthesis_one": 2, "hypernet": 1, "weights": 1},
    "e4e": {"encoder": 1, "synthesis_one": 1},
}


def profile(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["profile", *map(str, arguments)])


def test_everything_at_once_on_every_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toy_bundle, "FEATURES", FEATURES)
    bundles = [write_toy_bundle(tmp_path / method, method).path for method in RUNS]
    monkeypatch.setattr(peaks, "SIZES", (64,))
    monkeypatch.setattr(peaks, "COPY_BYTES", 1 << 20)
    names = ",".join(available())
    paths = {name: tmp_path / name for name in ("report.json", "page.html", "trace.json")}
    shown = profile(
        *bundles, "--backend", names, "--threads", 1, "--steps", 1, "--runs", 1,
        "--duration", 1, "--layers", "--quality", "-o", paths["report.json"], "--html", paths["page.html"],
        "--trace", paths["trace.json"],
    )  # fmt: skip
    assert shown.exit_code == 0, shown.output
    document = read_report(paths["report.json"])
    assert [case["setup"]["backend"] for case in document["cases"]] == [*available()] * 2
    for case in document["cases"]:
        method = Path(case["setup"]["bundle"]).name
        assert case["steps"] == (1 if method == "hyperstyle" else 0)
        rows = {row["stage"]: row for row in case["stages"]}
        assert {name: row["runs"] for name, row in rows.items()} == {**RUNS[method], "between stages": 1}
        assert sum(row["share"] for row in rows.values()) == pytest.approx(1.0, abs=0.01)
        assert [step["steps"] for step in case["quality"]] == list(range(case["steps"] + 1))
        assert case["quality"][0]["seconds"] <= case["quality"][-1]["seconds"]
        operators = case["nodes"]["operators"]
        for stage, runs in RUNS[method].items():
            told = sum(row["flops"] for row in operators if row["stage"] == stage)
            assert told == FLOPS[stage] * runs, (method, case["setup"]["backend"], stage)
        told = sum(row["seconds"] for row in operators)
        assert told == pytest.approx(sum(row["seconds"] for row in case["nodes"]["nodes"]))
    events = json.loads(paths["trace.json"].read_bytes())["traceEvents"]
    assert {event["pid"] for event in events} == set(range(1, len(document["cases"]) + 1))
    assert paths["page.html"].read_text().count("<svg") == 3 + len(document["cases"])
    assert "encoder" in shown.stdout
    again = CliRunner().invoke(main, ["profile", "compare", *[str(paths["report.json"])] * 2, "--fail-above", "1.01"])
    assert again.exit_code == 0
    assert "1.000" in again.stdout
    nodes_lie_within_their_stages(events)


def nodes_lie_within_their_stages(events: list[dict[str, object]]) -> None:
    """Libraries tell time in units of their own: read in another, nodes would not fill their stage, or overflow it."""
    shares = []
    for process in {event["pid"] for event in events}:
        spans = [event for event in events if event["pid"] == process and event["ph"] == "X"]
        for stage in (span for span in spans if span["cat"] == "stage"):
            end = stage["ts"] + stage["dur"]
            nodes = [n for n in spans if n["cat"] != "stage" and stage["ts"] <= n["ts"] < end]
            shares.append(sum(node["dur"] for node in nodes) / stage["dur"])
    assert max(shares) < 1.01
    assert max(shares) > 0.01


def test_a_cold_start_is_a_process_of_its_own(toys: Toys) -> None:
    options = ("--backend", "onnxruntime", "--threads", 1, "--runs", 1, "--duration", 0.1, "--cold-start", "--json")
    shown = profile(toys("restyle-psp"), *options)
    assert shown.exit_code == 0, shown.output
    document = json.loads(shown.stdout)
    (case,) = document["cases"]
    assert 1e7 < case["cold_start"]["peak_bytes"] < 1e9
    assert 0 < case["cold_start"]["load_s"] < 300
    assert case["cold_start"]["device_bytes"] is None
    assert document["environment"]["memory"]["peak_bytes"] > 1e7


def test_ctrl_c_writes_what_was_measured(toys: Toys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def run(inverter: Inverter) -> tuple[list[float], float]:
        calls.append(1)
        if len(calls) == 5:  # after three of the warm-up and one that counts
            raise KeyboardInterrupt
        return [1.0], 1.0

    monkeypatch.setattr(Inverter, "run", run)
    report = tmp_path / "report.json"
    options = ("--backend", "onnxruntime", "--steps", 0, "-o", report, "--html", tmp_path / "p.html")
    shown = profile(toys("hyperstyle"), *options)
    assert shown.exit_code == 130
    assert "Stopped" in shown.stderr
    document = read_report(report)
    assert document["interrupted"] is True
    assert document["cases"][0]["seconds"] == [1.0]
    assert "was interrupted" in (tmp_path / "p.html").read_text()


def test_ctrl_c_in_a_cold_start_keeps_those_before(toys: Toys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(case: Case) -> ColdStart:
        if case.batch == 2:
            raise KeyboardInterrupt
        return ColdStart(1.0, 2.0, 3, None)

    monkeypatch.setattr(whole, "cold_start", start)
    report = tmp_path / "report.json"
    shown = profile(
        toys("hyperstyle"), "--backend", "onnxruntime", "--batch", "1,2", "--cold-start", "-o", report
    )  # fmt: skip
    assert shown.exit_code == 130
    first, second = read_report(report)["cases"]
    assert first["cold_start"] == {"load_s": 1.0, "first_inversion_s": 2.0, "peak_bytes": 3, "device_bytes": None}
    assert second["cold_start"] is None


def test_what_fails_behind_the_latencies_leaves_them(
    toys: Toys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise BackendError("The photo is too dark")

    monkeypatch.setattr(whole, "step_quality", fail)
    report, page = tmp_path / "report.json", tmp_path / "p.html"
    options = ("--backend", "onnxruntime", "--steps", 0, "--runs", 1, "--quality", "-o", report, "--html", page)
    shown = profile(toys("hyperstyle"), *options)
    assert shown.exit_code == 2
    assert "too dark" in shown.stderr
    assert len(read_report(report)["cases"][0]["seconds"]) == 1
    assert "too dark" in page.read_text()
    assert "encoder" in shown.stdout


def test_layers_are_refused_before_anything_is_measured(toys: Toys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "onnxruntime", replace(BACKENDS["onnxruntime"], nodes=False))
    monkeypatch.setattr(Inverter, "run", None)
    shown = profile(toys("hyperstyle"), "--backend", "onnxruntime", "--layers")
    assert shown.exit_code == 2
    assert "tells no times of nodes" in shown.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--backend", "onnx"], "Unknown backend"),
        (["--batch", "0"], "from 1"),
        (["--batch", "1,x"], "from 1"),
        (["--steps", ""], "from 0 to 1000"),
        (["--steps", "5,1001"], "from 0 to 1000"),
        (["--duration", "0"], "0.1"),
        (["--trace", "t.json"], "--layers"),
        (["--precision-hint", "fp8", "--backend", "openvino"], "Unknown precision hint"),
        (["--photos", "none.png"], "none.png"),
        (["-o", "none/report.json"], "no such folder"),
        (["--html", "."], "a folder of that name"),
    ],
)
def test_a_wrong_option_is_explained(toys: Toys, options: list[str], message: str) -> None:
    shown = profile(toys("hyperstyle"), *options)
    assert shown.exit_code == 2, shown.output
    assert message in shown.stderr
    assert "Traceback" not in shown.stderr


def test_a_missing_bundle_is_named(tmp_path: Path) -> None:
    shown = profile(tmp_path / "none.bundle")
    assert shown.exit_code == 2
    assert "none.bundle" in shown.stderr


def test_two_bundles_of_one_name_are_refused(toys: Toys) -> None:
    shown = profile(toys("hyperstyle"), toys("hyperstyle"))
    assert shown.exit_code == 2
    assert "one name" in shown.stderr


def test_quality_is_refused_where_there_is_nothing_to_compare_with(toys: Toys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Inverter, "run", None)
    shown = profile(toys("psp", kind="labels"), "--backend", "onnxruntime", "--quality")
    assert shown.exit_code == 2
    assert "labels as its input" in shown.stderr
    assert "--quality" in shown.stderr


def test_a_method_without_steps_takes_none(toys: Toys) -> None:
    shown = profile(toys("e4e"), "--backend", "onnxruntime", "--steps", "2")
    assert shown.exit_code == 2
    assert "No refinement steps are taken by e4e" in shown.stderr
