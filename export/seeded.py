"""Seeded checkpoints in the authors' layout: what `demo` and the golden tests run on in place of the published weights.

Every tensor is drawn from a stream of its own, seeded by its name, with a spread chosen by its role so that
activations and offsets stay in a trained network's range. The pictures are texture, not faces.
"""

import math
import re
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..runtime.bundle.files import atomic_file
from ..runtime.manifest.layers import Layer, layer_table, style_count
from .networks.hypernetwork import HyperNetwork
from .networks.irse import WEncoder
from .networks.stylegan2 import Generator

#: The authors' default: every convolution but toRGB; indices past a smaller generator's last layer mean nothing.
DEFAULT_TUNED = "0,2,3,5,6,8,9,11,12,14,15,17,18,20,21,23,24"

FIR_KERNEL = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / 16

# (name pattern, mean, spread, what the spread is): "std", or "gain" for sqrt(spread / fan_in). First match wins.
_RULES = tuple(
    (re.compile(pattern), mean, spread, kind)
    for pattern, mean, spread, kind in (
        (r"latent_avg$", 0.0, 0.3, "std"),
        (r"running_mean$", 0.0, 0.05, "std"),
        (r"shared_weight_hypernet\.w1$", 0.0, 0.0015, "std"),
        (r"shared_weight_hypernet\.b1$", 0.0, 0.001, "std"),
        (r"shared_weight_hypernet\.w2$", 0.0, 0.025, "std"),
        (r"shared_weight_hypernet\.b2$", 0.0, 0.01, "std"),
        (r"refinement_blocks\.\d+\.convs\.\d+\.weight$", 0.0, 1.96, "gain"),
        (r"refinement_blocks\.\d+\.(convs|output)\..*bias$", 0.0, 0.01, "std"),
        (r"refinement_blocks\.\d+\.output\.0\.\w+\.weight$", 0.0, 0.1225, "gain"),
        (r"refinement_blocks\.\d+\.output\.\d\.weight$", 0.0, 0.000144, "gain"),
        (r"^(relu|input_layer\.2|body\.\d+\.res_layer\.2)\.weight$", 0.25, 0.02, "std"),
        (r"^style\.\d\.weight$", 0.0, 100.0, "std"),
        (r"modulation\.bias$", 1.0, 0.1, "std"),
        (r"modulation\.weight$|linear\.weight$", 0.0, 1.0, "std"),
        (r"^to_rgb.*\.conv\.weight$", 0.0, 0.4, "std"),
        (r"noise\.weight$|^style\.\d\.bias$|activate\.bias$|^to_rgb.*bias$|linear\.bias$", 0.0, 0.1, "std"),
        (r"^conv1\.conv\.weight$|^convs\.\d+\.conv\.weight$|noise_\d+$|^input\.input$", 0.0, 1.0, "std"),
    )
)


def draw(name: str, shape: tuple[int, ...]) -> NDArray[np.float32] | NDArray[np.int64]:
    """Draw the tensor ``name`` (for instance "decoder.conv1.conv.weight"), float32 or int64 for a counter."""
    leaf = name.partition(".")[2] or name
    if leaf.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if leaf.endswith((".blur.kernel", ".upsample.kernel")):
        return FIR_KERNEL.copy()
    noise = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).standard_normal(shape, dtype=np.float32)
    if leaf.endswith("running_var"):
        return np.float32(0.8) + np.float32(0.25) * np.abs(noise)
    mean, std = _spread(leaf, shape)
    return np.float32(mean) + np.float32(std) * noise


def _spread(leaf: str, shape: tuple[int, ...]) -> tuple[float, float]:
    for pattern, mean, spread, kind in _RULES:
        if pattern.search(leaf):
            return mean, spread if kind == "std" else _fan_in_std(spread, shape)
    if len(shape) == 1:  # batch normalisation
        return (1.0 if leaf.endswith("weight") else 0.0), 0.05
    return 0.0, _fan_in_std(1.0, shape)


def _fan_in_std(gain: float, shape: tuple[int, ...]) -> float:
    return round(math.sqrt(gain / math.prod(shape[1:])), 8)


def write_checkpoints(
    folder: Path,
    size: int = 256,
    dataset_type: str = "ffhq_hypernet",
    separable: bool = False,
    layers_to_tune: str = DEFAULT_TUNED,
) -> tuple[Path, Path]:
    """Write a seeded HyperStyle checkpoint and its W-encoder, file for file as the authors' training does.

    Args:
        folder: an existing folder; `hyperstyle.pt` and `w_encoder.pt` appear in it.
        size: 256, 512 or 1024.
        dataset_type: the authors' name of the data; one with "cars" in it crops the result.
        separable: the separable hypernetwork in place of the shared one.
        layers_to_tune: comma list of generator layers, "" for all.

    Returns:
        The paths of the two files.

    Raises:
        OutputError: the folder is read-only or the disk is full.
    """
    tuned = [int(index) for index in layers_to_tune.split(",")] if layers_to_tune else range(100)
    layers: tuple[Layer, ...] = layer_table(size, tuned, separable)
    with torch.device("meta"):
        hypernet, generator, encoder = HyperNetwork(layers), Generator(size), WEncoder()
    latent_avg = torch.from_numpy(draw("latent_avg", (style_count(size), 512)))
    opts = {
        "output_size": size,
        "dataset_type": dataset_type,
        "encoder_type": "SharedWeightsHyperNetResNet" + ("Separable" if separable else ""),
        "input_nc": 6,
        "layers_to_tune": layers_to_tune,
        "n_iters_per_batch": 5,
        "w_encoder_type": "WEncoder",
        "device": "cuda:0",
    }
    files = {
        "hyperstyle.pt": {**_state("hypernet", hypernet), **_state("decoder", generator)},
        "w_encoder.pt": _state("encoder", encoder),
    }
    for name, state in files.items():
        content = {"state_dict": state, "latent_avg": latent_avg, "opts": opts, "global_step": 0, "best_val_loss": None}
        with atomic_file(folder / name) as partial:
            torch.save(content, partial)
    return folder / "hyperstyle.pt", folder / "w_encoder.pt"


def _state(prefix: str, network: nn.Module) -> dict[str, Tensor]:
    """Draw a network's tensors; those that are one tensor in the network are one in the file."""
    drawn: dict[int, Tensor] = {}
    state = {}
    declared = network.state_dict(keep_vars=True)
    # The shared hypernetwork comes first in the module tree, so its tensors are drawn under its own name.
    for name, tensor in declared.items():
        if id(tensor) not in drawn:
            drawn[id(tensor)] = torch.from_numpy(draw(f"{prefix}.{name}", tuple(tensor.shape)))
        state[f"{prefix}.{name}"] = drawn[id(tensor)]
    return state
