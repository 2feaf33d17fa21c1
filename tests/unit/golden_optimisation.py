"""What the authors' optimisations drew and found at 256 pixels, and how near a runtime has to come to it."""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path

import numpy as np
from PIL import Image

from hyperstyle_deploy.export.seeded import draw
from hyperstyle_deploy.runtime.methods.projection import NOISES, PERTURBATION
from hyperstyle_deploy.runtime.methods.tuning import DIFFERENCES, LATENT
from hyperstyle_deploy.runtime.refinement.loop import Step

DATA = Path(__file__).parents[1] / "data"
#: Relative to the largest: losses before any step, and later; then codes, noises and pictures, absolute.
FIRST_LOSS, LATER_LOSS, STATE = 1e-5, 1e-4, 2e-3
#: Of tuned weights: a tenth of the learning rate.
WEIGHT = 0.1 * 3e-4


def drawn(name: str, *shape: int) -> np.ndarray:
    """A tensor of the golden files' randomness."""
    stream = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    return stream.standard_normal(shape, dtype=np.float32)


def sample(name: str, size: int) -> np.ndarray:
    """Which entries of a large tensor a golden file holds."""
    stream = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    return np.sort(stream.choice(size, min(64, size), replace=False))


def photo() -> np.ndarray:
    """The golden picture in [-1, 1], [1, 3, 256, 256]."""
    pixels = np.asarray(Image.open(DATA / "faces.png").convert("RGB"), np.float32)
    return np.ascontiguousarray(((pixels / 255 - 0.5) / 0.5).transpose(2, 0, 1)[None])


def pivot(styles: int, width: int) -> np.ndarray:
    """What PTI's golden tunings stand on, [styles, width]."""
    return np.repeat(drawn("pti256.pivot", 1, width) * np.float32(0.5), styles, 0)


@dataclass(frozen=True)
class Given:
    """What the authors' code was given in place of its own draws: arrays by name and step."""

    arrays: Mapping[tuple[str, int], np.ndarray]

    def draws(self, name: str, index: int, shape: Sequence[int]) -> np.ndarray:
        """As ``Optimisation.draws`` has it; zeros where the authors drew nothing."""
        array = self.arrays.get((name, index), np.zeros(shape, np.float32))
        return array.reshape(shape)

    def write(self, folder: Path) -> Path:
        """As files, for C++."""
        folder.mkdir()
        for (name, index), array in self.arrays.items():
            (folder / f"{name}.{index}").write_bytes(array.tobytes())
        return folder


def projection_draws(variant: str, sides: Sequence[int], rows: int, width: int) -> Given:
    """Those of a projection, whose noise buffers are of these ``sides``."""
    noises = [drawn(f"projection256.noise_{j}", side**2) for j, side in enumerate(sides)]
    own = 1 if variant == "w" else rows
    moved = {(PERTURBATION, i): drawn(f"projection256.{variant}.w_noise.{i}", own, width) for i in range(5)}
    return Given({(NOISES, 0): np.concatenate(noises), **moved})


def tuning_draws(width: int) -> Given:
    """Those of PTI's regulariser."""
    return Given({(LATENT, i): drawn(f"pti256.locality.z.{i}", 1, width) for i in range(3)})


@dataclass(frozen=True)
class State:
    """A photo's state after step ``index``, of whatever runtime: losses, kept arrays, reconstruction [3, H, W]."""

    index: int
    losses: Mapping[str, float]
    arrays: Mapping[str, np.ndarray]
    reconstruction: np.ndarray

    @classmethod
    def of(cls, step: Step) -> "State":
        """The first photo's."""
        return cls(step.index, step.losses(0), step.arrays(0), step.reconstruction[0])


