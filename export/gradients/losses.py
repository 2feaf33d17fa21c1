"""The terms of inversion losses that need no network; docs/optimisation.md says what each is for."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

#: Pyramids end at this side.
COARSEST = 8


def mean_square(difference: Tensor) -> Tensor:
    """``mean(difference^2)`` over everything."""
    return difference.square().mean()


def multiscale(difference: Tensor) -> Tensor:
    """``mean_square`` of every level of the difference's pyramid of 2x2 means, averaged over the levels.

    The finest level is the picture itself; halving ends where a side would be odd or below ``COARSEST``. It is no
    perceptual loss: it weighs coarse shapes as much as fine ones, and needs no network that somebody trained.
    """
    levels = [mean_square(level) for level in pyramid(difference)]
    return torch.stack(levels).mean()


def pyramid(picture: Tensor) -> list[Tensor]:
    """A picture [N, C, H, W] and its 2x2 means, down to sides of ``COARSEST`` or odd ones."""
    levels = [picture]
    while all(side % 2 == 0 and side // 2 >= COARSEST for side in levels[-1].shape[2:]):
        levels.append(F.avg_pool2d(levels[-1], 2))
    return levels


def noise_correlation(noises: Sequence[Tensor]) -> Tensor:
    """What keeps noise buffers [1, 1, r, r] noise, and the picture out of them (Karras et al. 2020, appendix D).

    ``mean(n * roll(n, 1, x))^2 + mean(n * roll(n, 1, y))^2``, summed over buffers and the levels of their pyramids, of
    which the last has 8 pixels a side or less.
    """
    terms = []
    for noise in noises:
        level = noise
        while True:
            terms += [(level * torch.roll(level, 1, axis)).mean().square() for axis in (3, 2)]
            if level.shape[2] <= COARSEST:
                break
            level = F.avg_pool2d(level, 2)
    return torch.stack(terms).sum()
