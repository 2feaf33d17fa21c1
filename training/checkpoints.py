"""Writes the trained networks as the authors' training does: HyperStyle's file, its W-encoder's, the directions."""

from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..runtime.bundle.files import atomic_file
from .generator import W_SCALE, Codes
from .loop import load_network
from .mapping import load_generator
from .networks import Widths, new_encoder, new_hypernetwork
from .parameters import PARAMETERS

#: The parameters that make a direction worth a name of its own, and that name.
DIRECTIONS = {
    "smile": "smile", "turn": "pose", "age": "age", "hair_length": "hair_length", "hair_tone": "fair_hair",
    "hair_warmth": "red_hair", "mouth_open": "open_mouth", "eye_open": "open_eyes", "gaze": "gaze",
    "brow_slant": "worried", "face_width": "wide_face", "skin_tone": "fair_skin", "fringe": "fringe",
}  # fmt: skip


def write_checkpoints(folder: Path, target: Path, widths: Widths) -> tuple[Path, Path]:
    """Write `hyperstyle.pt`, `w_encoder.pt` (the authors' layout, loadable weights-only) and `directions.safetensors`.

    A direction is [1, style], of unit length; a factor of 1.3 moves a parameter through about a third of its range.
    """
    target.mkdir(parents=True, exist_ok=True)
    generator, codes = load_generator(folder, widths), Codes(widths.style)
    hypernet = load_network(folder, "hypernetwork", new_hypernetwork(widths))
    encoder = load_network(folder, "encoder", new_encoder(widths))
    latent_avg = codes.centre.expand(2 * len(widths.channels), -1).clone()
    tuned = ",".join(str(block.layer) for block in widths.hypernet.blocks)
    common = {"output_size": widths.size, "input_size": widths.size, "dataset_type": "cartoon_faces", "device": "cpu"}
    options = {
        **common,
        "encoder_type": "SharedWeightsHyperNetResNet",
        "input_nc": 6,
        "layers_to_tune": tuned,
        "n_iters_per_batch": 5,
        "w_encoder_type": "WEncoder",
        "licence": "Apache-2.0",
        "widths": asdict(widths),
    }
    first, second = target / "hyperstyle.pt", target / "w_encoder.pt"
    _write(first, {"hypernet": hypernet, "decoder": generator}, latent_avg, options)
    _write(second, {"encoder": encoder}, latent_avg, {**common, "encoder_type": "WEncoder", "input_nc": 3})
    directions = {
        name: codes.directions[PARAMETERS.index(parameter)][None].clone() for parameter, name in DIRECTIONS.items()
    }
    with atomic_file(target / "directions.safetensors") as partial:
        save_file(directions, partial, {"licence": "Apache-2.0", "parameter_range": str(2 * W_SCALE)})
    return first, second


def _write(path: Path, networks: dict[str, nn.Module], latent_avg: Tensor, options: dict) -> None:
    state = {f"{part}.{name}": tensor for part, net in networks.items() for name, tensor in net.state_dict().items()}
    content = {"state_dict": state, "latent_avg": latent_avg, "opts": options, "global_step": 0, "best_val_loss": None}
    with atomic_file(path) as partial:
        torch.save(content, partial)
