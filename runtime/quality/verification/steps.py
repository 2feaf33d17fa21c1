"""Results beside a reference's: how far every array of every step is off, and whether that is within tolerance."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...images import to_uint8
from ...refinement.loop import Step
from ...session import Session
from ..metrics import LEAST_SIDE, l2, ms_ssim
from ..tolerance import least_psnr, psnr, tolerance

Host = NDArray[np.float32]


@dataclass(frozen=True)
class Difference:
    """``|array - reference|``: its largest value and mean (NaN where one is not finite), and how large it may be.

    ``nan`` and ``inf`` count such values in the array.
    """

    largest: float
    mean: float
    nan: int
    inf: int
    limit: float

    @property
    def bad(self) -> int:
        """How many values are not finite."""
        return self.nan + self.inf

    @property
    def within(self) -> bool:
        """Whether all is finite and nothing is off by more than ``limit``."""
        # A NaN must fail, so the comparison asks for what is within.
        return not self.bad and self.largest <= self.limit


def difference(array: NDArray[Any], reference: NDArray[Any], allowed: float, floor: float = 1.0) -> Difference:
    """Compare two arrays of one shape.

    Args:
        array: the result.
        reference: what it should be.
        allowed: the largest accepted difference, relative to the reference's largest magnitude if that is above
            ``floor``.
        floor: 1 for what the loop hands on; 0 makes it always relative.
    """
    if array.shape != reference.shape:
        return Difference(math.inf, math.inf, 0, 0, allowed)
    wanted = reference.astype(np.float32, copy=False)
    with np.errstate(invalid="ignore", over="ignore"):
        off = np.abs(array.astype(np.float32, copy=False) - wanted)
    peak = float(np.max(np.abs(wanted), initial=0.0))
    return Difference(
        largest=float(np.max(off, initial=0.0)),
        mean=float(np.mean(off, dtype=np.float64)) if off.size else 0.0,
        nan=int(np.isnan(array).sum()),
        inf=int(np.isinf(array).sum()),
        limit=allowed * max(floor, peak),
    )


@dataclass(frozen=True, eq=False)
class Expected:
    """A reference's state after step ``index``, of one photo.

    ``arrays`` are those of an inversion that the reference has, as ``Step.arrays`` gives them, ``image`` is
    [1, 3, height, width], ``offsets`` {layer: [out, in, k, k]}, None where there are none to compare.
    """

    index: int
    arrays: Mapping[str, Host]
    image: Host
    offsets: Mapping[int, Host] | None = None


@dataclass(frozen=True, eq=False)
class Pictures:
    """A step to look at, at the networks' input size: both images [H, W, 3] uint8, and ``|difference|`` [H, W]."""

    reference: NDArray[np.uint8]
    result: NDArray[np.uint8]
    error: Host


@dataclass(frozen=True)
class StepComparison:
    """A session's state after step ``index`` against a reference's.

    ``arrays`` are those of an inversion by name, ``offsets`` is the worst layer's. ``psnr`` (dB) is of the images at
    full size, ``ms_ssim`` and ``l2`` are the paper's measures, of the images at about the networks' input size, the
    first of them None where that leaves no room for its windows. ``held`` is whether the arrays are held to their
    tolerances: a calibrated bundle's are not, it promises a PSNR.
    """

    index: int
    arrays: Mapping[str, Difference]
    offsets: Difference | None
    image: Difference
    psnr: float
    least_psnr: float
    held: bool
    ms_ssim: float | None
    l2: float
    pictures: Pictures | None = None

    @property
    def differences(self) -> dict[str, Difference]:
        """What was compared, by name."""
        offsets = {} if self.offsets is None else {"offsets": self.offsets}
        return {**self.arrays, **offsets, "image": self.image}

    @property
    def within(self) -> bool:
        """Whether every array is finite, and within tolerance if held to it, and the PSNR not below the least one."""
        compared = self.differences.values()
        close = all(each.within for each in compared) if self.held else not any(each.bad for each in compared)
        return close and self.psnr >= self.least_psnr


def compare_steps(
    session: Session, images: Host, reference: Iterable[Expected], steps: int, *, gpu: bool = False, look: bool = False
) -> list[StepComparison]:
    """Run the loop freely, on its own results, and compare every step with a reference's.

    Args:
        session: what to verify.
        images: one photo [1, C, H, W], as ``Session.prepare`` makes it.
        reference: the same photo's states, 0 to ``steps``.
        steps: refinement steps.
        gpu: whether the session runs on a GPU.
        look: keep pictures of every step.
    """
    allowed = tolerance(session.precision, gpu)
    pairs = zip(session.refine(images, steps), reference, strict=True)
    return [_compare_step(session, got, want, allowed, look) for got, want in pairs]


def _compare_step(session: Session, got: Step, want: Expected, allowed: float, look: bool) -> StepComparison:
    promised, arrays = session.manifest.least_psnr, got.arrays(0)
    small, wanted = (_pooled(image[0], session.manifest.image.input_width) for image in (got.image, want.image))
    return StepComparison(
        index=got.index,
        arrays={name: difference(arrays[name], array, allowed) for name, array in want.arrays.items()},
        offsets=None if want.offsets is None else _offsets(session, got, want.offsets, allowed),
        image=difference(got.image, want.image, allowed),
        psnr=psnr(got.image, want.image),
        least_psnr=least_psnr(session.precision) if promised is None else promised,
        held=promised is None,
        ms_ssim=ms_ssim(small, wanted) if min(small.shape[1:]) >= LEAST_SIDE else None,
        l2=l2(small, wanted),
        pictures=_pictures(small, wanted) if look else None,
    )


def _offsets(session: Session, got: Step, wanted: Mapping[int, Host], allowed: float) -> Difference | None:
    """The worst layer's offsets."""
    ours = session.weight_offsets(session.inversion(got, 0, ()))
    found = [difference(ours[layer], offset, allowed) for layer, offset in wanted.items()]
    return max(found, key=_excess, default=None)


def _excess(one: Difference) -> float:
    """How many times its limit a difference is; what is not finite comes first."""
    return math.inf if one.bad or math.isnan(one.largest) else one.largest / one.limit


def _pooled(image: Host, width: int) -> Host:
    """[3, H, W] averaged over blocks of pixels, to the ``width`` that the loop pools to or just above it.

    A drawing that is smaller stays as it is.
    """
    factor = 1 << max(0, (image.shape[2] // width).bit_length() - 1)
    channels, height, columns = image.shape[0], image.shape[1] // factor, image.shape[2] // factor
    whole = image[:, : height * factor, : columns * factor]
    return whole.reshape(channels, height, factor, columns, factor).mean((2, 4), dtype=np.float32)


def _pictures(result: Host, reference: Host) -> Pictures:
    error = np.abs(result - reference).max(0)
    left, right = (to_uint8(np.nan_to_num(image)[None])[0] for image in (reference, result))
    return Pictures(left, right, error)
