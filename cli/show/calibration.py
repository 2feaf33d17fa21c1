"""What `calibrate` prints: the report's tables."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Column, Table

from ...install_hint import install_command
from .text import OUT, right

if TYPE_CHECKING:
    from ...calibration.document import Report, Side


def show_report(report: "Report", output: Path, folder: Path, plotted: bool) -> None:
    """Print what a calibration found: the blocks, the steps, sizes and times, and the verdict.

    Args:
        report: what it found.
        output: the bundle's folder.
        folder: where the report was written to.
        plotted: whether plots are there as well.
    """
    OUT.print(_blocks(report))
    for block in report.blocks:
        if block.reason:
            OUT.print(f"kept: {block.name}: {block.reason}")
    if report.image is not None:
        OUT.print(_steps(report))
    if report.after is not None and report.met:
        OUT.print(_sides(report.before, report.after))
    more = "" if plotted else f" (for plots: {install_command('report')})"
    OUT.print(f"Report: {folder}{more}", markup=False)
    if report.met:
        OUT.print(f"At least {report.least_psnr:g} dB at every step: {output}")
        return
    OUT.print(f"The target of {report.least_psnr:g} dB was not met with any block quantized. No bundle was written.")


def _blocks(report: "Report") -> Table:
    title = f"{report.form.title}, each block alone, in ONNX Runtime"
    table = Table(
        Column("block", no_wrap=True), right("weights"), "", *map(right, ("PSNR", "L2", "largest", "saturated")),
        title=title,
    )  # fmt: skip
    for block in report.blocks:
        worst = min(range(len(block.alone.psnr)), key=lambda step: block.alone.psnr[step])
        table.add_row(
            block.name,
            f"{block.parameters / 1e6:.1f} M",
            "quantized" if block.quantized else "kept",
            f"{block.alone.psnr[worst]:.1f} dB",
            f"{block.alone.l2[worst]:.1e}",
            f"{block.alone.largest[worst]:.1e}",
            _saturated(report, block.name),
        )
    return table


def _saturated(report: "Report", block: str) -> str:
    """The largest share of a tensor's values at one step that a block clips; nothing for one that reads no tensors."""
    shares = [step.saturated for tensor in report.tensors if tensor.block == block for step in tensor.steps]
    return f"{max(shares):.3%}" if shares else ""


def _steps(report: "Report") -> Table:
    assert report.image is not None
    table = Table(
        "step", *map(right, ("PSNR", "L2", "largest")), title=f"All quantized blocks together, {report.backend}"
    )
    for step, values in enumerate(zip(report.image.psnr, report.image.l2, report.image.largest, strict=True)):
        table.add_row(str(step), f"{values[0]:.1f} dB", f"{values[1]:.1e}", f"{values[2]:.1e}")
    return table


def _sides(before: "Side", after: "Side") -> Table:
    table = Table("", *map(right, ("float32", "calibrated", "ratio")), title="Size, and seconds here")
    rows = [("bytes", before.bytes / 1e6, after.bytes / 1e6, ".0f")]
    rows += [(stage, before.seconds[stage], after.seconds[stage], ".3f") for stage in before.seconds]
    for name, full, small, form in rows:
        unit = " MB" if name == "bytes" else " s"
        table.add_row(name, f"{full:{form}}{unit}", f"{small:{form}}{unit}", f"{small / full:.2f}")
    return table
