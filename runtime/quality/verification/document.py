"""What a verification found, as one JSON document; what is not finite is null."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ...bundle.reader import Bundle
from ..json_values import finite
from .bisect import Bisection
from .steps import Difference, StepComparison
from .verify import Comparison


def files_document(bundle: Bundle) -> dict[str, Any]:
    """That a bundle's files are whole."""
    return {"bundle": str(bundle.path), "files": len(bundle.manifest.files), "within": True}


def verification_document(bundle: Bundle, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Every photo in every backend, step by step, and where a fault is."""
    return {
        "bundle": str(bundle.path),
        "method": bundle.manifest.method.name,
        "model": bundle.manifest.model,
        "precision": bundle.manifest.precision,
        "comparisons": [_comparison(each) for each in comparisons],
        "within": all(each.within for each in comparisons),
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "photo": comparison.photo,
        "backend": comparison.backend,
        "precision": comparison.precision,
        "reference": comparison.reference,
        "within": comparison.within,
        "drift": finite(comparison.drift),
        "steps": [_step(step) for step in comparison.steps],
        "stages": [
            {"stage": stage.stage, "step": stage.step, "output": stage.output, **_values(stage.difference)}
            for stage in comparison.stages
        ],
        "bisection": None if comparison.bisection is None else _bisection(comparison.bisection),
    }


def _step(step: StepComparison) -> dict[str, Any]:
    return {
        "step": step.index,
        **{name: _values(difference) for name, difference in step.differences.items()},
        "psnr": finite(step.psnr),  # equal images have none
        "ms_ssim": finite(step.ms_ssim),
        "l2": finite(step.l2),
        "within": step.within,
    }


def _values(difference: Difference) -> dict[str, Any]:
    values = {name: finite(value) for name, value in asdict(difference).items()}
    return {**values, "within": difference.within}


def _bisection(found: Bisection) -> dict[str, Any]:
    counts = {"stage": found.stage, "step": found.step, "compared": found.compared, "nodes": found.nodes}
    if (fault := found.fault) is None:
        return {**counts, "node": None}
    return {
        **counts,
        "node": fault.node,
        "op": fault.op,
        "output": fault.output,
        **_values(fault.difference),
        "inputs": finite(fault.inputs),
    }
