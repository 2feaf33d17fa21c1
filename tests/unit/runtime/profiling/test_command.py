"""`profile` on the demo's bundle, as a user runs it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hyperstyle_deploy.cli import main
from hyperstyle_deploy.errors import BackendError
from hyperstyle_deploy.runtime.backends import BACKENDS, available
from hyperstyle_deploy.runtime.profiling import profile as whole
from hyperstyle_deploy.runtime.profiling.cases import Case
from hyperstyle_deploy.runtime.profiling.cold_start import ColdStart
from hyperstyle_deploy.runtime.profiling.document import read_report
from hyperstyle_deploy.runtime.profiling.measure import Inverter

#: FLOPs of one run of each stage at 256, two a multiply-accumulate, in units of 1e9, counted by hand from the graphs.
GFLOP = {"encoder": 65.7, "hypernet": 41.3, "weights": 24.4, "synthesis_one": 90.7}


def profile(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["profile", *map(str, arguments)])


def test_everything_at_once_on_every_backend(faces256_bundle: Path, tmp_path: Path) -> None:
    names = ",".join(available())
    paths = {name: tmp_path / name for name in ("report.json", "page.html", "trace.json")}
    shown = profile(
        faces256_bundle, "--backend", names, "--threads", 2, "--steps", 1, "--runs", 1, "--duration", 1,
        "--layers", "--quality", "-o", paths["report.json"], "--html", paths["page.html"],
        "--trace", paths["trace.json"],
    )  # fmt: skip
    assert shown.exit_code == 0, shown.output
    document = read_report(paths["report.json"])
    assert [case["setup"]["backend"] for case in document["cases"]] == list(available())
    for case in document["cases"]:
        rows = {row["stage"]: row for row in case["stages"]}
        assert {name: row["runs"] for name, row in rows.items()} == {
            "encoder": 1, "synthesis_one": 2, "hypernet": 1, "weights": 1, "between stages": 1,
        }  # fmt: skip
        assert sum(row["share"] for row in rows.values()) == pytest.approx(1.0, abs=0.01)
        assert [step["steps"] for step in case["quality"]] == [0, 1]
        assert case["quality"][0]["seconds"] < case["quality"][1]["seconds"]
        operators = case["layers"]["operators"]
        for stage, gflop in GFLOP.items():
            flops = sum(row["flops"] for row in operators if row["stage"] == stage)
            assert flops / 1e9 == pytest.approx(gflop * (2 if stage == "synthesis_one" else 1), rel=0.02), stage
        told = sum(row["seconds"] for row in operators)
        assert told == pytest.approx(sum(row["seconds"] for row in case["layers"]["layers"]))
        assert case["seconds"][0] < 20 * told < 400 * case["seconds"][0]  # of the same size, on any machine
    events = json.loads(paths["trace.json"].read_bytes())["traceEvents"]
    assert {event["pid"] for event in events} == set(range(1, len(available()) + 1))
    assert {"encoder", "hypernet", "weights", "synthesis_one"} <= {event["name"] for event in events}
    assert paths["page.html"].read_text().count("<svg") == 3 + len(available())
    assert "encoder" in shown.stdout
    again = CliRunner().invoke(main, ["profile", "compare", *[str(paths["report.json"])] * 2, "--fail-above", "1.01"])
    assert again.exit_code == 0
    assert "1.000" in again.stdout


def test_a_cold_start_is_a_process_of_its_own(faces256_bundle: Path) -> None:
    options = ("--backend", "onnxruntime", "--steps", 0, "--runs", 1, "--duration", 0.1, "--cold-start", "--json")
    shown = profile(faces256_bundle, *options)
    assert shown.exit_code == 0, shown.output
    document = json.loads(shown.stdout)
    (case,) = document["cases"]
    constants = sum(file.stat().st_size for file in faces256_bundle.glob("*.safetensors"))
    assert constants / 4 < case["cold_start"]["peak_bytes"] < 4 * constants
    assert 0 < case["cold_start"]["load_s"] < 300
    assert case["cold_start"]["device_bytes"] is None
    assert document["environment"]["memory"]["peak_bytes"] > constants / 4


def test_ctrl_c_writes_what_was_measured(
    faces256_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def run(inverter: Inverter) -> tuple[list[float], float]:
        calls.append(1)
        if len(calls) == 5:  # after three of the warm-up and one that counts
            raise KeyboardInterrupt
        return [1.0], 1.0

    monkeypatch.setattr(Inverter, "run", run)
    report = tmp_path / "report.json"
    options = ("--backend", "onnxruntime", "--steps", 0, "-o", report, "--html", tmp_path / "p.html")
    shown = profile(faces256_bundle, *options)
    assert shown.exit_code == 130
    assert "Stopped" in shown.stderr
    document = read_report(report)
    assert document["interrupted"] is True
    assert document["cases"][0]["seconds"] == [1.0]
    assert "was interrupted" in (tmp_path / "p.html").read_text()


def test_ctrl_c_in_a_cold_start_keeps_those_before(
    faces256_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(case: Case) -> ColdStart:
        if case.batch == 2:
            raise KeyboardInterrupt
        return ColdStart(1.0, 2.0, 3, None)

    monkeypatch.setattr(whole, "cold_start", start)
    report = tmp_path / "report.json"
    shown = profile(
        faces256_bundle, "--backend", "onnxruntime", "--batch", "1,2", "--cold-start", "-o", report
    )  # fmt: skip
    assert shown.exit_code == 130
    first, second = read_report(report)["cases"]
    assert first["cold_start"] == {"load_s": 1.0, "first_inversion_s": 2.0, "peak_bytes": 3, "device_bytes": None}
    assert second["cold_start"] is None


def test_what_fails_behind_the_latencies_leaves_them(
    faces256_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise BackendError("The photo is too dark")

    monkeypatch.setattr(whole, "step_quality", fail)
    report, page = tmp_path / "report.json", tmp_path / "p.html"
    options = ("--backend", "onnxruntime", "--steps", 0, "--runs", 1, "--quality", "-o", report, "--html", page)
    shown = profile(faces256_bundle, *options)
    assert shown.exit_code == 2
    assert "too dark" in shown.stderr
    assert len(read_report(report)["cases"][0]["seconds"]) == 1
    assert "too dark" in page.read_text()
    assert "encoder" in shown.stdout


def test_layers_are_refused_before_anything_is_measured(faces256_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "onnxruntime", replace(BACKENDS["onnxruntime"], layers=False))
    monkeypatch.setattr(Inverter, "run", None)
    shown = profile(faces256_bundle, "--backend", "onnxruntime", "--layers")
    assert shown.exit_code == 2
    assert "tells no times of nodes" in shown.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--backend", "onnx"], "Unknown backend"),
        (["--batch", "0"], "from 1"),
        (["--batch", "1,x"], "from 1"),
        (["--steps", ""], "from 0"),
        (["--duration", "0"], "0.1"),
        (["--trace", "t.json"], "--layers"),
        (["--precision-hint", "fp8", "--backend", "openvino"], "Unknown precision hint"),
        (["--photos", "none.png"], "none.png"),
        (["-o", "none/report.json"], "no such folder"),
        (["--html", "."], "a folder of that name"),
    ],
)
def test_a_wrong_option_is_explained(faces256_bundle: Path, options: list[str], message: str) -> None:
    shown = profile(faces256_bundle, *options)
    assert shown.exit_code == 2, shown.output
    assert message in shown.stderr
    assert "Traceback" not in shown.stderr


def test_a_missing_bundle_is_named(tmp_path: Path) -> None:
    shown = profile(tmp_path / "none.bundle")
    assert shown.exit_code == 2
    assert "none.bundle" in shown.stderr


def test_two_bundles_of_one_name_are_refused(faces256_bundle: Path) -> None:
    shown = profile(faces256_bundle, faces256_bundle)
    assert shown.exit_code == 2
    assert "one name" in shown.stderr
