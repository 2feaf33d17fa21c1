"""The inversion methods, by the names that bundles give them: a small class each."""

from ...errors import BundleError
from ..manifest.manifest import Manifest
from .base import Method
from .hyperstyle import HyperStyle
from .psp import OnePass
from .restyle import ReStyle

#: Every method that runs here; a new one is a module and an entry.
METHODS: dict[str, type[Method]] = {
    "psp": OnePass,
    "e4e": OnePass,
    "restyle-psp": ReStyle,
    "restyle-e4e": ReStyle,
    "hyperstyle": HyperStyle,
}


def method_of(manifest: Manifest) -> Method:
    """The method of a bundle, which has what the method needs.

    Raises:
        BundleError: the method is unknown; or graphs, state or steps are not those of the method.
    """
    name = manifest.method.name
    if name not in METHODS:
        raise BundleError(
            "bundle.json: method.name is unknown",
            got=name[:80],
            expected=f"one of {', '.join(METHODS)}",
            hint="Upgrade hyperstyle-deploy, if the bundle is from a newer version.",
        )
    method = METHODS[name](manifest)
    method.check()
    return method
