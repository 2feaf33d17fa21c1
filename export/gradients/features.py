"""IDInvert's perceptual term (Zhu et al., ECCV 2020): the distance of VGG16's features, from a file of the authors."""

from pathlib import Path

import torch
from torch import Tensor, nn

from ...errors import CheckpointError
from ..checkpoint import Checkpoint, read_state
from ..methods.recognition import IDINVERT_VGG, TITLES, method_of
from ..tensors import fill
from .criterion import Criterion
from .losses import mean_square
from .perceptual import VGG16_FOUR_BLOCKS, TrunkNetwork, empty_trunk

#: What is subtracted from red, green and blue over [0, 255]; nothing is divided.
MEANS = (123.68, 116.779, 103.939)
#: From [-1, 1] to [0, 255].
HALF_RANGE = 127.5


class Vgg16Features(Criterion):
    """``mse``, and ``feature = mean (F(picture) - F(target))^2``, F behind the ReLU of conv4_3.

    The network looks at blue, green and red, in this order: its first kernels are turned around instead.
    """

    terms = ("mse", "feature")

    def __init__(self, trunk: TrunkNetwork, file: Checkpoint) -> None:
        super().__init__()
        self.file, self.trunk = file, trunk
        first = trunk.features["0"]
        first.weight = nn.Parameter(first.weight.flip(1).contiguous())
        self.register_buffer("means", torch.tensor(MEANS).view(1, 3, 1, 1))

    @property
    def networks(self) -> dict[str, str]:
        return {"trunk": self.trunk.trunk.name, "trunk_sha256": self.file.sha256}

    def features(self, picture: Tensor) -> list[Tensor]:
        return self.trunk((picture + 1) * HALF_RANGE - self.means)[-1:]

    def forward(self, picture: Tensor, target: Tensor, features: list[Tensor]) -> dict[str, Tensor]:
        (ours,), (theirs,) = self.features(picture), features
        return {"mse": mean_square(picture - target), "feature": mean_square(ours - theirs)}


def read_features(path: Path) -> Vgg16Features:
    """The network of IDInvert's loss from the authors' `vgg16.pth`, of any widths.

    Raises:
        CheckpointError: the file cannot be read or is another one; or tensors are missing, misshapen or not finite, all
            named at once.
    """
    file = read_state(path)
    first = "layer0.weight"
    if first not in file.state:
        raise CheckpointError(
            f"{path} is {_told(file)}",
            expected=f"{TITLES[IDINVERT_VGG]}, tensors {first}, layer0.bias, layer2.weight, ...",
            hint="torchvision's file will not do: it is of a network that was trained on other inputs.",
        )
    trunk = empty_trunk(VGG16_FOUR_BLOCKS, file, "layer")
    # Kernels come without a copy, and the first one is replaced, not changed.
    fill(file, {f"layer{index}": convolution for index, convolution in trunk.features.items()})
    return Vgg16Features(trunk, file).eval().requires_grad_(False)


def _told(file: Checkpoint) -> str:
    try:
        return TITLES[method_of(file)]
    except CheckpointError:
        return f"a state dict of {sorted(file.state)[:6]}"
