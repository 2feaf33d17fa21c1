"""Tiny seeded checkpoints of every method, written once a run."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from hyperstyle_deploy.export.checkpoint import Checkpoint, read_checkpoint
from hyperstyle_deploy.export.seeded import TINY, write_checkpoints
from hyperstyle_deploy.tests.quick_tracing import quicken_tracing

#: A method and options of ``write_checkpoints`` to the paths of its files.
Written = Callable[..., tuple[Path, ...]]
#: The same to what was read from them; tests change copies of it.
Read = Callable[..., tuple[Checkpoint, ...]]


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    quicken_tracing()

    @cache
    def write(method: str = "hyperstyle", **options: Any) -> tuple[Path, ...]:
        return write_checkpoints(tmp_path_factory.mktemp("tiny"), method, TINY, **options)

    return write


@pytest.fixture(scope="session")
def read(written: Written) -> Read:
    @cache
    def read(method: str = "hyperstyle", **options: Any) -> tuple[Checkpoint, ...]:
        return tuple(map(read_checkpoint, written(method, **options)))

    return read
