"""How far results are from a reference."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from .text import OUT, add_row, right

if TYPE_CHECKING:
    from ...runtime.bundle.reader import Bundle
    from ...runtime.quality.verification.steps import Difference, StepComparison
    from ...runtime.quality.verification.verify import Comparison


def show_files(bundle: "Bundle", as_json: bool) -> None:
    """Say that a bundle's files are whole."""
    count = len(bundle.manifest.files)
    if as_json:
        OUT.print(json.dumps({"bundle": str(bundle.path), "files": count, "within": True}))
    else:
        OUT.print(f"{bundle.path}: {count} files have their checksums.")


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
        measures = f"{step.psnr:.1f}", f"{step.ms_ssim:.6f}", f"{step.l2:.1e}"
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


def verify_summary(bundle: "Bundle", comparisons: "Sequence[Comparison]") -> dict[str, Any]:
    """The comparisons as JSON values; what is not finite is null."""
    return {
        "bundle": str(bundle.path),
        "model": bundle.manifest.model,
        "precision": bundle.manifest.precision,
        "comparisons": [
            {
                "photo": each.photo,
                "backend": each.backend,
                "precision": each.precision,
                "reference": each.reference,
                "within": each.within,
                "drift": None if each.drift is None else _finite(each.drift),
                "steps": [_step(step) for step in each.steps],
                "stages": [
                    {"stage": stage.stage, "step": stage.step, "output": stage.output, **_values(stage.difference)}
                    for stage in each.stages
                ],
                "bisection": _bisection(each),
            }
            for each in comparisons
        ],
        "within": all(each.within for each in comparisons),
    }


def _step(step: "StepComparison") -> dict[str, Any]:
    return {
        "step": step.index,
        **{name.replace(" ", "_"): _values(difference) for name, difference in step.differences.items()},
        "psnr": _finite(step.psnr),
        "ms_ssim": _finite(step.ms_ssim),
        "l2": _finite(step.l2),
        "within": step.within,
    }


def _values(difference: "Difference") -> dict[str, Any]:
    values = {name: _finite(value) for name, value in asdict(difference).items()}
    return {**values, "within": difference.within}


def _bisection(comparison: "Comparison") -> dict[str, Any] | None:
    if (found := comparison.bisection) is None:
        return None
    counts = {"stage": found.stage, "step": found.step, "compared": found.compared, "nodes": found.nodes}
    if (fault := found.fault) is None:
        return {**counts, "node": None}
    return {
        **counts,
        "node": fault.node,
        "op": fault.op,
        "output": fault.output,
        **_values(fault.difference),
        "inputs": _finite(fault.inputs),
    }


def _finite(value: float) -> float | None:
    """JSON has neither NaN nor infinity: equal images have no PSNR there."""
    return value if math.isfinite(value) else None
