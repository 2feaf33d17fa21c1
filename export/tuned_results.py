"""What PTI's own program leaves (Roich et al. 2022): a pivot and a tuned StyleGAN2-ADA generator, as an inversion here.

It saves the generator as a whole module, whose class's source would run when PyTorch loads it. Here nothing of it runs:
tensors are taken from the attributes of stored modules (`export/pickles.py`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import CheckpointError, printable
from ..runtime.bundle.inversion import Inversion
from ..runtime.bundle.reader import Bundle
from ..runtime.manifest.layers import Layer
from ..runtime.methods.base import CODES
from ..runtime.methods.tuning import DIFFERENCES, INPUT, tuned_tensors
from .ada import CONVOLUTION, GENERATOR, TO_RGB, stored_tensors, their_layer
from .checkpoint import Tensors, read_content
from .personal_weights import generator_state
from .pickles import StoredModule, StoredTensor

#: Largest accepted difference between noise buffers: both are copies of the same numbers.
_NOISE_TOLERANCE = 1e-4


def import_tuned(bundle: Path, checkpoint: Path, model: Path, pivot: Path) -> Inversion:
    """A result of PTI's program as an inversion by ``pti``.

    Args:
        bundle: exported with ``--gradients pti`` from a checkpoint with the generator that was tuned.
        checkpoint: that checkpoint.
        model: `model_<run>_<name>.pt`, the tuned generator.
        pivot: `embeddings/<id>/PTI/<name>/0.pt`, codes [1, styles, width].

    Raises:
        BundleError: the bundle cannot be opened or has no graphs of PTI.
        CheckpointError: a file cannot be read, is not of its kind, or another generator was tuned.
    """
    manifest = Bundle.open(bundle, "pti").manifest
    base, tuned = generator_state(manifest, checkpoint), read_tuned(model)
    _check_noises(model, tuned, base, manifest.layers)
    names, shapes = _their_names(manifest.layers), tuned_tensors(manifest.layers, manifest.generator.width)
    row = [
        (_tensor(model, tuned, names[name], shape) - _tensor(checkpoint, base, name, shape)).reshape(-1)
        for name, shape in shapes.items()
    ]
    codes = _pivot(pivot, manifest.generator.styles, manifest.generator.width)
    arrays = {CODES: codes, DIFFERENCES: torch.cat(row).numpy()}
    return Inversion(arrays, 0, "pti", manifest.model, source={"imported": printable(model.name)})


def read_tuned(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a saved StyleGAN2-ADA generator, or of its state dict: ``synthesis.b4.conv1.weight``.

    Raises:
        CheckpointError: it cannot be read, or holds no such generator.
    """
    archive, content = read_content(path)
    if isinstance(content, StoredModule) and content.kind == GENERATOR:
        found = dict(stored_tensors(content))
    elif isinstance(content, dict) and content and all(isinstance(name, str) for name in content):
        found = content
    else:
        raise CheckpointError(
            f"{path} is no generator as PTI saves it",
            got=content.kind if isinstance(content, StoredModule) else type(content).__name__,
            expected="the module Generator of StyleGAN2-ADA, or its state dict",
            hint="Where PTI runs: torch.save(G.state_dict(), FILE)",
        )
    tensors = Tensors(archive)
    return {name: tensors.tensor(name, value) for name, value in found.items()}


def _their_names(layers: Sequence[Layer]) -> dict[str, str]:
    """StyleGAN2-ADA's name of every tuned tensor."""
    return {INPUT: "synthesis.b4.const"} | {
        f"{layer.name}.{ours}": f"{their_layer(layer)}.{theirs}"
        for layer in layers
        for ours, theirs in (CONVOLUTION if layer.demodulated else TO_RGB).items()
    }


def _tensor(path: Path, tensors: Mapping[str, Tensor], name: str, shape: Sequence[int]) -> Tensor:
    """A tensor as the checkpoint shapes it, float32; axes of 1 may be elsewhere."""
    found = tensors.get(name)
    if found is None or [size for size in found.shape if size != 1] != [size for size in shape if size != 1]:
        got = "none" if found is None else list(found.shape)
        raise CheckpointError(
            f"{path} holds another generator than the bundle", got=f"{name} {got}", expected=list(shape)
        )
    return found.float().reshape(tuple(shape))


def _check_noises(path: Path, tuned: Mapping[str, Tensor], base: Mapping[str, Tensor], layers: Sequence[Layer]) -> None:
    """See that the noise buffers, which nobody tunes, are the generator's: then it is this one that was tuned.

    Raises:
        CheckpointError: they are others.
    """
    for index, layer in enumerate(layer for layer in layers if layer.demodulated):
        name, shape = f"{their_layer(layer)}.noise_const", (layer.resolution, layer.resolution)
        own = _tensor(path, base, f"noises.noise_{index}", shape)
        away = float((_tensor(path, tuned, name, shape) - own).abs().max())
        if not away <= _NOISE_TOLERANCE:
            raise CheckpointError(
                f"{path} was tuned from another generator than the bundle's",
                got=f"{name} differs by {away:.2g}",
                expected="the same noise",
                hint="Export the generator that PTI started from, or tune here: invert --method pti.",
            )


def _pivot(path: Path, styles: int, width: int) -> NDArray[np.float32]:
    archive, content = read_content(path)
    if not isinstance(content, StoredTensor):
        raise CheckpointError(f"{path} is no pivot", got=type(content).__name__, expected="a tensor")
    codes = Tensors(archive).tensor("the pivot", content)
    if codes.shape not in ((1, styles, width), (styles, width)):
        raise CheckpointError(
            f"{path} holds other codes than the bundle takes", got=list(codes.shape), expected=[1, styles, width]
        )
    return codes.float().reshape(styles, width).numpy().copy()
