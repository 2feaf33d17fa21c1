"""What a ledger says of its batch, as one JSON document."""

import dataclasses
import time
from typing import Any

from ....errors import printable
from .ledger import DONE, FAILED, RUNNING, STATES, WAITING, Ledger
from .roster import Roster


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
            "host": printable(member.host),
            "process": member.process,
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
