"""Tiny seeded checkpoints of every method, written once a run."""

import sys
import types
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

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


#: The source that such a module carries: running it would leave a trace.
SOURCE = "import pathlib; pathlib.Path('ran').write_text('')"


@pytest.fixture
def ada(monkeypatch: pytest.MonkeyPatch) -> type[nn.Module]:
    """Modules that pickle as StyleGAN2-ADA's do, as long as the test writes files; reading needs none of them."""
    persistence, util = types.ModuleType("torch_utils.persistence"), types.ModuleType("dnnlib.util")

    def reconstructed(meta: dict[str, Any]) -> None:
        raise AssertionError("a file was run")

    reconstructed.__module__, reconstructed.__qualname__ = "torch_utils.persistence", "_reconstruct_persistent_obj"
    persistence._reconstruct_persistent_obj = reconstructed  # type: ignore[attr-defined]
    easy = type("EasyDict", (dict,), {"__module__": "dnnlib.util"})
    util.EasyDict = easy  # type: ignore[attr-defined]
    for name, module in (("torch_utils.persistence", persistence), ("dnnlib.util", util)):
        monkeypatch.setitem(sys.modules, name.partition(".")[0], types.ModuleType(name.partition(".")[0]))
        monkeypatch.setitem(sys.modules, name, module)

    class Persistent(nn.Module):
        def __init__(self, kind: str, **tensors: torch.Tensor) -> None:
            super().__init__()
            self.kind, self.act_gain, self._init_kwargs = kind, np.sqrt(2), easy(resolution=32, more=easy(x=1))
            self.counts, self.dtype = np.float64(3), torch.float32
            for name, tensor in tensors.items():
                if name in ("noise_const", "resample_filter"):
                    self.register_buffer(name, tensor)
                else:
                    setattr(self, name, nn.Parameter(tensor))

        def __reduce__(self) -> Any:
            meta = {
                "type": "class",
                "version": 6,
                "module_src": SOURCE,
                "class_name": self.kind,
                "state": self.__dict__,
            }
            return reconstructed, (meta,), None

    return Persistent
