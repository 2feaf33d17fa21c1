"""How far a picture is from the drawing: colours and their differences, more where a face has its features."""

import torch
from torch import Tensor
from torch.nn import functional as F


def feature_weight(size: int, strength: float = 4.0) -> Tensor:
    """[size, size] float32, mean 1: eyes, brows, nose and mouth are few pixels and would be learned last."""
    centres = (torch.arange(size) + 0.5) * (2 / size) - 1
    x, y = centres.view(1, size), centres.view(size, 1)
    middle = torch.sigmoid((0.48 - x.abs()) * 16) * torch.sigmoid((0.34 - (y - 0.14).abs()) * 16)
    weight = 1 + strength * middle
    return weight / weight.mean()


def picture_loss(drawn: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted L1 and L2, and L1 of neighbours' differences at three scales (sharp edges)."""
    difference = (drawn - target).float()
    loss = (weight * (difference.abs() + 4 * difference.square())).mean()
    for scale in range(3):
        w = weight if scale == 0 else F.avg_pool2d(weight[None, None], 2**scale)[0, 0]
        d = difference if scale == 0 else F.avg_pool2d(difference, 2**scale)
        across, down = d[..., :, 1:] - d[..., :, :-1], d[..., 1:, :] - d[..., :-1, :]
        loss = loss + 0.5 * ((w[:, 1:] * across.abs()).mean() + (w[1:] * down.abs()).mean())
    return loss
