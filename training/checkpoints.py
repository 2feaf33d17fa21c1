"""Writes the trained networks as the authors' training does: HyperStyle's file and the encoders'."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn

from ..export.methods.inversion import ITERATIVE
from ..export.methods.recognition import PAIR
from ..export.networks.encoders import build_encoder
from ..export.seeded import USUAL_ENCODERS
from ..runtime.bundle.files import atomic_file
from .generator import Codes
from .inversion import WEIGHTS
from .loop import load_network
from .mapping import load_generator
from .networks import Widths, new_encoder, new_hypernetwork

LICENCE = "Apache-2.0"

State: TypeAlias = dict[str, Tensor]
#: What a tensor's scale is called, behind the tensor's own name.
_SCALE = ".scale"


def write_checkpoints(folder: Path, target: Path, widths: Widths) -> tuple[Path, Path]:
    """Write `hyperstyle.pt` and `w_encoder.pt` in the authors' layout, loadable weights-only, in half precision.

    Returns:
        Their paths.
    """
    target.mkdir(parents=True, exist_ok=True)
    generator = load_generator(folder, widths)
    hypernet = load_network(folder, "hypernetwork", new_hypernetwork(widths))
    encoder = load_network(folder, "encoder", new_encoder(widths))
    latent_avg = _average(widths)
    tuned = ",".join(str(block.layer) for block in widths.hypernet.blocks)
    common = _options(widths)
    options = {
        **common,
        "encoder_type": "SharedWeightsHyperNetResNet",
        "input_nc": 6,
        "layers_to_tune": tuned,
        "n_iters_per_batch": 5,
        "w_encoder_type": "WEncoder",
        "licence": LICENCE,
        "widths": asdict(widths),
    }
    first, second = target / "hyperstyle.pt", target / "w_encoder.pt"
    _write(first, {"hypernet": hypernet, "decoder": generator}, latent_avg, options)
    _write(second, {"encoder": encoder}, latent_avg, {**common, "encoder_type": "WEncoder", "input_nc": 3})
    return first, second


def encoder_file(target: Path, method: str) -> Path:
    """Where a model's encoder of pSp, e4e or ReStyle is."""
    return target / f"{method.replace('-', '_')}.pt"


def write_encoders(folder: Path, target: Path, widths: Widths, methods: Sequence[str] = tuple(WEIGHTS)) -> None:
    """Write the encoders of pSp, e4e and ReStyle, a byte a number.

    Their generator is HyperStyle's, whose file has it: `join` makes of both what the authors' training writes.
    """
    for method in methods:
        encoder = load_network(folder, method, build_encoder(widths.inversion_encoder(method)))
        options = {**_options(widths), "encoder_type": USUAL_ENCODERS[method], "licence": LICENCE}
        if method == "e4e":
            options["stylegan_size"] = options.pop("output_size")
        else:
            options |= {"start_from_latent_avg": True, "input_nc": PAIR if method in ITERATIVE else 3}
        _write(encoder_file(target, method), {"encoder": encoder}, _average(widths), options, in_bytes)


def join(encoder: Path, hyperstyle: Path, target: Path) -> None:
    """Write an encoder's file again, as floats and with the generator of HyperStyle's in it: what `export` takes."""
    content = torch.load(encoder, weights_only=True)
    state = torch.load(hyperstyle, weights_only=True)["state_dict"]
    generator = {name: tensor for name, tensor in state.items() if name.startswith("decoder.")}
    content["state_dict"] = in_floats(content["state_dict"]) | generator
    with atomic_file(target) as partial:
        torch.save(content, partial)


def in_halves(state: State) -> State:
    """A state dict with matrices and filters in half precision; vectors, which are few, stay as they are."""
    return {name: tensor.half() if tensor.dim() > 1 else tensor for name, tensor in state.items()}


def in_bytes(state: State) -> State:
    """A state dict with matrices and filters as INT8, and beside each its ``scale``, a number an output."""
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


def _average(widths: Widths) -> Tensor:
    return Codes(widths.style).centre.expand(widths.generator.styles, -1).clone()


def _options(widths: Widths) -> dict:
    return {"output_size": widths.size, "input_size": widths.size, "dataset_type": "cartoon_faces", "device": "cpu"}


def _write(
    path: Path,
    networks: dict[str, nn.Module],
    latent_avg: Tensor,
    options: dict,
    narrowed: Callable[[State], State] = in_halves,
) -> None:
    state = {f"{part}.{name}": tensor for part, net in networks.items() for name, tensor in net.state_dict().items()}
    narrow = narrowed(state)
    content = {"state_dict": narrow, "latent_avg": latent_avg, "opts": options, "global_step": 0, "best_val_loss": None}
    with atomic_file(path) as partial:
        torch.save(content, partial)
