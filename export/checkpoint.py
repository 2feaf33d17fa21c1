"""Read a published checkpoint without running anything in it."""

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError
from ..runtime.bundle.files import kind_of, sha256_of
from ..runtime.inspection import content_of
from .ada import generator_of, renamed, stored_tensors
from .archive import Archive, open_archive
from .pickles import PlainPickle, StoredStorage, StoredTensor, Unread, read_pickle, read_plain_pickle

MAX_AXES = 16
#: Files that are a state dict and nothing else, by a tensor that they alone have: IDInvert's three, LPIPS's two.
BARE = {
    "synthesis.layer0.const": "idinvert",
    "block0.conv.weight": "idinvert-encoder",
    "layer0.weight": "idinvert-vgg16",
    "features.0.weight": "lpips-trunk",
    "lin0.model.1.weight": "lpips-heads",
}
#: What ``torch.nn.DataParallel`` puts before the names of a network that it wraps, the whole or a part.
WRAPPER = re.compile(r"(?<![^.])module\.")
#: Where training keeps the generator that is the mean of many steps' ones, which is the one to use.
GENERATOR = "g_ema"


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
    """Read a checkpoint in the layout of HyperStyle, pSp, e4e and ReStyle, or a bare state dict of a kind in ``BARE``.

    The file is memory-mapped, tensors land on the CPU, and only tensors, plain values and ``argparse.Namespace``
    are accepted from the pickle. No path found inside the file is opened.

    Args:
        path: a zip file as ``torch.save`` has written it since PyTorch 1.6.

    Raises:
        CheckpointError: not such a file, damaged, larger than it looks, or it asks for another Python class.
    """
    archive, content = read_content(path)
    if isinstance(content, dict) and "state_dict" not in content and any(name in content for name in BARE):
        return _bare(archive, content)
    return _checkpoint(archive, content)


def read_generator(path: Path) -> Checkpoint:
    """Read a fine-tuned generator: as rosinality's StyleGAN2 and its heirs save it, below the key `g_ema`.

    Or a pickle as StyleGAN2-ADA publishes it, whose module `G_ema` is stored whole; its source does not run.

    Returns:
        Its tensors by rosinality's names under `g_ema.`; an average code is that of its own W, which nobody here needs.

    Raises:
        CheckpointError: as ``read_checkpoint`` does; or it holds no such generator.
    """
    if kind_of(path) == "a file" and content_of(path) == "a pickle":
        return _ada_generator(path)
    archive, content = read_content(path)
    state = content.get(GENERATOR) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state or not all(isinstance(name, str) for name in state):
        got = f"keys {sorted(map(str, content))[:12]}" if isinstance(content, dict) else type(content).__name__
        held = f"a {state.what}" if isinstance(state, Unread) else got
        raise CheckpointError(f"{path} has no generator", got=held, expected=f"a state dict under {GENERATOR}")
    tensors = Tensors(archive)
    named = {f"{GENERATOR}.{name}": tensors.tensor(name, value) for name, value in state.items()}
    return Checkpoint(path, named, {}, None)


def _ada_generator(path: Path) -> Checkpoint:
    pickle, content = read_plain_pickle(path)
    tensors = Tensors(pickle)
    found = {name: tensors.tensor(name, value) for name, value in stored_tensors(generator_of(path, content))}
    return Checkpoint(path, {f"{GENERATOR}.{name}": tensor for name, tensor in renamed(found).items()}, {}, None)


def read_state(path: Path) -> Checkpoint:
    """Read a state dict that is a file's whole content, as torchvision and LPIPS have them, with the same care.

    Raises:
        CheckpointError: as ``read_checkpoint`` does; or it holds no tensors by name.
    """
    return _bare(*read_content(path))


def read_content(path: Path) -> tuple[Archive, Any]:
    """What ``torch.save`` wrote, whatever it is, with tensors as descriptions; `Tensors` makes tensors of them.

    Raises:
        CheckpointError: as ``read_checkpoint`` does; of what is in it nothing has been looked at.
    """
    archive = open_archive(path)
    if "byteorder" in archive.records and bytes(archive.record("byteorder")) != b"little":
        raise CheckpointError(f"{path} was written on a machine that stores the highest byte first")
    return archive, read_pickle(bytes(archive.record("data.pkl")), path)


