"""How far results are from a reference."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from .text import OUT, add_row, right

if TYPE_CHECKING:
    from ...runtime.bundle.reader import Bundle
    from ...runtime.quality.verification.verify import Comparison


def show_files(bundle: "Bundle") -> None:
    """Say that a bundle's files are whole."""
    OUT.print(f"{bundle.path}: {len(bundle.manifest.files)} files have their checksums.")


def show_comparisons(comparisons: "Sequence[Comparison]", page: Path | None = None) -> None:
    """Print every photo's largest and mean differences in every backend, step by step, and where a fault is."""
    for comparison in comparisons:
        _show_comparison(comparison)
    good = sum(comparison.within for comparison in comparisons)
    OUT.print(f"{good} of {len(comparisons)} comparisons are within tolerance.")
    if page is not None:
        OUT.print(f"The page is {page}")


def _show_comparison(comparison: "Comparison") -> None:
    from ...runtime.quality.verification.explain import explanation

    OUT.print(
        f"{Path(comparison.photo).name}: {comparison.backend}, {comparison.precision}, against {comparison.reference}"
    )
    names = list(comparison.steps[-1].differences)
    columns = (right(name) for name in (*names, "PSNR", "MS-SSIM", "L2"))
    table = Table("step", "", *columns, "", box=None, pad_edge=False)
    for step in comparison.steps:
        found = step.differences
        largest, mean = (
            [f"{getattr(found[name], kind):.1e}" if name in found else "" for name in names]
            for kind in ("largest", "mean")
        )
        measures = f"{step.psnr:.1f}", "" if step.ms_ssim is None else f"{step.ms_ssim:.6f}", f"{step.l2:.1e}"
        add_row(table, str(step.index), "max", *largest, *measures, "within" if step.within else "OUT")
        add_row(table, "", "mean", *mean)
    OUT.print(table)
    for step in comparison.steps:
        if bad := [f"{each.nan} NaN, {each.inf} Inf in {name}" for name, each in step.differences.items() if each.bad]:
            OUT.print(f"  step {step.index}: {'; '.join(bad)}")
    if comparison.drift is not None and len(comparison.steps) > 1:
        OUT.print(
            f"  drift: the mean error of the image after step {comparison.steps[-1].index} is "
            f"{comparison.drift:.2g} times that before refinement"
        )
    if not comparison.within:
        OUT.print("\n".join(f"  {line}" for line in explanation(comparison)))
