"""LPIPS v0.1 (Zhang et al., CVPR 2018) as a criterion: a trunk of torchvision's and five linear heads."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import CheckpointError
from ..checkpoint import Checkpoint, read_state
from ..tensors import check_tensors
from .criterion import Criterion
from .losses import mean_square

#: What pictures in [-1, 1] are shifted by and divided by, channel by channel.
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
#: What keeps pixels without features from being divided by zero.
EPSILON = 1e-10


@dataclass(frozen=True)
class Convolution:
    """One convolution of a trunk: its index in torchvision's ``features``, its side, stride and padding."""

    index: int
    side: int = 3
    stride: int = 1
    padding: int = 1


@dataclass(frozen=True)
class Trunk:
    """Layers of a trunk in order: after each of the first four ``blocks`` pictures are pooled, if ``pooled`` says so.

    A tap is behind the last ReLU of every block.
    """

    name: str
    blocks: tuple[tuple[Convolution, ...], ...]
    pooled: tuple[bool, ...]
    pool: int


def _vgg(*blocks: tuple[int, ...]) -> tuple[tuple[Convolution, ...], ...]:
    return tuple(tuple(map(Convolution, block)) for block in blocks)


VGG16 = Trunk("VGG16", _vgg((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)), (True,) * 4, 2)
ALEXNET = Trunk(
    "AlexNet",
    (
        (Convolution(0, 11, 4, 2),),
        (Convolution(3, 5, 1, 2),),
        *((Convolution(index),) for index in (6, 8, 10)),
    ),
    (True, True, False, False),
    3,
)
TRUNKS = (VGG16, ALEXNET)


#: VGG16 up to the last ReLU of its fourth block.
VGG16_FOUR_BLOCKS = Trunk(VGG16.name, VGG16.blocks[:4], VGG16.pooled[:3], VGG16.pool)


class TrunkNetwork(nn.Module):
    """A trunk with tensors under torchvision's names, ``features.<index>.weight``, of any widths."""

    def __init__(self, trunk: Trunk, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.trunk = trunk
        convolutions = [convolution for block in trunk.blocks for convolution in block]
        self.features = nn.ModuleDict(
            {
                str(each.index): nn.Conv2d(before, after, each.side, each.stride, each.padding)
                for each, (before, after) in zip(convolutions, pairwise((3, *channels)), strict=True)
            }
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Pictures [N, 3, H, W] to what is at the taps."""
        taps = []
        for block, pooled in zip(self.trunk.blocks, (*self.trunk.pooled, False), strict=True):
            for convolution in block:
                x = F.relu(self.features[str(convolution.index)](x))
            taps.append(x)
            x = F.max_pool2d(x, self.trunk.pool, 2) if pooled else x
        return taps


class _Dropped(nn.Module):
    """A head of LPIPS under its published name ``lin<k>.model.1.weight``; the dropout before it is off."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.model = nn.ModuleDict({"1": nn.Conv2d(channels, 1, 1, bias=False)})


class Heads(nn.Module):
    """LPIPS's five linear heads."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        for index, count in enumerate(channels):
            self.add_module(f"lin{index}", _Dropped(count))

    def weights(self) -> list[Tensor]:
        """Each head's weights, [1, C, 1, 1]."""
        return [head.model["1"].weight for head in self.children()]


class Lpips(Criterion):
    """``mse``, and ``lpips = sum_taps mean_pixels sum_c lin_c (f_c / |f| - g_c / |g|)^2`` of picture and target.

    Features are given out as they are compared, over their length at each pixel. Where all are 0 the length has no
    derivative: 1 stands in its place, which changes no value.
    """

    terms = ("mse", "lpips")

    def __init__(self, trunk: TrunkNetwork, heads: Heads, files: Sequence[Checkpoint] = ()) -> None:
        super().__init__()
        self.files = tuple(files)
        self.trunk, self.heads = trunk, heads
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1))

    @property
    def networks(self) -> dict[str, str]:
        digests = {kind: file.sha256 for kind, file in zip(("trunk_sha256", "heads_sha256"), self.files, strict=True)}
        return {"trunk": self.trunk.trunk.name, **digests}

    def features(self, picture: Tensor) -> list[Tensor]:
        return [_over_length(tap) for tap in self.trunk((picture - self.shift) / self.scale)]

    def forward(self, picture: Tensor, target: Tensor, features: list[Tensor]) -> dict[str, Tensor]:
        pairs = zip(self.features(picture), features, self.heads.weights(), strict=True)
        distances = [((ours - theirs).square() * weight).sum(1).mean() for ours, theirs, weight in pairs]
        return {"mse": mean_square(picture - target), "lpips": torch.stack(distances).sum()}


def _over_length(features: Tensor) -> Tensor:
    squared = features.square().sum(1, keepdim=True)
    length = torch.where(squared > 0, squared, torch.ones_like(squared)).sqrt()
    return features / (length + EPSILON)


def read_lpips(trunk: Path, heads: Path) -> Lpips:
    """LPIPS from the user's files: torchvision's state dict of VGG16 or AlexNet, and LPIPS's of its linear heads.

    Raises:
        CheckpointError: a file cannot be read; or tensors are missing, misshapen or not finite, all named at once.
    """
    trunk_file, heads_file = read_state(trunk), read_state(heads)
    network = _trunk_of(trunk_file)
    check_tensors(trunk_file, {"features": network.features})
    taps = [network.features[str(block[-1].index)].out_channels for block in network.trunk.blocks]
    linear = Heads(taps)
    named = {f"lin{index}": head for index, head in enumerate(linear.children())}
    check_tensors(heads_file, named)
    if negative := [name for name, tensor in heads_file.state.items() if bool((tensor < 0).any())]:
        raise CheckpointError(
            f"{heads} does not hold the heads of LPIPS", got=f"negative weights in {', '.join(negative)}"
        )
    _fill(network, trunk_file)
    _fill(linear, heads_file)
    return Lpips(network, linear, (trunk_file, heads_file)).eval().requires_grad_(False)


def _trunk_of(checkpoint: Checkpoint) -> TrunkNetwork:
    """The trunk that a file holds, its tensors not filled; channels are what most tensors say."""
    last = {trunk: f"features.{trunk.blocks[-1][-1].index}.weight" for trunk in TRUNKS}
    trunk = next((trunk for trunk, name in last.items() if name in checkpoint.state), None)
    if trunk is None:
        raise CheckpointError(
            f"{checkpoint.path} is not the trunk of LPIPS",
            got=f"tensors {sorted(checkpoint.state)[:6]}",
            expected="torchvision's state dict of VGG16 or AlexNet: features.0.weight, ...",
            hint="LPIPS's own file, lin0.model.1.weight and so on, is the second file of --lpips.",
        )
    return empty_trunk(trunk, checkpoint, "features.")


def empty_trunk(trunk: Trunk, checkpoint: Checkpoint, prefix: str) -> TrunkNetwork:
    """A trunk as wide as the biases ``<prefix><index>.bias`` of a file, its tensors not filled."""
    channels = []
    for convolution in (each for block in trunk.blocks for each in block):
        bias = checkpoint.state.get(f"{prefix}{convolution.index}.bias")
        channels.append(bias.shape[0] if bias is not None and bias.dim() == 1 else 64)
    with torch.device("meta"):
        return TrunkNetwork(trunk, tuple(channels))


def _fill(network: nn.Module, checkpoint: Checkpoint) -> None:
    wanted = network.state_dict()
    state = {name: tensor.float() for name, tensor in checkpoint.state.items() if name in wanted}
    network.load_state_dict(state, assign=True)
