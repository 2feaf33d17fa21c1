"""Writes the trained networks as the authors' training does: HyperStyle's file and the encoders'."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from ..export.methods.inversion import ITERATIVE
from ..export.methods.recognition import PAIR
from ..export.networks.encoders import StylesEncoder, build_encoder
from ..export.seeded import USUAL_ENCODERS
from ..runtime.bundle.files import atomic_file
from .generator import Codes
from .inversion import WEIGHTS
from .loop import load_network
from .mapping import load_generator
from .networks import Widths, new_encoder, new_hypernetwork
from .packed import State, read_packed, write_packed

LICENCE = "Apache-2.0"


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
    return target / f"{method.replace('-', '_')}.npz"


def write_encoders(folder: Path, target: Path, widths: Widths, methods: Sequence[str] = tuple(WEIGHTS)) -> None:
    """Write the encoders of pSp, e4e and ReStyle, packed, and alone.

    Their generator is HyperStyle's, whose file has it: `join` makes of both what the authors' training writes.
    """
    for method in methods:
        encoder = load_network(folder, method, build_encoder(widths.inversion_encoder(method)))
        assert isinstance(encoder, StylesEncoder)
        options = {**_options(widths), "encoder_type": USUAL_ENCODERS[method], "licence": LICENCE}
        if method == "e4e":
            options["stylegan_size"] = options.pop("output_size")
        else:
            options |= {"start_from_latent_avg": True, "input_nc": PAIR if method in ITERATIVE else 3}
        write_packed(encoder_file(target, method), encoder, options)


def join(encoder: Path, hyperstyle: Path, target: Path) -> None:
    """Write what `export` takes: a packed encoder, with generator and average code of HyperStyle's file."""
    tensors, options = read_packed(encoder)
    whole = torch.load(hyperstyle, weights_only=True)
    generator = {name: tensor for name, tensor in whole["state_dict"].items() if name.startswith("decoder.")}
    state = {f"encoder.{name}": tensor for name, tensor in tensors.items()} | generator
    _save(target, state, whole["latent_avg"], options)


def in_halves(state: State) -> State:
    """A state dict with matrices and filters in half precision; vectors, which are few, stay as they are.

    A tensor that has several names stays one.
    """
    halves: dict[tuple, Tensor] = {}
    return {
        name: halves.setdefault((tensor.data_ptr(), tensor.shape), tensor.half()) if tensor.dim() > 1 else tensor
        for name, tensor in state.items()
    }


def _average(widths: Widths) -> Tensor:
    return Codes(widths.style).centre.expand(widths.generator.styles, -1).clone()


def _options(widths: Widths) -> dict:
    return {"output_size": widths.size, "input_size": widths.size, "dataset_type": "cartoon_faces", "device": "cpu"}


def _write(path: Path, networks: dict[str, nn.Module], latent_avg: Tensor, options: dict) -> None:
    state = {f"{part}.{name}": tensor for part, net in networks.items() for name, tensor in net.state_dict().items()}
    _save(path, in_halves(state), latent_avg, options)


def _save(path: Path, state: State, latent_avg: Tensor, options: dict) -> None:
    content = {"state_dict": state, "latent_avg": latent_avg, "opts": options, "global_step": 0, "best_val_loss": None}
    with atomic_file(path) as partial:
        torch.save(content, partial)
