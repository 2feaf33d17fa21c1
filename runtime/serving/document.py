"""What became of a batch of photos, as one JSON document."""

from collections.abc import Sequence
from typing import Any

from ...errors import printable
from ..session import Session
from .batch import Record


def inversions_document(
    session: Session, steps: int, until_gain: float | None, records: Sequence[Record], photos: int
) -> dict[str, Any]:
    """The records; ``steps`` of all is the limit, of a photo what its result took.

    ``interrupted`` says that there are fewer records than ``photos`` that were asked for.
    """
    return {
        "backend": session.backend,
        "method": session.method,
        "model": session.manifest.model,
        "steps": steps,
        "until_gain": until_gain,
        "interrupted": len(records) < photos,
        "photos": [
            {
                "photo": printable(str(record.photo)),
                "status": record.status,
                "seconds": round(record.seconds, 3),
                "steps": record.steps,
                "loop_l2": list(record.l2),
                "files": [printable(str(file)) for file in record.files],
                "error": record.error,
            }
            for record in records
        ],
    }
