"""The page of `verify`: images beside the reference's, where they differ, and how errors grow over the steps."""

from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..bundle.files import atomic_file
from ..bundle.reader import Bundle
from ..quality.verification.explain import explanation
from ..quality.verification.steps import Pictures, StepComparison
from ..quality.verification.verify import Comparison
from .page import render, svg

if TYPE_CHECKING:
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

#: What is lost in the darkest colour: a difference that no float32 loop could show.
LEAST_ERROR = 1e-8


def write_page(path: Path, bundle: Bundle, comparisons: Sequence[Comparison]) -> None:
    """Write the page; comparisons were made with ``look``.

    Raises:
        OutputError: the file cannot be written.
    """
    norm = _norm(comparisons)
    page = render(
        "verification.html.j2",
        bundle=bundle.path.name,
        manifest=bundle.manifest,
        comparisons=[_section(comparison, norm) for comparison in comparisons],
        within=all(comparison.within for comparison in comparisons),
        scale=svg(_scale(norm)),
    )
    with atomic_file(path) as partial:
        partial.write_text(page, encoding="utf-8")


def _section(comparison: Comparison, norm: "LogNorm") -> dict[str, Any]:
    """What the template shows of one photo in one backend."""
    return {
        "comparison": comparison,
        "photo": Path(comparison.photo).name,
        "columns": list(comparison.steps[-1].differences),
        "plot": svg(_errors(comparison.steps)),
        "explanation": explanation(comparison),
        "pictures": [
            {"step": step, **_images(step.pictures, norm)} for step in comparison.steps if step.pictures is not None
        ],
    }


def _images(pictures: Pictures, norm: "LogNorm") -> dict[str, str]:
    from matplotlib import colormaps

    heat = colormaps["inferno"](norm(np.nan_to_num(np.maximum(pictures.error, LEAST_ERROR), nan=np.inf)))[..., :3]
    return {
        "reference": _data(pictures.reference),
        "result": _data(pictures.result),
        "heat": _data((np.asarray(heat) * 255).astype(np.uint8)),
    }


def _data(picture: NDArray[np.uint8]) -> str:
    """A picture as an address that holds it."""
    png = BytesIO()
    Image.fromarray(picture).save(png, format="PNG")
    return "data:image/png;base64," + b64encode(png.getvalue()).decode()


def _norm(comparisons: Sequence[Comparison]) -> "LogNorm":
    """One scale of colours for the whole page, from what is nothing to twice the range."""
    from matplotlib.colors import LogNorm

    limits = [step.image.limit for comparison in comparisons for step in comparison.steps]
    errors = [step.image.largest for comparison in comparisons for step in comparison.steps]
    finite = [value for value in (*limits, *errors) if np.isfinite(value)]
    return LogNorm(LEAST_ERROR, max(finite), clip=True)


def _scale(norm: "LogNorm") -> "Figure":
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 0.35))
    bar = figure.colorbar(ScalarMappable(norm, "inferno"), cax=figure.add_subplot(), orientation="horizontal")
    bar.set_label("|difference|, images run over [-1, 1]")
    return figure


def _errors(steps: Sequence[StepComparison]) -> "Figure":
    """Largest and mean error of every array over the steps, with the image's tolerance."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 2.8))
    axes = figure.add_subplot()
    for colour, name in enumerate((*steps[-1].arrays, "image")):
        found = [(step.index, step.differences[name]) for step in steps if name in step.differences]
        found = [(index, each) for index, each in found if each.largest > 0]  # a logarithm has no place for 0
        if found:
            at = [step for step, _ in found]
            axes.plot(at, [each.largest for _, each in found], f"C{colour}o-", label=f"{name}, largest")
            axes.plot(at, [each.mean for _, each in found], f"C{colour}.--", label=f"{name}, mean")
    axes.plot(
        [step.index for step in steps], [step.image.limit for step in steps], "k:", label="tolerance of the image"
    )
    axes.set(xlabel="refinement step", ylabel="error", yscale="log", xticks=[step.index for step in steps])
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize="small")
    return figure
