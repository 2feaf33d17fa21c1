"""Which blocks to quantize: each one's effect is measured, and what costs most for its size stays in float32."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
    """Quantize as much as the target allows.

    Errors of different blocks have little to do with each other, so their mean squares add up nearly. While the sum is
    above the target at some step, the block that costs most there for its size is kept; blocks that fit in after all
    then come back, the largest first. What is left is measured, and blocks go on being kept until the measurement is
    within, at every step.

    Args:
        blocks: all blocks.
        effects: of each block alone, by name.
        least_psnr: the target at every step, in dB.
        measure: the effect of several blocks together.
    """
    costs = _Costs(effects)
    limit = PEAK * PEAK * 10 ** (-least_psnr / 10)
    chosen, out = list(blocks), list[Block]()
    while chosen and costs.together(chosen).max() > limit:
        out.append(costs.dearest(chosen))
        chosen.remove(out[-1])
    for block in sorted(out, key=lambda block: -block.parameters):
        if costs.together([*chosen, block]).max() <= limit:
            chosen.append(block)
            out.remove(block)
    kept = [
        Kept(block.name, f"{costs.alone(block)}; all together are expected at {_decibels(with_it):.1f} dB with it")
        for block in out
        for with_it in [costs.together([*chosen, block]).max()]
    ]
    effect = None
    while chosen:
        tried = tuple(block for block in blocks if block in chosen)
        effect = measure(tried)
        if effect.worst >= least_psnr:
            return Choice(tried, tuple(kept), effect, True)
        block = costs.dearest(chosen)
        chosen.remove(block)
        kept.append(Kept(block.name, f"{costs.alone(block)}; all together gave {effect.worst:.1f} dB with it"))
    return Choice((), tuple(kept), effect, False)


class _Costs:
    """Mean squared errors at each step of blocks alone, by name; infinite where a block makes NaN, which goes first."""

    def __init__(self, effects: Mapping[str, Effect]) -> None:
        self._effects = effects
        self._costs = {name: np.nan_to_num(effect.mean_squares, nan=np.inf) for name, effect in effects.items()}

    def together(self, blocks: Iterable[Block]) -> NDArray[np.float64]:
        """What is expected of several, at each step."""
        return np.sum([self._costs[block.name] for block in blocks], 0)

    def dearest(self, blocks: Sequence[Block]) -> Block:
        """The one whose share of the worst step is largest for its size."""
        step = self.together(blocks).argmax()
        return max(blocks, key=lambda block: self._costs[block.name][step] / block.parameters)

    def alone(self, block: Block) -> str:
        """A block's worst step, in words."""
        step = int(self._costs[block.name].argmax())
        return f"alone it gives {self._effects[block.name].psnr[step]:.1f} dB at step {step}"


def _decibels(mean_square: float) -> float:
    return float(-10 * np.log10(mean_square / (PEAK * PEAK)))
