"""What a client, or the page, needs to know of a bundle."""

from collections.abc import Iterable, Mapping
from typing import Any

from ..editing.direction import Direction
from ..editing.document import direction_facts
from ..manifest.manifest import Manifest


def bundle_facts(name: str, manifest: Manifest, directions: Iterable[Direction]) -> dict[str, Any]:
    """Its name, sizes, steps and directions, as JSON values."""
    image = manifest.image
    return {
        "name": name,
        "method": manifest.method.name,
        "domain": manifest.domain,
        "licence": manifest.licence,
        "model": manifest.model,
        "precision": manifest.arithmetic,
        "input": {"kind": image.kind, "height": image.input_height, "width": image.input_width},
        "image": {"height": image.height, "width": manifest.generator.size},
        "default_steps": manifest.default_steps,
        "styles": manifest.generator.styles,
        "directions": [_without_source(direction_facts(each)) for each in directions],
    }


def _without_source(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What was noted about where a direction is from may name its owner's files."""
    return {key: value for key, value in facts.items() if key != "source"}
