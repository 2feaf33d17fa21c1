"""What is measured: stages by a clock, warm-up, budgets, turns, streams, and what Ctrl-C leaves."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from hyperstyle_deploy.errors import ArrayError, BundleError
from hyperstyle_deploy.runtime.profiling.cases import Case, Setup, steps_of, sweep
from hyperstyle_deploy.runtime.profiling.measure import (
    MAX_WARMUP_RUNS,
    Budget,
    Inverter,
    Measurement,
    inverted,
    measure,
)
from hyperstyle_deploy.runtime.profiling.quality import step_quality
from hyperstyle_deploy.runtime.profiling.stage_clock import Span, StageClock
from hyperstyle_deploy.tests.unit.runtime.profiling.conftest import STAGE_SECONDS, ClockedBackend

Clocked = Callable[..., ClockedBackend]
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


STEP = ["hypernet", "weights", "synthesis_one"]
LOOPS = {
    "hyperstyle": ("hyperstyle", {}, ["encoder", "synthesis_one", *STEP, *STEP]),
    "e4e": ("e4e", {}, ["encoder", "synthesis_one"]),
    "restyle": ("restyle-e4e", {}, ["synthesis_one", *["encoder", "synthesis_one"] * 2]),
    "a ReStyle encoder's codes": (
        "hyperstyle",
        {"encoder_steps": 2},
        [*["encoder_synthesis", "encoder"] * 2, "synthesis_one", *STEP, *STEP],
    ),
}


@pytest.mark.parametrize("loop", LOOPS)
def test_the_clock_sees_every_stage_in_its_place(clocked: Clocked, loop: str) -> None:
    method, options, stages = LOOPS[loop]
    backend = clocked(method, **options)
    clock = StageClock(backend)
    steps = 2 if backend.method.refines else 0
    (result,) = inverted(clock, np.zeros((1, 3, 32, 32), np.float32), steps)
    assert len(result.l2) == steps + 1
    assert clock.runs == len(stages)
    spans = clock.take()
    assert [span.stage for span in spans] == backend.ran == stages
    assert [span.seconds for span in spans] == [STAGE_SECONDS[stage] for stage in stages]
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


def test_streams_run_at_once_and_batches_are_of_photos_that_differ(clocked: Clocked) -> None:
    case, backend = Case(CASE.setup, batch=2, steps=1, streams=3), clocked()
    inverter = Inverter(backend, case, np.random.default_rng(0).random((3, 32, 32), np.float32))
    seconds, elapsed = inverter.run()
    assert len(seconds) == 3
    assert elapsed >= max(seconds)
    assert backend.ran.count("encoder") == 3
    assert backend.ran.count("synthesis_one") == 3 * 2 * 2
    assert inverter._photos.shape == (2, 3, 32, 32)
    assert not np.array_equal(*inverter._photos)


PHOTOS = [np.zeros((3, 32, 32), np.float32), np.full((3, 32, 32), 0.25, np.float32)]


def test_quality_is_told_step_by_step(clocked: Clocked) -> None:
    steps = step_quality(clocked(), PHOTOS, 2)
    assert [step.l2_each for step in steps] == [(1.0, 0.5625), (0.25, 0.0625), (0.0625, 0.0)]
    np.testing.assert_allclose([step.seconds for step in steps], [1.5, 4.75, 8.0])
    assert steps[0].gain is None
    assert steps[1].gain == pytest.approx((0.75 + (1 - 0.0625 / 0.5625)) / 2)
    assert steps[0].l2 == pytest.approx((1 + 0.5625) / 2)
    assert steps[1].psnr == pytest.approx((10 * np.log10(4 / 0.25) + 10 * np.log10(4 / 0.0625)) / 2)


def test_quality_without_refinement_is_one_row(clocked: Clocked) -> None:
    (only,) = step_quality(clocked("psp"), PHOTOS, 0)
    assert (only.steps, only.seconds, only.gain, only.l2_each) == (0, 1.5, None, (1.0, 0.5625))


def test_a_sweep_is_every_combination_once() -> None:
    bundles = {Path("a"): (5,), Path("b"): (0,)}
    cases = sweep(bundles, ["openvino", "onnxruntime"], (1, 2), ("f32", "bf16"), (1, 4), (1, 2), device=3)
    assert len(cases) == len(set(cases)) == 2 * (4 + 2) * 2 * 2  # hints are OpenVINO's alone
    assert {case.setup.device for case in cases} == {None}
    assert {(case.setup.bundle.name, case.steps) for case in cases} == {("a", 5), ("b", 0)}
    (gpu,) = sweep({Path("a"): (5,)}, ["tensorrt"], (2,), ("bf16",), device=3)
    assert (gpu.setup.threads, gpu.setup.precision_hint, gpu.setup.device) == (None, None, 3)
    assert len({case.name for case in cases}) == len(cases)


def test_steps_are_each_bundles_own(toys: Callable[..., Path]) -> None:
    slow, quick = toys("restyle-psp"), toys("psp")
    assert steps_of([slow, quick], None) == {slow: (5,), quick: (0,)}
    assert steps_of([slow, quick], (1, 3)) == {slow: (1, 3), quick: (0,)}
    assert steps_of([quick], (0,)) == {quick: (0,)}
    with pytest.raises(ArrayError, match=r"No refinement steps are taken by psp\. Got: 3\."):
        steps_of([quick], (0, 3))
    with pytest.raises(ArrayError, match="Two bundles have one name"):
        steps_of([slow, slow], None)
    with pytest.raises(BundleError, match="is not a bundle"):
        steps_of([slow.with_name("none")], None)
