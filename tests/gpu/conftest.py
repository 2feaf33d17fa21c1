"""What needs a GPU. Without one these tests are skipped; with REQUIRE_GPU=1 a skipped test is a failed one."""

import os
from collections.abc import Generator
from typing import Any

import pytest

from hyperstyle_deploy.benchmarks.cuda_driver import Device, NoGpuError


def _must_not_skip(report: Any) -> Any:
    if os.environ.get("REQUIRE_GPU") == "1" and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"REQUIRE_GPU=1, but: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    return _must_not_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    return _must_not_skip((yield))


@pytest.fixture(scope="session")
def device() -> Device:
    try:
        return Device()
    except NoGpuError as error:
        pytest.skip(str(error))