def _bare(archive: Archive, content: Any) -> Checkpoint:
    path = archive.path
    if not isinstance(content, dict) or not content or not all(isinstance(name, str) for name in content):
        raise CheckpointError(f"{path} is no state dict", got=type(content).__name__, expected="tensors by name")
    if held := sorted(name for name, value in content.items() if isinstance(value, dict)):
        raise CheckpointError(f"{path} is no state dict", got=f"dicts {held[:12]}", expected="tensors by name")
    tensors = Tensors(archive)
    return Checkpoint(path, {name: tensors.tensor(name, value) for name, value in content.items()}, {}, None)


def _checkpoint(archive: Archive, content: Any) -> Checkpoint:
    path = archive.path
    if not isinstance(content, dict):
        got = "Tensor" if isinstance(content, StoredTensor) else type(content).__name__
        raise CheckpointError(f"{path} holds no dictionary", got=got)
    state = content.get("state_dict")
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise _stateless(path, content)
    opts = content.get("opts", {})
    opts = vars(opts) if isinstance(opts, argparse.Namespace) else opts
    if not isinstance(opts, dict):
        got = "Tensor" if isinstance(opts, StoredTensor) else type(opts).__name__
        raise CheckpointError(f"{path} has unusable opts", got=got, expected="a dict or a Namespace")
    average = content.get("latent_avg")
    if not isinstance(average, StoredTensor | Unread | None):
        raise CheckpointError(f"{path} has an unusable latent_avg", got=type(average).__name__, expected="a tensor")
    tensors = Tensors(archive)
    latent_avg = None if average is None else tensors.tensor("latent_avg", average)
    unwrapped = {WRAPPER.sub("", name): value for name, value in state.items()}
    named = unwrapped if len(unwrapped) == len(state) else state
    return Checkpoint(path, {name: tensors.tensor(name, value) for name, value in named.items()}, opts, latent_avg)


def _stateless(path: Path, content: dict[Any, Any]) -> CheckpointError:
    """What a file without a state_dict is, where it is known."""
    if GENERATOR in content:
        return CheckpointError(
            f"{path} is a generator by itself",
            got=GENERATOR,
            expected="the checkpoint of a method",
            hint=f"A bundle draws with it, too: hyperstyle-deploy export CHECKPOINT --generator NAME={path} -o BUNDLE",
        )
    parts = any(str(name).startswith(("encoder.", "hypernet.")) for name in content)
    return CheckpointError(
        f"{path} has no state_dict",
        got=f"keys {sorted(map(str, content))[:12]}",
        expected="state_dict, opts, latent_avg",
        hint="Put these tensors below state_dict, and the options of their training below opts." if parts else None,
    )


class Tensors:
    """The tensors of an archive, in the mapped file; those of one storage stay so."""

    def __init__(self, archive: Archive | PlainPickle) -> None:
        self._archive = archive
        self._storages: dict[str, torch.UntypedStorage] = {}

    def tensor(self, name: str, value: Any) -> Tensor:
        """The tensor that a pickle describes.

        Raises:
            CheckpointError: it is none, or reaches beyond what the file holds of it.
        """
        path = self._archive.path
        if not isinstance(value, StoredTensor):
            got = value.what if isinstance(value, Unread) else type(value).__name__
            raise CheckpointError(f"{path}: {name} is not a dense tensor", got=got)
        storage, shape, stride = value.storage, value.shape, value.stride
        if len(shape) != len(stride) or min((value.offset, *shape, *stride)) < 0 or len(shape) > MAX_AXES:
            raise CheckpointError(f"{path}: {name} has no shape", got=f"{shape}, strides {stride}, at {value.offset}")
        numel = prod(shape)
        last = value.offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
        if numel > storage.numel or (numel and last >= storage.numel):
            raise CheckpointError(
                f"{path}: {name} claims more elements than the file holds",
                got=f"{list(shape)}, strides {list(stride)}, at {value.offset} of {storage.numel}",
            )
        empty = torch.empty(0, dtype=getattr(torch, storage.dtype))
        return empty.set_(self._storage(name, storage), value.offset, shape, stride)

    def _storage(self, name: str, stored: StoredStorage) -> torch.UntypedStorage:
        if stored.key not in self._storages:
            record = self._archive.record(f"data/{stored.key}")
            # An empty buffer is none to PyTorch.
            self._storages[stored.key] = (
                torch.frombuffer(record, dtype=torch.uint8).untyped_storage()
                if len(record)
                else torch.UntypedStorage(0)
            )
        held, needed = self._storages[stored.key].nbytes(), stored.numel * getattr(torch, stored.dtype).itemsize
        if held != needed:
            raise CheckpointError(
                f"{self._archive.path}: {name} is of another length than the file holds",
                got=f"{held} bytes",
                expected=f"{needed} bytes",
            )
        return self._storages[stored.key]
