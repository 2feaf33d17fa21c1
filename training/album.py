"""Pictures by seed, drawn when they are first asked for and kept as bytes: training sees each of them many times."""

import torch
from numpy.typing import NDArray
from torch import Tensor

from .parameters import sample
from .pictures import draw


class Album:
    """Pictures of the seeds ``first`` to ``first + count - 1``; those with an odd seed have extras, when asked for."""

    def __init__(self, count: int, size: int, extras: bool, first: int = 0) -> None:
        self.first, self.extras = first, extras
        self.parameters, self.presence = sample(range(first, first + count))
        self.pixels = torch.empty(count, size, size, 3, dtype=torch.uint8)
        self.drawn = torch.zeros(count, dtype=torch.bool)

    def __call__(self, indices: NDArray) -> tuple[Tensor, Tensor]:
        """Pictures [B, 3, size, size] float32 in [-1, 1] (channels last) and parameters [B, 28]."""
        index = torch.from_numpy(indices)
        for fresh in index[~self.drawn[index]].unique().split(32):
            self._draw(fresh)
        pictures = self.pixels[index].permute(0, 3, 1, 2).float() / 127.5 - 1  # channels last in memory
        return pictures, self.parameters[index]

    def _draw(self, index: Tensor) -> None:
        extras = self.presence[index]
        if self.extras:
            extras = torch.where((index % 2 == 1)[:, None], extras, torch.zeros_like(extras))
        pictures = draw(self.parameters[index], self.pixels.shape[1], extras if self.extras else None)
        self.pixels[index] = ((pictures + 1) * 127.5).round().byte().permute(0, 2, 3, 1)
        self.drawn[index] = True
