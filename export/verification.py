"""Verify a bundle against the checkpoint it came from, step by step through the loop."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import CheckpointError
from ..runtime.images import Photo
from ..runtime.session import Session
from ..runtime.tolerance import LEAST_PSNR, TOLERANCE, psnr
from .checkpoint import read_checkpoint
from .hyperstyle import load_hyperstyle
from .reference import refine


@dataclass(frozen=True)
class StepDifference:
    """Largest absolute differences between a session and PyTorch after one step; offsets only after the last.

    ``psnr`` is the image's, in dB; ``precision`` is the bundle's. ``target`` is a calibrated bundle's least PSNR, which
    alone counts there; None for others.
    """

    index: int
    codes: float
    image: float
    offsets: float | None
    psnr: float
    precision: str
    target: float | None = None

    @property
    def within(self) -> bool:
        """Whether all of them are within the tolerance of the precision."""
        if self.target is not None:
            return self.psnr >= self.target
        # A NaN must fail, so every comparison asks for what is within.
        differences = (self.codes, self.image, 0.0 if self.offsets is None else self.offsets)
        small = all(difference <= TOLERANCE[self.precision] for difference in differences)
        return small and self.psnr >= LEAST_PSNR[self.precision]


def verify_against(
    session: Session, checkpoint: Path, w_encoder: Path, photo: Photo, steps: int | None = None
) -> list[StepDifference]:
    """Run one photo through the session and through the published networks in PyTorch.

    Args:
        session: the bundle in the backend to verify.
        checkpoint: HyperStyle's file.
        w_encoder: the W-encoder's file.
        photo: what to invert.
        steps: refinement steps; None for the bundle's default.

    Raises:
        CheckpointError: a file cannot be read, or it is not the one that the bundle was exported from.
    """
    source, encoder = read_checkpoint(checkpoint), read_checkpoint(w_encoder)
    for file, exported in ((source, "checkpoint"), (encoder, "w_encoder")):
        expected = session.manifest.provenance.get(exported, {})
        if file.sha256 != expected.get("sha256"):
            raise CheckpointError(
                f"{file.path} is not the file that the bundle was exported from",
                got=file.sha256[:12],
                expected=f"{expected.get('file')}, sha256 {str(expected.get('sha256'))[:12]}",
            )
    images = session.prepare([photo])
    steps = session.manifest.default_steps if steps is None else steps
    differences = []
    reference = refine(load_hyperstyle(source, encoder), images, steps)
    for got, want in zip(session.refine(images, steps), reference, strict=True):
        offsets = None
        if got.index == steps:
            inversion = session.inversions(got, np.zeros((1, steps + 1)))[0]
            ours = session.weight_offsets(inversion)
            offsets = max((_largest(ours[layer], offset[0]) for layer, offset in want.offsets.items()), default=0.0)
        differences.append(
            StepDifference(
                got.index,
                _largest(got.codes, want.codes),
                _largest(got.image, want.image),
                offsets,
                psnr(got.image, want.image),
                session.manifest.precision,
                session.manifest.least_psnr,
            )
        )
    return differences


def _largest(left: np.ndarray, right: np.ndarray) -> float:
    return float(np.max(np.abs(left - right)))
