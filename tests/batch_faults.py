"""What photos do to workers in tests of `batch`: openers for ``Job.open``, importable in a worker's process."""

import os
import resource
import signal
import time
from pathlib import Path

from hyperstyle_deploy.runtime.serving.bulk.recipe import Entry, Recipe
from hyperstyle_deploy.runtime.serving.bulk.roster import Outcome
from hyperstyle_deploy.runtime.serving.bulk.worker import Inverter, Job, open_inverter

#: Bytes of a photo that "eats".
EATEN = 240 << 20
#: Bytes that a file may have on a disk that is nearly full.
FULL = 1500


def open_with_faults(job: Job, recipe: Recipe, folder: Path) -> Inverter:
    """The real inverter, but for photos that are named after what they do."""
    inverter = open_inverter(job, recipe, folder)

    def inverted(entry: Entry) -> Outcome:
        what = entry.photo.stem
        if what.startswith("kills"):
            os.kill(os.getpid(), signal.SIGKILL)
        if what.startswith("hangs"):
            time.sleep(600)
        if what.startswith("eats"):
            eaten = b"x" * EATEN
            time.sleep(60)
            del eaten
        if what.startswith("raises"):
            raise RuntimeError("a defect \udcff")
        if what.startswith("tells"):
            raise RuntimeError(Path("/proc/self/oom_score_adj").read_text().strip())
        if what.startswith("leaves"):  # half a result, and is gone
            (folder / f".{entry.name}.png.partial-0-0-{os.getpid()}").write_bytes(b"half")
            os._exit(3)
        return inverter(entry)

    return inverted


def open_dying(job: Job, recipe: Recipe, folder: Path) -> Inverter:
    """A session that takes its process with it."""
    os._exit(7)


def open_on_full_disk(job: Job, recipe: Recipe, folder: Path) -> Inverter:
    """The real inverter, with room for small files alone; the ledger is elsewhere."""
    inverter = open_inverter(job, recipe, folder)
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)

    def inverted(entry: Entry) -> Outcome:
        resource.setrlimit(resource.RLIMIT_FSIZE, (FULL, most))
        try:
            return inverter(entry)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    return inverted


def open_slow(job: Job, recipe: Recipe, folder: Path) -> Inverter:
    """The real inverter, a tenth of a second later."""
    inverter = open_inverter(job, recipe, folder)

    def inverted(entry: Entry) -> Outcome:
        time.sleep(0.1)
        return inverter(entry)

    return inverted
