"""Directions as one JSON document."""

from collections.abc import Sequence
from typing import Any

from .direction import Direction


def directions_document(directions: Sequence[Direction]) -> dict[str, Any]:
    """What a bundle offers."""
    return {"directions": [direction_facts(direction) for direction in directions]}


def direction_facts(direction: Direction) -> dict[str, Any]:
    """What a program needs to know of a direction to show a slider for it."""
    return {
        "name": direction.name,
        "kind": direction.kind,
        "rows": list(direction.rows),
        "strengths": list(direction.strengths),
        "source": dict(direction.source),
    }
