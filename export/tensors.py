"""Fit a checkpoint's tensors into networks: everything that does not fit is named in one error."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import CheckpointError
from .checkpoint import Checkpoint
from .networks.stylegan2 import Generator

_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
#: What the average code of a generator is the mean of, where a checkpoint has none: as many as e4e's authors take.
MAPPED_LATENTS = 10_000


def fill(
    checkpoint: Checkpoint,
    networks: Mapping[str, nn.Module],
    problems: Sequence[str] = (),
    ignored: Collection[str] = (),
) -> None:
    """Give networks the tensors below their prefixes, float32, without copying them; set them up for inference.

    Args:
        checkpoint: the file.
        networks: empty networks by prefix.
        problems: what was wrong with the file before.
        ignored: beginnings of names of tensors that the networks have no place for, and need none.

    Raises:
        CheckpointError: as ``check_tensors`` does.
    """
    check_tensors(checkpoint, networks, problems, ignored)
    for prefix, network in networks.items():
        state = {name: t.float() if t.is_floating_point() else t for name, t in checkpoint.part(prefix).items()}
        network.load_state_dict(state, assign=True, strict=False)
        network.eval().requires_grad_(False)


def check_tensors(
    checkpoint: Checkpoint,
    networks: Mapping[str, nn.Module],
    problems: Sequence[str] = (),
    ignored: Collection[str] = (),
    finite: bool = True,
) -> None:
    """Compare a file with the tensors that the networks declare, under their prefixes.

    With ``finite`` every number is looked at.

    Raises:
        CheckpointError: naming every missing, unexpected, misshapen, non-finite or wrongly shared tensor, and
            ``problems`` before them.
    """
    found_wrong = list(problems)
    for prefix, network in networks.items():
        found = {f"{prefix}.{name}": tensor for name, tensor in checkpoint.part(prefix).items()}
        kept = {name: t for name, t in found.items() if not name.startswith(tuple(ignored))} if ignored else found
        declared = {f"{prefix}.{name}": tensor for name, tensor in network.state_dict().items()}
        found_wrong += _problems(declared, kept, finite)
    if found_wrong:
        raise CheckpointError(
            f"{checkpoint.path} does not hold the networks its options describe",
            got=f"{len(found_wrong)} problems",
            lines=found_wrong,
        )


def _problems(declared: Mapping[str, Tensor], found: Mapping[str, Tensor], finite: bool) -> list[str]:
    # A batch norm counts its batches for training only; files saved by old releases lack the counter.
    problems = [f"missing {n}" for n in declared if n not in found and not n.endswith("num_batches_tracked")]
    problems += [f"unexpected {name}" for name in found if name not in declared]
    common = [name for name in declared if name in found]
    problems += [
        f"misshapen {name}: got {list(found[name].shape)}, expected {list(declared[name].shape)}"
        for name in common
        if found[name].shape != declared[name].shape
    ]
    problems += [
        f"of the wrong type {name}: got {found[name].dtype}, expected {declared[name].dtype}"
        for name in common
        if (found[name].dtype in _FLOATS) != declared[name].is_floating_point()
    ]
    if finite:
        problems += [f"not finite {name}" for name in common if not _is_finite(found[name])]
        problems += _unequal_copies(found)
    return problems


def _is_finite(tensor: Tensor) -> bool:
    # The sum is finite unless a term is not (or float64 overflows, which weights never do): one pass, no mask.
    return tensor.dtype not in _FLOATS or bool(torch.isfinite(tensor.float().sum(dtype=torch.float64)))


def _unequal_copies(found: Mapping[str, Tensor]) -> list[str]:
    """The refinement blocks repeat the shared hypernetwork's tensors; each copy must be the one tensor."""
    problems = []
    for name, tensor in found.items():
        original = found.get(f"hypernet.shared_weight_hypernet.{name.rpartition('.')[2]}")
        if ".hypernet." not in name or original is None or original.data_ptr() == tensor.data_ptr():
            continue
        if original.dtype != tensor.dtype or not torch.equal(original, tensor):
            problems.append(f"{name} differs from the shared hypernetwork's")
    return problems


def average_code(checkpoint: Checkpoint, styles: int, width: int, surplus: int = 0) -> Tensor:
    """The average code of W as [styles, width] float32, from [width], [1, width] or a row for each style.

    ``surplus`` rows at the end of a file's are not used.

    Raises:
        CheckpointError: there is none, or it has another shape.
    """
    average = checkpoint.latent_avg
    if average is None:
        raise CheckpointError(
            f"{checkpoint.path} has no latent_avg", hint="Its codes are relative to it: save it with the training code."
        )
    shapes = ((width,), (1, width), (styles, width), (styles + surplus, width))
    fits = tuple(average.shape) in shapes and average.dtype in _FLOATS
    if not fits or not _is_finite(average):
        raise CheckpointError(
            f"{checkpoint.path} has an unusable latent_avg",
            got=f"{average.dtype} {list(average.shape)}" + (", not finite" if fits else ""),
            expected=f"finite floats [{width}], [1, {width}] or [{styles}, {width}]",
        )
    rows = average.float() if average.dim() == 1 or len(average) == 1 else average.float()[:styles]
    return rows.expand(styles, width).contiguous()


def mapped_latents(width: int) -> Tensor:
    """``MAPPED_LATENTS`` standard normal latents [n, width], the same every time."""
    draw = np.random.Generator(np.random.PCG64(0))
    return torch.from_numpy(draw.standard_normal((MAPPED_LATENTS, width), dtype=np.float32))


@torch.no_grad()
def mapped_average(generator: Generator) -> tuple[Tensor, str]:
    """The mean of ``MAPPED_LATENTS`` mapped latents as [styles, width], and how it was made, in words."""
    shape = generator.shape
    mean = generator.style(mapped_latents(shape.width)).mean(0)
    made = f"the checkpoint has none: the mean of {MAPPED_LATENTS} mapped latents, drawn by NumPy's PCG64 with seed 0"
    return mean.expand(shape.styles, -1).contiguous(), made
