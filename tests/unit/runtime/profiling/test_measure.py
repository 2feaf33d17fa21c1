"""What is measured: stages by a clock, warm-up, budgets, turns, streams, and what Ctrl-C leaves."""

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from hyperstyle_deploy.runtime.manifest.manifest import Manifest
from hyperstyle_deploy.runtime.refinement.loop import invert
from hyperstyle_deploy.runtime.profiling.cases import Case, Setup, sweep
from hyperstyle_deploy.runtime.profiling.measure import MAX_WARMUP_RUNS, Budget, Inverter, Measurement, measure
from hyperstyle_deploy.runtime.profiling.quality import step_quality
from hyperstyle_deploy.runtime.profiling.stage_clock import Span, StageClock

from .conftest import STAGE_SECONDS, ClockedBackend

CASE = Case(Setup(Path("x.bundle"), "onnxruntime"))


@dataclass
class Scripted:
    """An inverter whose runs take the seconds that are written here, over and over."""

    case: Case = CASE
    seconds: tuple[float, ...] = (1.0,)
    clocked: float = 1.01
    interrupt_at: int | None = None
    log: list[str] = field(default_factory=list)

    def run(self) -> tuple[list[float], float]:
        if len(self.log) == self.interrupt_at:
            raise KeyboardInterrupt
        self.log.append("plain")
        second = self.seconds[min(self.log.count("plain"), len(self.seconds)) - 1]
        return [second] * self.case.streams, second

    def run_clocked(self) -> tuple[list[float], float, list[list[Span]]]:
        self.log.append("clocked")
        streams = self.case.streams
        return [self.clocked] * streams, self.clocked, [[Span("encoder", 0.0, 0.5)]] * streams


def run(*inverters: Scripted, budget: Budget) -> list[Measurement]:
    measurements = [Measurement() for _ in inverters]
    measure(inverters, measurements, budget)  # type: ignore[arg-type]
    return measurements


def test_the_clock_sees_every_stage_in_its_place(clocked_backend: ClockedBackend, manifest: Manifest) -> None:
    clock = StageClock(clocked_backend)  # type: ignore[arg-type]
    result = invert(clock.as_backend(), manifest, np.zeros((1, 3, 256, 256), np.float32), 2)
    assert result.l2.shape == (1, 3)
    spans = clock.take()
    assert [span.stage for span in spans] == clocked_backend.ran
    assert [span.seconds for span in spans] == [STAGE_SECONDS[stage] for stage in clocked_backend.ran]
    starts = np.cumsum([0.0, *(span.seconds for span in spans)])[:-1]
    np.testing.assert_allclose([span.start for span in spans], starts)
    assert clock.take() == []


def test_warm_up_ends_when_runs_agree() -> None:
    (found,) = run(Scripted(seconds=(9.0, 3.0, 2.0, 1.0, 1.0, 1.01)), budget=Budget(1000, 4))
    assert found.warmup == [9.0, 3.0, 2.0, 1.0, 1.0, 1.01]
    assert found.stable
    assert len(found.inversions) == 4


def test_a_machine_that_never_becomes_stable_is_said_to_be_so() -> None:
    (found,) = run(Scripted(seconds=tuple(range(1, 99))), budget=Budget(1e9, 1))
    assert not found.stable
    assert len(found.warmup) == MAX_WARMUP_RUNS


def test_a_slow_case_warms_up_once_and_is_stable_if_its_first_runs_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    for seconds, stable in (((9.0, 4.9, 4.9, 5.1), True), ((9.0, 4.9, 6.0, 5.1), False)):
        inverter = Scripted(seconds=seconds, clocked=4.9)
        monkeypatch.setattr(time, "perf_counter", lambda log=inverter.log: 5.0 * len(log))
        (found,) = run(inverter, budget=Budget(10.0, 100))
        assert found.warmup == [9.0]
        assert found.inversions == list(seconds[1:])
        assert inverter.log == ["plain", "plain", "clocked", "plain", "plain"]  # no clock without time for it
        assert found.stable is stable


