"""Directions in files of PyTorch's, read as checkpoints are: nothing in them runs."""

from pathlib import Path

import numpy as np
from torch import Tensor

from ..errors import CheckpointError
from ..runtime.editing.importing import Values
from .checkpoint import check_tensor, read_content

#: The name of a file's only tensor.
ONLY = ""


def read_values(path: Path) -> Values:
    """The tensors of a file that ``torch.save`` wrote of one tensor, or of a dictionary of tensors by name.

    InterFaceGAN's directions are single tensors; HyperStyle's authors keep GANSpace's as a dictionary.

    Raises:
        CheckpointError: the file cannot be read safely, or holds something else.
    """
    content = read_content(path)
    tensors = {ONLY: content} if isinstance(content, Tensor) else content
    if not isinstance(tensors, dict) or not all(isinstance(name, str) for name in tensors):
        raise CheckpointError(
            f"{path} holds no directions", got=type(content).__name__, expected="a tensor, or a dictionary of tensors"
        )
    for name, tensor in tensors.items():
        check_tensor(path, name or "the tensor", tensor)
    return Values({name: np.array(tensor.float().numpy()) for name, tensor in tensors.items()})
