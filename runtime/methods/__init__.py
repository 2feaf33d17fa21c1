"""The inversion methods, by the names that bundles give them: a small class each."""

from ...errors import ArrayError, BundleError
from ..manifest.manifest import Manifest
from .base import Method
from .hyperstyle import HyperStyle
from .idinvert import IDInvert
from .optimisation import Optimisation
from .projection import Projection
from .psp import OnePass
from .restyle import ReStyle
from .settings import Settings
from .tuning import Tuning

#: Every method that runs here; a new one is a module and an entry.
METHODS: dict[str, type[Method]] = {
    "psp": OnePass,
    "e4e": OnePass,
    "restyle-psp": ReStyle,
    "restyle-e4e": ReStyle,
    "hyperstyle": HyperStyle,
    "idinvert": IDInvert,
}


#: Optimisations that any bundle whose graphs include their gradients may be run as, in place of its own method.
OPTIMISATIONS: dict[str, type[Optimisation]] = {"projection": Projection, "pti": Tuning}


def method_of(manifest: Manifest, name: str | None = None, settings: Settings | None = None) -> Method:
    """The method of a bundle, which has what the method needs; or the optimisation ``name`` on that bundle.

    Raises:
        BundleError: the method is unknown; or graphs, state or steps are not those of the method.
        ArrayError: ``name`` is neither the bundle's method nor an optimisation, or settings for no optimisation.
    """
    own = manifest.method.name
    if own not in METHODS:
        raise BundleError(
            "bundle.json: method.name is unknown",
            got=own[:80],
            expected=f"one of {', '.join(METHODS)}",
            hint="Upgrade hyperstyle-deploy, if the bundle is from a newer version.",
        )
    kind = METHODS[own]
    if issubclass(kind, Optimisation) and name in (None, own):
        descent = kind(manifest, settings=settings)
        descent.check()
        return descent
    method = kind(manifest)
    method.check()
    if name in OPTIMISATIONS:
        families = OPTIMISATIONS[name].families
        if manifest.generator.family not in families:
            raise ArrayError(
                f"{name} is for another generator", got=manifest.generator.family, expected=" or ".join(families)
            )
        method = OPTIMISATIONS[name](manifest, method, settings)
        method.check()
    elif name not in (None, own):
        raise ArrayError(
            "The bundle does not run this method", got=name, expected=f"{own} or one of {', '.join(OPTIMISATIONS)}"
        )
    elif settings is not None:
        raise ArrayError(f"{own} has no settings", got=settings, expected="none, or an optimisation as the method")
    return method
