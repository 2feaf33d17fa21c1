"""Plots of a calibration: ranges per step, the effect of each block, and the loop's PSNR."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .document import Report, TensorRange

#: A line a step, from light to dark.
_COLOURS = "viridis_r"


def write_plots(report: Report, folder: Path) -> list[Path]:
    """Write `ranges.png` and `blocks.png` into a folder that exists; return their paths."""
    figures = {"ranges.png": _ranges(report), "blocks.png": _blocks(report)}
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=120)
    return [folder / name for name in figures]


def _ranges(report: Report) -> Figure:
    """Peak and saturation of every tensor, a line a step, a column for each graph that convolves."""
    stages = list(dict.fromkeys(tensor.stage for tensor in report.tensors))
    figure = Figure(figsize=(7.5 * len(stages), 8), layout="constrained")
    axes = figure.subplots(2, len(stages), sharex="col", squeeze=False)
    for column, stage in enumerate(stages):
        tensors = [tensor for tensor in report.tensors if tensor.stage == stage]
        _peaks(axes[0][column], tensors)
        _saturation(axes[1][column], tensors)
        axes[0][column].set_title(f"{stage}: what its convolutions read")
        _mark_blocks(axes[1][column], tensors)
    figure.suptitle(f"{report.source}: {report.method}, {len(report.photos)} photos, {report.steps} refinement steps")
    return figure


def _mark_blocks(axes: Axes, tensors: Sequence[TensorRange]) -> None:
    """Tensors in the order of the data, each block's name at its first one."""
    names = [tensor.block or "float32" for tensor in tensors]
    firsts = [index for index, name in enumerate(names) if index == 0 or names[index - 1] != name]
    axes.set_xticks(firsts, [names[index].partition(" ")[2] or names[index] for index in firsts], rotation=90)
    axes.tick_params("x", labelsize="x-small")
    axes.set_xlabel("tensors in the order of the data, by the block that reads them")


def _steps(tensors: Sequence[TensorRange]) -> list[int]:
    return sorted({step.step for tensor in tensors for step in tensor.steps})


def _peaks(axes: Axes, tensors: Sequence[TensorRange]) -> None:
    steps = _steps(tensors)
    for number, step in enumerate(steps):
        peaks = [max(max(abs(s.minimum), abs(s.maximum)) for s in t.steps if s.step == step) for t in tensors]
        axes.plot(peaks, ".-", color=_colour(number, len(steps)), linewidth=0.8, label=f"peak, step {step}")
    axes.plot([tensor.threshold for tensor in tensors], "k_", markersize=7, label="threshold")
    axes.set(yscale="log", ylabel="magnitude")
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize="small")


def _saturation(axes: Axes, tensors: Sequence[TensorRange]) -> None:
    steps = _steps(tensors)
    for number, step in enumerate(steps):
        shares = [100 * max(s.saturated for s in t.steps if s.step == step) for t in tensors]
        axes.plot(shares, ".-", color=_colour(number, len(steps)), linewidth=0.8, label=f"step {step}")
    axes.set_ylabel("saturated values, %")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")


def _colour(number: int, count: int) -> tuple[float, float, float, float]:
    from matplotlib import colormaps

    red, green, blue, alpha = colormaps[_COLOURS](0.15 + 0.85 * number / max(count - 1, 1))
    return red, green, blue, alpha


def _blocks(report: Report) -> Figure:
    """The worst step's PSNR of each block alone, and the PSNR of all quantized ones together at each step."""
    figure = Figure(figsize=(15, 5), layout="constrained")
    left, right = figure.subplots(1, 2, squeeze=False)[0]
    names = [block.name for block in report.blocks]
    colours = ["tab:blue" if block.quantized else "tab:red" for block in report.blocks]
    left.barh(names, [min(block.alone.worst, 99.0) for block in report.blocks], color=colours)
    left.axvline(report.least_psnr, color="k", linestyle="--")
    left.invert_yaxis()
    left.set(xlabel="PSNR at the worst step, dB", title="each block alone (red: kept in float32)")
    if report.image is not None:
        right.plot([min(value, 99.0) for value in report.image.psnr], "o-")
    right.axhline(report.least_psnr, color="k", linestyle="--")
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.set(xlabel="step", ylabel="PSNR, dB", title=f"all quantized blocks together, {report.backend}")
    right.grid(alpha=0.3)
    return figure
