"""A cold start in a process of its own: import and load, the first inversion, the memory that it took at most."""

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from ...errors import BackendError
from .cases import Case

TIMEOUT = 1800.0


@dataclass(frozen=True)
class ColdStart:
    """Seconds and bytes of a fresh process.

    ``load_s`` is from the start of Python's work to a loaded bundle, imports and checksums included; files come from
    the page cache if they are there. ``peak_bytes`` is the largest resident set, mapped files included;
    ``device_bytes`` what the process holds on the GPU after the inversion, None without one or if the driver is silent.
    """

    load_s: float
    first_inversion_s: float
    peak_bytes: int
    device_bytes: int | None

    def to_json(self) -> dict[str, float | int | None]:
        """As JSON values."""
        return asdict(self)


def cold_start(case: Case) -> ColdStart:
    """Load the case's bundle and invert its batch once, in a new process.

    Raises:
        BackendError: the process failed or did not end; its last words are in the message.
    """
    setup = case.setup
    arguments = {
        "bundle": str(setup.bundle.resolve()),
        "loading": {
            "backend": setup.backend,
            "threads": setup.threads,
            "precision_hint": setup.precision_hint,
            "device": setup.device,
            "trust_engines": setup.trust_engines,
        },
        "batch": case.batch,
        "steps": case.steps,
    }
    command = [sys.executable, "-m", __name__, json.dumps(arguments)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise BackendError(
            f"The cold start of {setup.name} did not end", got=f"nothing for {TIMEOUT:.0f} s", hint="Leave it out."
        ) from error
    if result.returncode != 0:
        raise BackendError(
            f"The cold start of {setup.name} failed",
            got=f"exit status {result.returncode}: {result.stderr.strip()[-800:]}",
        )
    return ColdStart(**json.loads(result.stdout.splitlines()[-1]))


def _run(arguments: str) -> ColdStart:
    started = time.perf_counter()
    import numpy as np

    from ..session import load
    from .environment import device_memory, peak_memory

    wanted = json.loads(arguments)
    session = load(Path(wanted["bundle"]), **wanted["loading"])
    load_s = time.perf_counter() - started
    size = session.manifest.image
    photo = np.random.default_rng(0).integers(0, 256, (size.input_height, size.input_width, 3), np.uint8)
    started = time.perf_counter()
    session.invert([photo] * wanted["batch"], steps=wanted["steps"])
    first = time.perf_counter() - started
    return ColdStart(load_s, first, peak_memory(), device_memory(wanted["loading"]["device"] or 0))


if __name__ == "__main__":
    print(json.dumps(_run(sys.argv[1]).to_json()))  # noqa: T201
