"""Directions in files of PyTorch's, read as checkpoints are: nothing in them runs."""

from pathlib import Path

from ..errors import CheckpointError
from ..runtime.editing.importing import Values
from .checkpoint import Tensors, read_content
from .pickles import StoredTensor

#: The name of a file's only tensor.
ONLY = ""


def read_values(path: Path) -> Values:
    """The tensors of a file that ``torch.save`` wrote of one tensor, or of a dictionary of tensors by name.

    InterFaceGAN's directions are single tensors; HyperStyle's authors keep GANSpace's as a dictionary.

    Raises:
        CheckpointError: the file cannot be read safely, or holds something else.
    """
    archive, content = read_content(path)
    stored = {ONLY: content} if isinstance(content, StoredTensor) else content
    if not isinstance(stored, dict) or not all(isinstance(name, str) for name in stored):
        raise CheckpointError(
            f"{path} holds no directions", got=type(content).__name__, expected="a tensor, or a dictionary of tensors"
        )
    tensors = Tensors(archive)
    return Values({name: tensors.tensor(name or "the tensor", value).float().numpy() for name, value in stored.items()})
