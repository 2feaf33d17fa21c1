"""What a stage's engine is built from: the digest of its graph, and the shapes that its free axes take."""

import hashlib

from ....errors import BundleError
from ...bundle.onnx_scan import scan_graph
from ...bundle.reader import Bundle
from ...manifest.manifest import GraphSpec
from .record import Profile, canonical


def graph_digest(bundle: Bundle, stage: str) -> str:
    """SHA-256 over a graph and every constants file that it points into, by the manifest's checksums.

    Raises:
        BundleError: there is no such graph, or its file is missing, no ONNX, or points outside the bundle.
    """
    manifest = bundle.manifest
    if stage not in manifest.graphs:
        raise BundleError(f"{bundle.path} has no graph {stage}", expected=f"one of {', '.join(manifest.graphs)}")
    file = manifest.graphs[stage].file
    names = {file, *scan_graph(bundle.graph_content(stage))}
    return hashlib.sha256(canonical({name: manifest.files[name].sha256 for name in names})).hexdigest()


def free_axes(spec: GraphSpec) -> set[str]:
    """The names of a graph's free axes."""
    return {dim for tensor in spec.inputs for dim in tensor.shape if isinstance(dim, str)}


def profiles(spec: GraphSpec, ranges: dict[str, tuple[int, int, int]]) -> dict[str, Profile]:
    """The shapes of every input that has a free axis.

    Args:
        spec: the graph's inputs.
        ranges: (minimum, optimum, maximum) of every free axis by its name.
    """

    def shape(dims: tuple[int | str, ...], which: int) -> tuple[int, ...]:
        return tuple(ranges[dim][which] if isinstance(dim, str) else dim for dim in dims)

    return {
        tensor.name: Profile(*(shape(tensor.shape, which) for which in range(3)))
        for tensor in spec.inputs
        if any(isinstance(dim, str) for dim in tensor.shape)
    }
