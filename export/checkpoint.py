"""Read a published checkpoint without running anything in it."""

import argparse
import pickle
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError
from ..install_hint import install_command
from ..runtime.bundle.files import sha256_of
from .archive import bomb, check_archive

#: Older releases of PyTorch had ways around ``weights_only=True``.
OLDEST_TORCH = (2, 10)

# What torch.load has been seen to raise on truncated, flipped or hostile bytes.
_LOAD_ERRORS = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ImportError,
    MemoryError,
    OverflowError,
)


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds: its tensors by name, the training options, the average code if there is one."""

    path: Path
    state: Mapping[str, Tensor]
    opts: Mapping[str, Any]
    latent_avg: Tensor | None

    @cached_property
    def sha256(self) -> str:
        """Checksum of the file, computed when it is asked for first."""
        return sha256_of(self.path)

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors below ``prefix``, the prefix removed."""
        return {name.removeprefix(f"{prefix}."): t for name, t in self.state.items() if name.startswith(f"{prefix}.")}


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint in the layout of HyperStyle, pSp, e4e and ReStyle.

    The file is memory-mapped, tensors land on the CPU, and only tensors, plain containers and ``argparse.Namespace``
    are accepted from the pickle. No path found inside the file is opened.

    Args:
        path: a zip file as ``torch.save`` has written it since PyTorch 1.6.

    Raises:
        CheckpointError: not such a file, damaged, larger than it looks, or it asks for another Python class.
    """
    return _checkpoint(path, _load(path))


def read_state(path: Path) -> Checkpoint:
    """Read a state dict that is a file's whole content, as torchvision and LPIPS have them, with the same care.

    Raises:
        CheckpointError: as ``read_checkpoint`` does; or it holds no tensors by name.
    """
    content = _load(path)
    if not isinstance(content, dict) or not content or not all(isinstance(name, str) for name in content):
        raise CheckpointError(f"{path} is no state dict", got=type(content).__name__, expected="tensors by name")
    for name, tensor in content.items():
        _check_tensor(path, name, tensor)
    return Checkpoint(path, content, {}, None)


def _load(path: Path) -> Any:
    _require_safe_torch()
    try:
        check_archive(path)
        _check_records(path)
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except _LOAD_ERRORS as error:
        raise _load_error(path, error) from error


def _require_safe_torch() -> None:
    version = torch.__version__.split("+")[0].split(".")
    if tuple(int(part) for part in version[:2]) < OLDEST_TORCH:
        raise CheckpointError(
            "This PyTorch can be tricked into running code from a checkpoint",
            got=torch.__version__,
            expected="2.10 or newer",
            hint=f"Install it with: {install_command('export')}",
        )


def _check_records(path: Path) -> None:
    """Look at what ``torch.load`` will unpack, through its own reader: two readers can be shown two directories."""
    reader = torch._C.PyTorchFileReader(str(path))
    claimed = sum(reader.get_record_size(name) for name in reader.get_all_records())
    if claimed > path.stat().st_size:
        raise bomb(path, f"{claimed} bytes from {path.stat().st_size}")
    # torch.load lets a pickle make a bytearray of any size, and writes to all of it.
    if b"bytearray\n" in reader.get_record("data.pkl"):
        raise bomb(path, "a bytearray")


def _load_error(path: Path, error: BaseException) -> CheckpointError:
    # torch.load wraps what its unpickler says in advice to load the file unsafely.
    text = str(error.__context__ if isinstance(error.__context__, pickle.UnpicklingError) else error)
    if "Unsupported global" in text or "GLOBAL" in text:
        refused = text.partition("GLOBAL ")[2].split(" ")[0] or "a Python class"
        return CheckpointError(
            f"{path} asks for Python code to be run",
            got=refused,
            expected="tensors, numbers, strings, lists, dicts and argparse.Namespace",
            hint="Save it again from the program that made it, with plain values in its options.",
        )
    first_line = text.strip().splitlines()[0] if text.strip() else type(error).__name__
    return CheckpointError(f"Cannot read {path}", got=first_line[:200], hint="It is damaged: download it again.")


def _checkpoint(path: Path, content: Any) -> Checkpoint:
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds no dictionary", got=type(content).__name__)
    state = content.get("state_dict")
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise CheckpointError(
            f"{path} has no state_dict",
            got=f"keys {sorted(map(str, content))[:12]}",
            expected="state_dict, opts, latent_avg",
        )
    opts = content.get("opts", {})
    opts = vars(opts) if isinstance(opts, argparse.Namespace) else opts
    if not isinstance(opts, dict):
        raise CheckpointError(f"{path} has unusable opts", got=type(opts).__name__, expected="a dict or a Namespace")
    latent_avg = content.get("latent_avg")
    if latent_avg is not None and not isinstance(latent_avg, Tensor):
        raise CheckpointError(f"{path} has an unusable latent_avg", got=type(latent_avg).__name__, expected="a tensor")
    for name, tensor in state.items():
        _check_tensor(path, name, tensor)
    if latent_avg is not None:
        _check_tensor(path, "latent_avg", latent_avg)
    return Checkpoint(path, state, opts, latent_avg)


def _check_tensor(path: Path, name: str, tensor: Any) -> None:
    if not isinstance(tensor, Tensor) or tensor.layout != torch.strided or tensor.device.type != "cpu":
        got = f"{tensor.layout} on {tensor.device}" if isinstance(tensor, Tensor) else type(tensor).__name__
        raise CheckpointError(f"{path}: {name} is not a dense tensor", got=got)
    held = tensor.untyped_storage().nbytes()
    if tensor.numel() * tensor.element_size() > held:
        raise CheckpointError(
            f"{path}: {name} claims more elements than the file holds",
            got=f"{list(tensor.shape)}, strides {list(tensor.stride())}, {held} bytes",
        )