def check_projection(states: Iterable[State], variant: str, sides: Sequence[int]) -> None:
    """Every state of a projection by what the authors drew."""
    expected = np.load(DATA / "projection256.npz")
    for state in states:
        if state.index:
            _check_variables(state, expected, variant, sides)
        if state.index < 5:
            limit = LATER_LOSS if state.index else FIRST_LOSS
            for name, key in (("lpips", "p_loss"), ("noise", "n_loss"), ("mse", "mse_loss")):
                want = expected[f"{variant}.{key}"][state.index]
                np.testing.assert_allclose(state.losses[name], want, rtol=limit, err_msg=f"{name} {state.index}")
        if state.index == 4:
            picture = state.reconstruction
            pooled = picture.reshape(3, 64, 4, 64, 4).mean((2, 4))
            np.testing.assert_allclose(pooled, expected[f"{variant}.image_pool64"], atol=STATE)
            np.testing.assert_allclose(picture[:, 96:160, 96:160], expected[f"{variant}.image_crop64"], atol=STATE)
    assert state.index == 5


def _check_variables(state: State, expected: np.lib.npyio.NpzFile, variant: str, sides: Sequence[int]) -> None:
    """Codes and the sampled entries of every noise buffer after an update."""
    index, codes, noises = state.index - 1, state.arrays["codes"], state.arrays[NOISES]
    want = expected[f"{variant}.latent"][index, 0]
    np.testing.assert_allclose(codes, np.broadcast_to(want, codes.shape), atol=STATE, err_msg=f"codes {state.index}")
    ends = np.cumsum([0, *(side**2 for side in sides)])
    for j, (start, end) in enumerate(pairwise(ends)):
        chosen = sample(f"projection256.noise_{j}", end - start)
        want = expected[f"{variant}.noise"][index, j, : len(chosen)]
        np.testing.assert_allclose(noises[start:end][chosen], want, atol=STATE, err_msg=f"noise {j}")


def tuning_steps(variant: str) -> int:
    """How many steps the authors' code took."""
    return len(np.load(DATA / "pti256.npz")[f"{variant}.loss"])


def check_tuning(states: Iterable[State], variant: str, tensors: Mapping[str, tuple[int, ...]]) -> None:
    """Every state of a tuning around ``pivot``: losses, weights, and pictures of the authors' defaults."""
    expected = np.load(DATA / "pti256.npz")
    count = tuning_steps(variant)
    for state in states:
        if state.index < count:
            limit = LATER_LOSS if state.index else FIRST_LOSS
            found = {"l2": state.losses["mse"], "lpips": state.losses["lpips"]}
            found["loss"] = found["l2"] + found["lpips"] + 0.1 * state.losses.get("locality", 0.0)
            for key, value in found.items():
                want = expected[f"{variant}.{key}"][state.index]
                np.testing.assert_allclose(value, want, rtol=limit, err_msg=f"{key} {state.index}")
        if state.index:
            _check_weights(state, expected, variant, tensors)
        if variant == "alex" and state.index == 0:
            crop = expected["alex.image_initial_crop64"]
            np.testing.assert_allclose(state.reconstruction[:, 96:160, 96:160], crop, atol=5e-5)
    assert state.index == count
    if variant == "alex":
        pooled = state.reconstruction.reshape(3, 64, 4, 64, 4).mean((2, 4))
        np.testing.assert_allclose(pooled, expected["alex.image_final_pool64"], atol=STATE)


def _check_weights(
    state: State, expected: np.lib.npyio.NpzFile, variant: str, tensors: Mapping[str, tuple[int, ...]]
) -> None:
    """The sampled entries of tuned tensors after an update; the golden file has those of some variants."""
    differences, ends = state.arrays[DIFFERENCES], np.cumsum([0, *map(prod, tensors.values())])
    for (name, shape), start in zip(tensors.items(), ends[:-1], strict=True):
        if f"{variant}.w.{name}" not in expected:
            continue
        chosen = sample(f"pti256.{name}", prod(shape))
        base = draw(f"decoder.{name}", shape).reshape(-1)[chosen]
        found = base + differences[start : start + prod(shape)][chosen]
        want = expected[f"{variant}.w.{name}"][state.index - 1, : len(chosen)]
        np.testing.assert_allclose(found, want, atol=WEIGHT, rtol=1e-6, err_msg=f"{name} {state.index}")
