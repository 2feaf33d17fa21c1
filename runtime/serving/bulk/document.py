"""What a ledger says of its batch, as one JSON document."""

import dataclasses
import os
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....errors import printable
from .ledger import DONE, FAILED, RUNNING, STATES, WAITING, Ledger
from .roster import Roster

#: What a page shows: parts of a histogram, shares of photos that are as quick, photos of a kind.
BINS, QUANTILES, EXAMPLES = 40, (0.5, 0.9, 0.99, 1.0), 10


def ledger_document(ledger: Ledger) -> dict[str, Any]:
    """How many photos are in which state, what went wrong how often, who works, and how long that will take.

    ``photos_per_second`` is what the living workers have done since each began, together; ``seconds_left`` follows from
    it, null where nobody works. ``errors`` counts photos by the class of their last error: those that failed, and those
    that are tried again. ``seconds`` is the working time of photos that are done, all workers together.
    """
    counts = ledger.counts()
    states = {name: sum(each.photos for each in counts if each.state == state) for state, name in enumerate(STATES)}
    living = [member for member in Roster(ledger, 0, 0).members() if member.is_alive()]
    now = time.time()
    workers: list[dict[str, Any]] = [
        {
            "host": printable(member.key.host),
            "process": member.key.process,
            "photos": member.photos,
            "photos_per_second": member.photos / max(now - member.since, 1e-3) if member.since else 0.0,
        }
        for member in living
    ]
    rate = sum(worker["photos_per_second"] for worker in workers)
    left = states[STATES[WAITING]] + states[STATES[RUNNING]]
    return {
        "ledger": printable(str(ledger.path)),
        "folder": printable(str(ledger.folder)),
        "settings": dataclasses.asdict(ledger.recipe),
        "photos": sum(states.values()),
        "states": states,
        "errors": {
            STATES[state]: {each.error: each.photos for each in counts if each.state == state and each.error}
            for state in (FAILED, WAITING)
        },
        "seconds": round(sum(each.seconds for each in counts if each.state == DONE), 3),
        "workers": workers,
        "photos_per_second": round(rate, 3),
        "seconds_left": round(left / rate) if rate else None,
    }


def details_document(ledger: Ledger) -> dict[str, Any]:
    """``ledger_document``, and what a page shows besides.

    ``spent`` are seconds of photos that are done, as quantiles and as a histogram; ``ended`` is how many were done in
    each of ``BINS`` equal spans of time; ``worst`` are those with the largest loop L2; ``failures`` are some of every
    class of error.
    """
    command = "SELECT milliseconds, ended FROM photos WHERE state = ?"
    found = np.array(ledger.database.execute(command, (DONE,)).fetchall(), np.float64).reshape(-1, 2)
    spent, ended = found[:, 0] / 1000, found[:, 1]
    return {
        **ledger_document(ledger),
        "spent": None
        if not len(spent)
        else {
            "quantiles": {str(share): float(np.quantile(spent, share)) for share in QUANTILES},
            "histogram": _histogram(spent),
        },
        "ended": None if not len(ended) else _histogram(ended),
        "worst": _examples(ledger, f"state = {DONE} AND l2 IS NOT NULL ORDER BY l2 DESC LIMIT {EXAMPLES}"),
        "failures": [
            example
            for each in ledger.counts()
            if each.state == FAILED
            for example in _examples(ledger, f"state = {FAILED} AND error = ? LIMIT {EXAMPLES}", each.error)
        ],
    }


def _histogram(values: NDArray[np.float64]) -> dict[str, list[float]]:
    counts, edges = np.histogram(values, BINS)
    return {"counts": counts.tolist(), "edges": edges.tolist()}


def _examples(ledger: Ledger, condition: str, *arguments: object) -> list[dict[str, Any]]:
    command = f"SELECT path, l2, error, message FROM photos LEFT JOIN messages USING (number) WHERE {condition}"
    return [
        {"photo": printable(os.fsdecode(path)), "loop_l2": l2, "error": error, "message": message}
        for path, l2, error, message in ledger.database.execute(command, arguments)
    ]
