"""Which blocks to quantize: each one's effect is measured, and the worst stay in float32 until the target is met."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..runtime.quality.tolerance import PEAK
from .blocks import Block
from .effects import Effect


@dataclass(frozen=True)
class Kept:
    """A block that stays in float32, and why."""

    block: str
    reason: str


@dataclass(frozen=True)
class Choice:
    """Blocks to quantize, blocks that are kept, and what the chosen ones do together, as measured."""

    chosen: tuple[Block, ...]
    kept: tuple[Kept, ...]
    effect: Effect | None
    met: bool


def choose(
    blocks: Sequence[Block],
    effects: Mapping[str, Effect],
    least_psnr: float,
    measure: Callable[[tuple[Block, ...]], Effect],
) -> Choice:
    """Quantize as many blocks as the target allows.

    Errors of different blocks have little to do with each other, so their mean squares add up nearly: the block with
    the largest share of the worst step is kept while the sum is above the target. Then what is left is measured, and
    blocks go on being kept until the measurement is within, at every step.

    Args:
        blocks: all blocks.
        effects: of each block alone, by name.
        least_psnr: the target at every step, in dB.
        measure: the effect of several blocks together.
    """
    limit = PEAK * PEAK * 10 ** (-least_psnr / 10)
    chosen, kept = list(blocks), []

    def keep(reason: str) -> None:
        shares = np.array([effects[block.name].mean_squares for block in chosen])
        # A block that makes NaN goes first.
        worst_step = int(np.argmax(np.nan_to_num(shares, nan=np.inf).sum(0)))
        worst = int(np.argmax(np.nan_to_num(shares[:, worst_step], nan=np.inf)))
        block = chosen.pop(worst)
        alone = effects[block.name].psnr[worst_step]
        kept.append(Kept(block.name, f"alone it gives {alone:.1f} dB at step {worst_step}; {reason}"))

    while chosen:
        expected = np.sum([effects[block.name].mean_squares for block in chosen], 0).max()
        if expected <= limit:
            break
        keep(f"all together are expected at {_decibels(expected):.1f} dB with it")
    effect = None
    while chosen:
        effect = measure(tuple(chosen))
        if effect.worst >= least_psnr:
            return Choice(tuple(chosen), tuple(kept), effect, True)
        keep(f"all together gave {effect.worst:.1f} dB with it")
    return Choice((), tuple(kept), effect, False)


def _decibels(mean_square: float) -> float:
    return float(10 * np.log10(PEAK * PEAK / mean_square))
