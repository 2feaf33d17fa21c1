"""The inversion methods, by the names that bundles give them: a small class each."""

from ...errors import ArrayError, BundleError
from ..manifest.manifest import Manifest
from .adaptation import Adaptation, adaptation_of
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


def method_of(
    manifest: Manifest, name: str | None = None, settings: Settings | None = None, generator: str | None = None
) -> Method:
    """The method of a bundle, which has what the method needs; or the optimisation ``name`` on that bundle.

    With ``generator`` what the method finds is drawn by the bundle's further generator of that name.

    Raises:
        BundleError: the method is unknown; or graphs, state or steps are not those of the method, or of a further
            generator; or there is none of that name.
        ArrayError: ``name`` is neither the bundle's method nor an optimisation, or settings for no optimisation; or an
            optimisation and a generator.
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
    descends = issubclass(kind, Optimisation) and name in (None, own)
    method: Method = kind(manifest, settings=settings) if descends else kind(manifest)  # type: ignore[call-arg]
    method.check()
    for spec in manifest.generators:
        Adaptation(manifest, method, spec).check()
    if name in OPTIMISATIONS:
        families = OPTIMISATIONS[name].families
        if manifest.generator.family not in families:
            raise ArrayError(
                f"{name} is for another generator", got=manifest.generator.family, expected=" or ".join(families)
            )
        if generator is not None:
            raise ArrayError(
                "An optimisation has the generator that the bundle's own method draws with",
                got=f"{name} with the generator {generator[:40]}",
                hint="Leave one of them out.",
            )
        method = OPTIMISATIONS[name](manifest, method, settings)
        method.check()
    elif name not in (None, own):
        raise ArrayError(
            "The bundle does not run this method", got=name, expected=f"{own} or one of {', '.join(OPTIMISATIONS)}"
        )
    elif settings is not None and not descends:
        raise ArrayError(f"{own} has no settings", got=settings, expected="none, or an optimisation as the method")
    return method if generator is None else adaptation_of(manifest, method, generator)
