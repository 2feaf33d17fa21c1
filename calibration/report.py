"""A calibration's report on disk: `calibration.json`, and plots of it where matplotlib is installed."""

import json
import os
from importlib.util import find_spec
from pathlib import Path

from ..errors import OutputError
from ..runtime.bundle.files import atomic_file
from .document import REPORT_NAME, Report


def check_report_folder(folder: Path) -> None:
    """See that ``write_report`` could write there, before the hour of work that ends in it.

    Raises:
        OutputError: it could not.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        got = f"{there} is read-only" if there.is_dir() else f"{there} is no folder"
        raise OutputError(f"Cannot write the report to {folder}", got=got, hint="Name another folder with --report.")


def write_report(report: Report, folder: Path) -> bool:
    """Write `calibration.json` and, where matplotlib is installed, plots; return whether there are plots.

    Raises:
        OutputError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot make the folder {folder}", got=error.strerror) from error
    with atomic_file(folder / REPORT_NAME) as partial:
        partial.write_text(json.dumps(report.to_json(), indent=1) + "\n")
    if find_spec("matplotlib") is None:
        return False
    from .plots import write_plots

    write_plots(report, folder)
    return True
