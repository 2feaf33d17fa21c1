"""Writes the trained networks as the authors' training does: HyperStyle's file, its W-encoder's."""

from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from ..runtime.bundle.files import atomic_file
from .generator import Codes
from .loop import load_network
from .mapping import load_generator
from .networks import Widths, new_encoder, new_hypernetwork

LICENCE = "Apache-2.0"


def write_checkpoints(folder: Path, target: Path, widths: Widths) -> tuple[Path, Path]:
    """Write `hyperstyle.pt` and `w_encoder.pt` in the authors' layout, loadable weights-only; their paths."""
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
        "licence": LICENCE,
        "widths": asdict(widths),
    }
    first, second = target / "hyperstyle.pt", target / "w_encoder.pt"
    _write(first, {"hypernet": hypernet, "decoder": generator}, latent_avg, options)
    _write(second, {"encoder": encoder}, latent_avg, {**common, "encoder_type": "WEncoder", "input_nc": 3})
    return first, second


def _write(path: Path, networks: dict[str, nn.Module], latent_avg: Tensor, options: dict) -> None:
    state = {f"{part}.{name}": tensor for part, net in networks.items() for name, tensor in net.state_dict().items()}
    content = {"state_dict": state, "latent_avg": latent_avg, "opts": options, "global_step": 0, "best_val_loss": None}
    with atomic_file(path) as partial:
        torch.save(content, partial)
