"""The gate: who is kept, in which order, and when nothing helps."""

import math

import numpy as np
import pytest

from hyperstyle_deploy.calibration.blocks import Block
from hyperstyle_deploy.calibration.effects import Effect, compare
from hyperstyle_deploy.calibration.gate import choose

PEAK_SQUARE = 4.0


def effect(*psnr: float) -> Effect:
    return Effect(psnr, (0.0,) * len(psnr), (0.0,) * len(psnr))


def block(name: str, parameters: int = 1) -> Block:
    return Block(name, "convolutions", frozenset(), parameters)


class Additive:
    """Blocks whose errors add up, times a factor; it remembers what was asked."""

    def __init__(self, effects: dict[str, Effect], factor: float = 1.0) -> None:
        self.effects, self.factor, self.asked = effects, factor, []

    def __call__(self, blocks: tuple[Block, ...]) -> Effect:
        self.asked.append([block.name for block in blocks])
        total = self.factor * sum(self.effects[block.name].mean_squares for block in blocks)
        return effect(*(10 * np.log10(PEAK_SQUARE / total)))


EFFECTS = {"a": effect(math.inf, 60, 35), "b": effect(55, 55, 55), "c": effect(41, 70, 70), "d": effect(60, 60, 60)}
BLOCKS = [block(name) for name in EFFECTS]


def test_the_worst_block_of_any_step_is_kept_and_measured_once() -> None:
    measure = Additive(EFFECTS)
    choice = choose(BLOCKS, EFFECTS, 40.0, measure)
    assert choice.met
    assert [kept.block for kept in choice.kept] == ["a"]
    assert "alone it gives 35.0 dB at step 2" in choice.kept[0].reason
    assert measure.asked == [["b", "c", "d"]]
    assert choice.effect.worst >= 40


def test_a_large_block_is_quantized_where_small_ones_make_room_for_it() -> None:
    """Alone it is the worst, and the only one that makes a bundle small."""
    effects = {"large": effect(43.0), "small": effect(44.0), "tiny": effect(44.5), "other": effect(60.0)}
    blocks = [block("large", 1000), block("small", 2), block("tiny"), block("other", 10)]
    choice = choose(blocks, effects, 41.0, Additive(effects))
    assert [one.name for one in choice.chosen] == ["large", "other"]
    assert choice.met


def test_what_fits_after_all_comes_back() -> None:
    """The dearest for its size goes first; once a large one had to go as well, there is room for it again."""
    effects = {"a": effect(50.0), "b": effect(39.0), "c": effect(45.0)}
    choice = choose([block("a"), block("b", 100), block("c", 1000)], effects, 40.0, Additive(effects))
    assert [one.name for one in choice.chosen] == ["a", "c"]
    assert [kept.block for kept in choice.kept] == ["b"]


def test_more_are_kept_where_the_measurement_is_worse_than_expected() -> None:
    measure = Additive(EFFECTS, factor=3.0)
    choice = choose(BLOCKS, EFFECTS, 40.0, measure)
    assert measure.asked == [["b", "c", "d"], ["b", "d"]]
    assert [kept.block for kept in choice.kept] == ["a", "c"]
    assert "all together gave" in choice.kept[1].reason


def test_nothing_is_kept_without_need() -> None:
    choice = choose(BLOCKS, EFFECTS, 30.0, Additive(EFFECTS))
    assert (len(choice.chosen), choice.kept) == (4, ())


def test_a_target_out_of_reach_keeps_all_and_says_why() -> None:
    choice = choose(BLOCKS, EFFECTS, 58.0, Additive(EFFECTS, factor=2.0))
    assert not choice.met
    assert {kept.block for kept in choice.kept} == set(EFFECTS)
    assert all(kept.reason for kept in choice.kept)


def test_a_block_that_makes_nan_goes_first() -> None:
    effects = {**EFFECTS, "d": effect(60, math.nan, 60)}
    choice = choose(BLOCKS, effects, 30.0, Additive(effects))
    assert choice.met
    assert [kept.block for kept in choice.kept] == ["d"]


def test_the_effect_is_the_worst_photo_of_each_step() -> None:
    zero, one = np.zeros((3, 4, 4), np.float32), np.ones((3, 4, 4), np.float32)
    found = compare([[zero, zero], [one * 0.5, zero]], [[zero, zero], [zero, zero]])
    assert found.psnr == (pytest.approx(10 * math.log10(4 / 0.25)), math.inf)
    assert found.l2 == (0.125, 0)
    assert found.largest == (0.5, 0)
    assert found.to_json()["psnr"] == [12.041, None]
