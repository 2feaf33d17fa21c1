"""Directions as one JSON document."""

from collections.abc import Sequence
from typing import Any

from .direction import Direction


def directions_document(directions: Sequence[Direction]) -> dict[str, Any]:
    """What a bundle offers: of each direction what a program needs to show a slider for it."""
    return {
        "directions": [
            {
                "name": direction.name,
                "kind": direction.kind,
                "rows": list(direction.rows),
                "strengths": list(direction.strengths),
                "source": dict(direction.source),
            }
            for direction in directions
        ]
    }