def test_a_budget_ends_by_runs_or_by_seconds_but_not_before_three() -> None:
    assert len(run(Scripted(), budget=Budget(1000, 7))[0].inversions) == 7
    assert len(run(Scripted(), budget=Budget(1000, 1))[0].inversions) == 1
    assert len(run(Scripted(), budget=Budget(20.1, 100))[0].inversions) == 10  # 2.01 s a round
    assert len(run(Scripted(), budget=Budget(0.001, 100))[0].inversions) == 3


def test_plain_and_clocked_runs_take_turns_and_the_overhead_is_their_ratio() -> None:
    inverter = Scripted()
    (found,) = run(inverter, budget=Budget(1000, 6))
    assert inverter.log[3:] == ["plain", "clocked", "clocked", "plain"] * 3
    assert found.overhead == pytest.approx((0.01, 0.01, 0.01))


def test_of_few_pairs_nothing_is_said_of_the_overhead() -> None:
    assert run(Scripted(), budget=Budget(1000, 4))[0].overhead is None


def test_streams_have_the_whole_time() -> None:
    (found,) = run(Scripted(Case(CASE.setup, streams=4)), budget=Budget(20.1, 100))
    assert len(found.elapsed) == len(found.clocked_elapsed) == 10
    assert len(found.inversions) == len(found.clocked) == len(found.spans) == 40


def test_cases_take_turns() -> None:
    order: list[str] = []
    inverters = [Scripted(log=order), Scripted(log=order)]
    first, second = run(*inverters, budget=Budget(1000, 3))
    assert len(first.inversions) == len(second.inversions) == 3
    assert len(order) == 6 + 12


def test_ctrl_c_leaves_what_was_measured() -> None:
    measurements = [Measurement()]
    with pytest.raises(KeyboardInterrupt):
        measure([Scripted(interrupt_at=7)], measurements, Budget(1000, 100))  # type: ignore[list-item]
    assert measurements[0].stable
    assert len(measurements[0].inversions) == 2


def test_streams_run_at_once_and_batches_are_of_photos_that_differ(
    clocked_backend: ClockedBackend, manifest: Manifest
) -> None:
    case = Case(CASE.setup, batch=2, steps=1, streams=3)
    inverter = Inverter(clocked_backend, manifest, case, np.random.default_rng(0).random((3, 256, 256), np.float32))  # type: ignore[arg-type]
    seconds, elapsed = inverter.run()
    assert len(seconds) == 3
    assert elapsed >= max(seconds)
    assert clocked_backend.ran.count("encoder") == 3
    assert clocked_backend.ran.count("synthesis_one") == 3 * 2 * 2
    assert inverter._photos.shape == (2, 3, 256, 256)
    assert not np.array_equal(*inverter._photos)


def test_quality_is_told_step_by_step(clocked_backend: ClockedBackend, manifest: Manifest) -> None:
    photos = [np.zeros((3, 256, 256), np.float32), np.full((3, 256, 256), 0.25, np.float32)]
    steps = step_quality(clocked_backend, manifest, photos, 2)  # type: ignore[arg-type]
    assert [step.l2_each for step in steps] == [(1.0, 0.5625), (0.25, 0.0625), (0.0625, 0.0)]
    np.testing.assert_allclose([step.seconds for step in steps], [1.5, 4.75, 8.0])
    assert steps[0].gain is None
    assert steps[1].gain == pytest.approx((0.75 + (1 - 0.0625 / 0.5625)) / 2)
    assert steps[0].l2 == pytest.approx((1 + 0.5625) / 2)
    assert steps[1].psnr == pytest.approx((10 * np.log10(4 / 0.25) + 10 * np.log10(4 / 0.0625)) / 2)


def test_a_sweep_is_every_combination_once() -> None:
    cases = sweep(
        [Path("a"), Path("b")], ["openvino", "onnxruntime"], (1, 2), ("f32", "bf16"), (1, 4), (5,), (1, 2), device=3
    )
    assert len(cases) == len(set(cases)) == 2 * (4 + 2) * 2 * 2  # hints are OpenVINO's alone
    assert {case.setup.device for case in cases} == {None}
    (gpu,) = sweep([Path("a")], ["tensorrt"], (2,), ("bf16",), device=3)
    assert (gpu.setup.threads, gpu.setup.precision_hint, gpu.setup.device) == (None, None, 3)
    assert len({case.name for case in cases}) == len(cases)
