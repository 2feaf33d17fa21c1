"""One person's weights for other tools: offsets by layer, and a StyleGAN2 state dict of the usual layout."""

from pathlib import Path

import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors
from torch import Tensor

from ..errors import CheckpointError, ExportError
from ..runtime.bundle.files import atomic_file
from ..runtime.bundle.inversion import Inversion
from ..runtime.manifest.manifest import Manifest
from ..runtime.session import Session
from .checkpoint import GENERATOR as FURTHER
from .checkpoint import read_checkpoint, read_generator

GENERATOR = "decoder"


def write_offsets(session: Session, inversion: Inversion, path: Path) -> None:
    """Write the accumulated offsets [out, in, k, k] of every tuned layer, by its index in the authors' list.

    It is what they keep as `weight_deltas`: entry i of their list is the array named i, and None where there is none.

    Raises:
        InversionError: the inversion belongs to another model.
        ExportError: the method has no offsets.
        OutputError: the file cannot be written.
    """
    offsets = session.weight_offsets(inversion)
    if not offsets:
        raise ExportError("The method has no weight offsets", got=session.method, expected="hyperstyle")
    with atomic_file(path) as partial:
        save_file({str(layer): offset for layer, offset in offsets.items()}, partial)


def generator_state(manifest: Manifest, checkpoint: Path, further: bool = False) -> dict[str, Tensor]:
    """The generator's tensors by rosinality's names, in the file that a bundle, or its ``further`` one, is from.

    Raises:
        CheckpointError: it cannot be read, or the bundle was exported from another one.
    """
    opened = read_generator(checkpoint) if further else read_checkpoint(checkpoint)
    state = opened.part(FURTHER if further else GENERATOR)
    if opened.sha256 not in {each.sha256 for each in manifest.checkpoints} or not state:
        known = ", ".join(f"{each.file} {each.sha256[:12]}" for each in manifest.checkpoints)
        raise CheckpointError(
            f"The bundle's generator is not from {checkpoint}", got=opened.sha256[:12], expected=known
        )
    return state


def write_state(session: Session, inversion: Inversion, checkpoint: Path, path: Path) -> None:
    """Write the person's generator as rosinality's StyleGAN2 names its tensors, without a prefix, float32.

    Args:
        session: on the bundle that the checkpoint was exported to.
        inversion: the person.
        checkpoint: the file that has the generator: the method's, or that of the further generator which draws.
        path: the safetensors file.

    Raises:
        CheckpointError: it cannot be read, or the bundle was exported from another one.
        ExportError: the generator was tuned, so that it is not the checkpoint's with offsets.
        InversionError: the inversion belongs to another model.
        OutputError: the file cannot be written.
    """
    if session.settings is not None:
        raise ExportError("A tuned generator is not written as a state dict", got=session.method, expected="hyperstyle")
    state = generator_state(session.manifest, checkpoint, session.bundle.generator is not None)
    tensors: dict[str, Tensor] = {name: tensor.float().clone() for name, tensor in state.items()}
    for index, offset in session.weight_offsets(inversion).items():
        tensors[f"{session.manifest.layers[index].name}.conv.weight"] *= 1 + torch.from_numpy(offset)
    with atomic_file(path) as partial:
        save_tensors(tensors, partial)
