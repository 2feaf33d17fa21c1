"""What a checkpoint file is, how large its parts are, and what exporting it would need."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError
from ..runtime.manifest.layers import style_count
from .checkpoint import Checkpoint, read_checkpoint
from .hyperstyle import METHOD, average_code, check_tensors, is_hyperstyle, read_config
from .networks.hypernetwork import HyperNetwork
from .networks.irse import WEncoder
from .networks.stylegan2 import Generator

W_ENCODER = "w-encoder"

# The encoder class in the options -> the method it belongs to.
_FAMILY = {
    "WEncoder": W_ENCODER,
    "GradualStyleEncoder": "psp",
    "BackboneEncoderUsingLastLayerIntoW": "psp",
    "BackboneEncoderUsingLastLayerIntoWPlus": "psp",
    "Encoder4Editing": "e4e",
    "SingleStyleCodeEncoder": "e4e",
    "BackboneEncoder": "restyle-psp",
    "ResNetBackboneEncoder": "restyle-psp",
    "ProgressiveBackboneEncoder": "restyle-e4e",
    "ResNetProgressiveBackboneEncoder": "restyle-e4e",
}


@dataclass(frozen=True)
class Part:
    """One part of a checkpoint; a tensor that stands under several names counts once."""

    name: str
    tensors: int
    parameters: int
    bytes: int


@dataclass(frozen=True)
class Description:
    """What `inspect` says of a file; ``needs`` lists what is missing before the command ``export`` can run."""

    file: str
    bytes: int
    sha256: str
    method: str
    domain: str | None
    size: int | None
    hypernetwork: str | None
    tuned_layers: list[int]
    latent_avg: list[int] | None
    parts: list[Part]
    options: dict[str, Any]
    needs: list[str]
    export: str | None

    def to_json(self) -> dict[str, Any]:
        """The description as JSON values."""
        return asdict(self)


def inspect(path: Path) -> Description:
    """Describe a checkpoint.

    Raises:
        CheckpointError: it cannot be read. A file that can be read but not exported is described, with the reasons.
    """
    checkpoint = read_checkpoint(path)
    method = _method(checkpoint)
    domain = size = hypernetwork = None
    tuned: list[int] = []
    needs: list[str] = []
    try:
        if method == METHOD:
            config = read_config(checkpoint)
            domain, size = config.domain, config.size
            hypernetwork = "separable" if config.separable else "shared"
            tuned = [layer.index for layer in config.layers if layer.tuned]
            with torch.device("meta"):
                networks = {"hypernet": HyperNetwork(config.layers), "decoder": Generator(size)}
            check_tensors(checkpoint, networks)
            average_code(checkpoint, style_count(size))
        elif method == W_ENCODER:
            with torch.device("meta"):
                encoder = WEncoder()
            check_tensors(checkpoint, {"encoder": encoder})
    except CheckpointError as error:
        needs.append(str(error))
    export = None
    if method == METHOD:
        needs.append("the W-encoder's file, a second download of the authors: pass it with --w-encoder")
        export = f"hyperstyle-deploy export {path} --w-encoder W_ENCODER.pt -o BUNDLE"
    elif method == W_ENCODER:
        needs.append("the HyperStyle checkpoint that it belongs to: this file is its --w-encoder")
        export = f"hyperstyle-deploy export HYPERSTYLE.pt --w-encoder {path} -o BUNDLE"
    else:
        needs.append(f"a later version: {method} checkpoints cannot be exported yet")
    return Description(
        file=str(path),
        bytes=path.stat().st_size,
        sha256=checkpoint.sha256,
        method=method,
        domain=domain,
        size=size,
        hypernetwork=hypernetwork,
        tuned_layers=tuned,
        latent_avg=None if checkpoint.latent_avg is None else list(checkpoint.latent_avg.shape),
        parts=_parts(checkpoint),
        options={name: _plain(value) for name, value in sorted(checkpoint.opts.items())},
        needs=needs,
        export=export,
    )


def _method(checkpoint: Checkpoint) -> str:
    if is_hyperstyle(checkpoint):
        return METHOD
    method = _FAMILY.get(str(checkpoint.opts.get("encoder_type")), "unknown")
    # A W-encoder's file may carry the hypernetwork's options, which name no encoder: then its tensors tell.
    return W_ENCODER if method == "unknown" and "encoder.linear.weight" in checkpoint.state else method


def _parts(checkpoint: Checkpoint) -> list[Part]:
    groups: dict[str, list[Tensor]] = {}
    seen: set[tuple[int, tuple[int, ...]]] = set()
    for name, tensor in checkpoint.state.items():
        key = (tensor.data_ptr(), tuple(tensor.shape))
        if tensor.numel() and key in seen:
            continue
        seen.add(key)
        groups.setdefault(_part_name(name), []).append(tensor)
    return [
        Part(name, len(tensors), sum(t.numel() for t in tensors), sum(t.nbytes for t in tensors))
        for name, tensors in groups.items()
    ]


def _part_name(tensor: str) -> str:
    head, _, rest = tensor.partition(".")
    if head != "hypernet":
        return head
    inner = {"shared_weight_hypernet": "shared hypernetwork", "refinement_blocks": "refinement blocks"}
    return f"hypernet: {inner.get(rest.partition('.')[0], 'trunk')}"


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
