"""How far results are from a reference."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from .text import OUT, add_row, right

if TYPE_CHECKING:
    from ...export.verification import StepDifference
    from ...runtime.session import Session


def show_loaded(path: Path, session: "Session", as_json: bool) -> None:
    """Say that a bundle's files are whole and that the backend loads them."""
    count = len(session.manifest.files)
    if as_json:
        OUT.print(json.dumps({"bundle": str(path), "backend": session.backend, "files": count, "within": True}))
    else:
        OUT.print(f"{path}: {count} files have their checksums, and {session.backend} loads them.")


def show_differences(session: "Session", differences: "Sequence[StepDifference]") -> None:
    """Print a bundle's largest differences from PyTorch, step by step."""
    table = Table(
        "step",
        *(right(name) for name in ("codes", "image", "offsets", "PSNR")),
        "",
        title=f"{session.backend}, {session.manifest.precision}, against PyTorch",
    )
    for step in differences:
        offsets = "" if step.offsets is None else f"{step.offsets:.1e}"
        verdict = "within tolerance" if step.within else "OUT OF TOLERANCE"
        cells = (f"{step.codes:.1e}", f"{step.image:.1e}", offsets, f"{step.psnr:.1f} dB")
        add_row(table, str(step.index), *cells, verdict)
    OUT.print(table)


def verify_summary(session: "Session", differences: "Sequence[StepDifference]") -> dict[str, Any]:
    """The differences as JSON values."""
    steps = [
        {
            "step": d.index,
            "codes": d.codes,
            "image": d.image,
            "offsets": d.offsets,
            "psnr": d.psnr if math.isfinite(d.psnr) else None,  # equal images; JSON has no infinity
            "within": d.within,
        }
        for d in differences
    ]
    return {"backend": session.backend, "steps": steps, "within": all(d.within for d in differences)}
