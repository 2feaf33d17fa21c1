"""The published networks in PyTorch as the reference of `verify`: the checkpoints that a bundle came from."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import CheckpointError
from ..runtime.backends.base import HostArray
from ..runtime.manifest.manifest import Manifest
from ..runtime.methods.base import CODES
from ..runtime.quality.verification.steps import Expected
from .methods.loading import load_model, read_checkpoints
from .methods.model import Choices
from .published_loop import refine


class PyTorchReference:
    """The authors' formulation of the loop, on the weights of a method's checkpoints, in the order of `export`.

    Raises:
        CheckpointError: a file cannot be read, or it is not one that the bundle was exported from.
    """

    label = "PyTorch"

    def __init__(self, manifest: Manifest, checkpoints: Sequence[Path]) -> None:
        if len(checkpoints) != len(manifest.checkpoints):
            raise CheckpointError(
                "The bundle was exported from more or fewer files",
                got=", ".join(path.name for path in checkpoints),
                expected=", ".join(f"{exported.file} ({exported.role})" for exported in manifest.checkpoints),
            )
        files = read_checkpoints(checkpoints)
        for file, exported in zip(files, manifest.checkpoints, strict=True):
            if file.sha256 != exported.sha256:
                raise CheckpointError(
                    f"{file.path} is not the file that the bundle was exported from",
                    got=file.sha256[:12],
                    expected=f"{exported.file}, sha256 {exported.sha256[:12]}",
                )
        choices = Choices(manifest.image.input_width, manifest.method.encoder_steps or None)
        self._model = load_model(files, choices)

    def states(self, images: HostArray, steps: int) -> Iterator[Expected]:
        """The loop's states of one photo [1, C, H, W]; its accumulated offsets after the last step."""
        for step in refine(self._model, images, steps):
            offsets = {layer: offset[0] for layer, offset in step.offsets.items()} if step.index == steps else None
            yield Expected(step.index, {CODES: step.codes[0]}, step.image, offsets=offsets or None)
