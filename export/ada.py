"""StyleGAN2-ADA's generators: modules that are stored whole, and what their tensors are called in rosinality's layout.

Both are the same network (Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data"). ADA's
bound on activations (256, of networks that it trained in 16 bits) is not drawn with.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError
from ..runtime.manifest.layers import FIRST_RESOLUTION, Layer, layer_table
from .pickles import StoredModule

#: Names below a layer: those of the checkpoints that bundles are exported from, and StyleGAN2-ADA's.
_NAMES = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
}
CONVOLUTION = {**_NAMES, "activate.bias": "bias", "noise.weight": "noise_strength"}
TO_RGB = {**_NAMES, "bias": "bias"}
#: The generator that is the mean of many steps' ones, in ADA's files, and the class of all of them.
MEAN, GENERATOR = "G_ema", "Generator"
_BLOCK, _MAPPING = re.compile(r"synthesis\.b(\d{1,4})\."), re.compile(r"mapping\.fc(\d{1,2})\.(weight|bias)")
#: Up-sampling spreads a pixel over four: rosinality's filters are that much larger.
_SPREAD = 4


def generator_of(path: Path, content: Any) -> StoredModule:
    """The generator of a published file.

    Raises:
        CheckpointError: it holds none, or one of another architecture, such as StyleGAN3's.
    """
    found = content.get(MEAN) if isinstance(content, dict) else None
    if not isinstance(found, StoredModule) or found.kind != GENERATOR:
        raise CheckpointError(
            f"{path} has no generator of StyleGAN2-ADA",
            got=f"keys {sorted(map(str, content))[:12]}" if isinstance(content, dict) else type(content).__name__,
            expected=f"the module {GENERATOR} under {MEAN}, or a state dict with rosinality's names under g_ema",
            hint="Other files need a converter to rosinality's names, run where you trust them.",
        )
    names = [name for name, _ in stored_tensors(found)]
    if "synthesis.b4.const" not in names:
        inside = sorted({".".join(name.split(".")[:2]) for name in names})[:8]
        raise CheckpointError(
            f"{path} holds another architecture than StyleGAN2's",
            got=", ".join(inside) or "no tensors",
            expected="synthesis.b4, synthesis.b8, ...",
            hint="Bundles draw with StyleGAN2: StyleGAN3's generators are no further generators of one.",
        )
    return found


def stored_tensors(module: StoredModule, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Parameters and buffers of a module and those below it, by ADA's names."""
    for group in ("_parameters", "_buffers"):
        for name, value in _group(module, group).items():
            if value is not None:
                yield f"{prefix}{name}", value
    for name, below in _group(module, "_modules").items():
        if isinstance(below, StoredModule):
            yield from stored_tensors(below, f"{prefix}{name}.")


def _group(module: StoredModule, name: str) -> dict[Any, Any]:
    found = module.attributes.get(name, {})
    return found if isinstance(found, dict) else {}


def their_layer(layer: Layer) -> str:
    """ADA's name of a layer."""
    kind = "torgb" if not layer.demodulated else "conv0" if layer.up else "conv1"
    return f"synthesis.b{layer.resolution}.{kind}"


def renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A generator's tensors by rosinality's names, in its shapes; what there is no name for is left out.

    Args:
        tensors: by ADA's names, of a generator that has ``synthesis.b4.const``.
    """
    size = max((int(match[1]) for name in tensors if (match := _BLOCK.match(name))), default=FIRST_RESOLUTION)
    levels = max(1, (size // FIRST_RESOLUTION).bit_length())
    found = {"input.input": tensors["synthesis.b4.const"][None]}
    noises = 0
    for layer in layer_table((1,) * levels):
        theirs = their_layer(layer)
        for ours, name in (CONVOLUTION if layer.demodulated else TO_RGB).items():
            if (tensor := tensors.get(f"{theirs}.{name}")) is not None:
                found[f"{layer.name}.{ours}"] = _shaped(ours, tensor)
        if layer.demodulated:
            if (noise := tensors.get(f"{theirs}.noise_const")) is not None:
                found[f"noises.noise_{noises}"] = noise[None, None]
            noises += 1
        for ours, name in _filters(layer):
            if (taps := tensors.get(name)) is not None:
                found[f"{layer.name}.{ours}"] = taps * _SPREAD
    for name, tensor in tensors.items():
        if match := _MAPPING.fullmatch(name):
            found[f"style.{int(match[1]) + 1}.{match[2]}"] = tensor
    return found


def _filters(layer: Layer) -> Iterator[tuple[str, str]]:
    """What a layer's filter is called here and there."""
    if layer.up:
        yield "conv.blur.kernel", f"{their_layer(layer)}.resample_filter"
    if not layer.demodulated and layer.resolution > FIRST_RESOLUTION:
        yield "upsample.kernel", f"synthesis.b{layer.resolution}.resample_filter"


def _shaped(name: str, tensor: Tensor) -> Tensor:
    if name == "conv.weight":
        return tensor[None]
    if name == "noise.weight":
        return tensor.reshape(1)
    return tensor.reshape(1, -1, 1, 1) if name == "bias" else torch.as_tensor(tensor)
