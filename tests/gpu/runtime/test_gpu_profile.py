"""Profiling on a GPU: stages by the device's own events, layers by the engines' profilers, one whole profile."""

import time

import pytest

from hyperstyle_deploy.errors import BackendError
from hyperstyle_deploy.runtime.backends.engines.record import MODULES
from hyperstyle_deploy.runtime.profiling.cases import Case, Setup
from hyperstyle_deploy.runtime.profiling.measure import Budget
from hyperstyle_deploy.runtime.profiling.profile import Wanted, profile
from hyperstyle_deploy.runtime.profiling.stage_clock import StageClock
from hyperstyle_deploy.runtime.refinement.loop import refine
from hyperstyle_deploy.tests.gpu.runtime.conftest import FACES, Rig

STAGES = ["encoder", "synthesis_one", "hypernet", "weights", "synthesis_one"]


def test_events_lie_in_order_and_within_the_time_that_the_host_sees(rig: Rig) -> None:
    batch = rig.gpu.prepare([FACES])
    list(refine(rig.backend, batch, 1))
    clock = StageClock(rig.backend)
    started = time.perf_counter()
    list(refine(clock, batch, 1))
    elapsed = time.perf_counter() - started
    spans = clock.take()
    assert [span.stage for span in spans] == STAGES
    assert all(span.seconds > 0 for span in spans)
    assert spans[-1].start + spans[-1].seconds <= elapsed


def test_a_whole_profile(rig: Rig) -> None:
    name = rig.gpu.backend
    case = Case(Setup(rig.bundle, name, device=0), steps=1)
    nodes = name in MODULES
    document = profile([case], [FACES], Budget(2.0, 5), Wanted(cold_start=True, nodes=nodes, quality=True)).to_json()
    (entry,) = document["cases"]
    assert entry["inversion"]["count"] >= 3
    assert {row["stage"] for row in entry["stages"]} == {*STAGES, "between stages"}
    assert entry["cold_start"]["first_inversion_s"] > 0
    assert len(entry["quality"]) == 2
    if nodes:
        assert entry["nodes"]["peaks"]["flops"] is None
        assert entry["nodes"]["peaks"]["bytes"] > 1e10
        told = {row["stage"] for row in entry["nodes"]["operators"]}
        assert told == {"encoder", "hypernet", "offsets", "synthesis_one"}


def test_onnx_runtime_says_that_it_tells_no_layers(rig: Rig) -> None:
    if rig.gpu.backend in MODULES:
        return  # the test above
    with pytest.raises(BackendError, match="tells no times of nodes"):
        rig.backend.node_runs()
