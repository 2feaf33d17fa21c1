"""Encoders as small files: NumPy's .npz, a byte a number, without what no picture reaches."""

import json
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ..export.networks.encoders import StylesEncoder
from ..runtime.bundle.files import atomic_file

State: TypeAlias = dict[str, Tensor]
#: What a tensor's scale is called, behind the tensor's own name; and the options, JSON as bytes.
_SCALE, _OPTIONS = ".scale", "options"


def write_packed(path: Path, encoder: StylesEncoder, options: dict[str, Any]) -> None:
    """Write an encoder and its options."""
    state = in_bytes(without_unused(encoder))
    arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in state.items()}
    arrays[_OPTIONS] = np.frombuffer(json.dumps(options).encode(), np.uint8)
    with atomic_file(path) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def read_packed(path: Path) -> tuple[State, dict[str, Any]]:
    """An encoder's tensors, its numbers float32, and its options."""
    with np.load(path, allow_pickle=False) as stored:
        arrays = dict(stored)
    options = json.loads(arrays.pop(_OPTIONS).tobytes())
    return in_floats({name: torch.from_numpy(array) for name, array in arrays.items()}), options


def without_unused(encoder: StylesEncoder) -> State:
    """The encoder's tensors, zeros where nothing is read.

    The last convolution of a style block sees 2x2 pixels and gives one: of its nine taps five lie on the padding, keep
    what they were initialised with, and are better zeros.
    """
    state = dict(encoder.state_dict())
    for row, block in enumerate(encoder.styles):
        assert encoder.shape.convs
        last = max(
            name for name, _ in block.named_parameters() if name.startswith("convs.") and name.endswith("weight")
        )
        weight = state[f"styles.{row}.{last}"].clone()
        weight[:, :, 0, :] = weight[:, :, :, 0] = 0
        state[f"styles.{row}.{last}"] = weight
    return state


def in_bytes(state: State) -> State:
    """A state dict with matrices and filters as INT8, and beside each its scale, a number an output."""
    packed = {}
    for name, tensor in state.items():
        packed[name] = tensor
        if tensor.dim() > 1:
            scale = tensor.flatten(1).abs().amax(1).clamp(min=1e-12) / 127
            packed[name] = (tensor / _by_output(scale, tensor)).round().to(torch.int8)
            packed[name + _SCALE] = scale
    return packed


def in_floats(state: State) -> State:
    """What `in_bytes` packed, float32; each number is off by half a scale at most."""
    return {
        name: tensor * _by_output(state[name + _SCALE], tensor) if tensor.dtype is torch.int8 else tensor
        for name, tensor in state.items()
        if not name.endswith(_SCALE)
    }


def _by_output(scale: Tensor, tensor: Tensor) -> Tensor:
    return scale.view(-1, *[1] * (tensor.dim() - 1))
