"""Fine-tunes the demo model's generator to another domain: it learns to draw its own pictures in pencil."""

from collections.abc import Iterator
from pathlib import Path

import torch
from numpy.random import Generator as Random
from torch import Tensor
from torch.nn import functional as F

from ..demo import CHECKPOINT
from ..export.checkpoint import GENERATOR, read_checkpoint
from ..runtime.bundle.files import atomic_file
from .generator import Codes
from .loop import Training, load_network, train
from .losses import feature_weight, picture_loss
from .networks import Widths, new_generator
from .parameters import PARAMETERS
from .synthesis import synthesize

#: Of what a pixel is light or dark against, in pixels; and how dark the strokes are.
BLUR, DARKNESS = 5, 1.6
#: The tint of the paper, in [-1, 1].
PAPER = (0.94, 0.9, 0.8)


def pencil(pictures: Tensor) -> Tensor:
    """A drawing of pictures [B, 3, side, side] in [-1, 1], of the same shape: dark where a pixel is darker than around.

    ``grey / blurred grey``, as photographs are made to look drawn, with some shading left, on a paper's tint.
    """
    grey = (pictures.clamp(-1, 1).mean(1, keepdim=True) + 1) / 2
    padded = F.pad(grey, [BLUR // 2] * 4, mode="replicate")
    around = F.avg_pool2d(F.avg_pool2d(F.pad(padded, [1] * 4, mode="replicate"), 3, 1), BLUR, 1)
    strokes = 1 - DARKNESS * (1 - grey / around.clamp(min=0.05)).clamp(0, 1)
    shaded = strokes.clamp(0.05, 1) * (0.75 + 0.25 * grey)
    return torch.tensor(PAPER).view(1, 3, 1, 1) * shaded + (shaded - 1)


def adapt_generator(folder: Path, target: Path, steps: int, batch: int = 8, lr: float = 2e-3) -> None:
    """Fine-tune, or go on where ``folder`` left off, and write the generator below `g_ema` to ``target``."""
    torch.manual_seed(6)
    widths = Widths()
    own = read_checkpoint(CHECKPOINT).part("decoder")
    teacher, generator, codes = new_generator(widths), new_generator(widths), Codes(widths.style)
    for network in (teacher, generator):
        network.load_state_dict(own)
    weight = feature_weight(widths.size)

    def batches(random: Random, progress: float) -> Iterator[dict[str, float]]:
        parameters = torch.from_numpy(random.random((batch, len(PARAMETERS))).astype("float32"))
        with torch.no_grad():
            drawn_from = codes(parameters)
            wanted = pencil(synthesize(teacher, drawn_from))
        drawn = synthesize(generator, drawn_from)
        loss = picture_loss(drawn, wanted, weight)
        loss.backward()
        yield {"loss": loss.item(), "l2": (drawn.detach() - wanted).square().mean().item()}

    synthesis = [p for name, p in generator.named_parameters() if not name.startswith("style.")]
    settings = {"batch": batch, "lr": lr}
    train(
        Training("adaptation", {"generator": generator}, [{"params": synthesis, "lr": lr}], batches, settings),
        folder,
        steps,
    )
    load_network(folder, "adaptation", generator)
    with atomic_file(target) as partial:
        torch.save({GENERATOR: generator.state_dict()}, partial)
