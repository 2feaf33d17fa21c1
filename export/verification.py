"""The published networks in PyTorch as the reference of `verify`: the checkpoint that a bundle came from."""

from collections.abc import Iterator
from pathlib import Path

from ..errors import CheckpointError
from ..runtime.backends.base import HostArray
from ..runtime.manifest.manifest import Manifest
from ..runtime.quality.verification.steps import Expected
from .checkpoint import read_checkpoint
from .hyperstyle import load_hyperstyle
from .published_loop import refine


class PyTorchReference:
    """The authors' formulation of the loop, on the weights of a checkpoint and its W-encoder.

    Raises:
        CheckpointError: a file cannot be read, or it is not the one that the bundle was exported from.
    """

    label = "PyTorch"

    def __init__(self, manifest: Manifest, checkpoint: Path, w_encoder: Path) -> None:
        source, encoder = read_checkpoint(checkpoint), read_checkpoint(w_encoder)
        for file, exported in ((source, "checkpoint"), (encoder, "w_encoder")):
            expected = manifest.provenance.get(exported, {})
            if file.sha256 != expected.get("sha256"):
                raise CheckpointError(
                    f"{file.path} is not the file that the bundle was exported from",
                    got=file.sha256[:12],
                    expected=f"{expected.get('file')}, sha256 {str(expected.get('sha256'))[:12]}",
                )
        self._model = load_hyperstyle(source, encoder)

    def states(self, images: HostArray, steps: int) -> Iterator[Expected]:
        """The loop's states of one photo [1, 3, H, W]; its accumulated offsets after the last step."""
        for step in refine(self._model, images, steps):
            offsets = {layer: offset[0] for layer, offset in step.offsets.items()} if step.index == steps else None
            yield Expected(step.index, step.codes, step.image, offsets=offsets)
