"""The reference: a bundle's float32 graphs in ONNX Runtime on the CPU, every node by itself, nothing optimized."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ....errors import BackendError, BundleError
from ...backends.base import HostArray
from ...backends.host import HostBackend
from ...bundle.reader import Bundle
from ...manifest.manifest import Manifest
from ...methods.base import Array
from ...refinement.loop import refine
from .steps import Expected

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


class PlainBackend(HostBackend):
    """Runs the graphs as they stand. Fused nodes and rearranged sums are what is to be verified, so there are none."""

    name = "reference"

    def __init__(self, bundle: Bundle, threads: int | None = None) -> None:
        super().__init__(bundle)
        self._threads = threads
        self._sessions: dict[str, InferenceSession] = {}

    def outputs(self, graph: str, inputs: Mapping[str, Array]) -> Sequence[Array]:
        if graph not in self._sessions:
            self._sessions[graph] = self._load(graph)
        try:
            return self._sessions[graph].run(None, dict(inputs))
        except Exception as error:
            raise BackendError(f"The reference failed in {graph}", got=str(error)[:400]) from error

    def _load(self, graph: str) -> "InferenceSession":
        from ...backends.onnx_session import open_session, session_options

        options = session_options(self._threads, plain=True)
        return open_session(self.bundle.graph_content(graph), options, name=graph, folder=self.bundle.place)

    @property
    def label(self) -> str:
        """What the results are compared with, for people."""
        return f"the float32 graphs of {self.bundle.path.name}"

    def states(self, images: HostArray, steps: int) -> Iterator[Expected]:
        """The loop's states of one photo [1, C, H, W]."""
        for step in refine(self, images, steps):
            yield Expected(step.index, step.arrays(0), step.image)


def reference_bundle(bundle: Bundle, other: Bundle | None) -> Bundle:
    """The float32 bundle to compare ``bundle`` with: ``other``, or itself where there is none; no calibrated one.

    Raises:
        BundleError: it is not float32, or of another model.
    """
    reference = other or bundle
    if reference.manifest.arithmetic != "float32":
        files = " --encoder ".join(checkpoint.file for checkpoint in bundle.manifest.checkpoints)
        raise BundleError(
            f"{reference.path} cannot be the reference",
            got=reference.manifest.arithmetic,
            expected="a float32 bundle of the same model, named with --reference",
            hint=f"Make one: hyperstyle-deploy export {files} -o float32.bundle",
        )
    ours, theirs = _kept(bundle.manifest), _kept(reference.manifest)
    if differing := [name for name in ours if ours[name] != theirs[name]]:
        raise BundleError(
            f"{reference.path} has another {differing[0]}",
            got=str(theirs[differing[0]])[:80],
            expected=str(ours[differing[0]])[:80],
            hint="The reference must come from the same checkpoints.",
        )
    return reference


def _kept(manifest: Manifest) -> dict[str, object]:
    """What two bundles must have in common to be compared."""
    return {
        "model": manifest.model[:12],
        "method": manifest.method.name,
        "image": manifest.image,
        "generator": manifest.generator,
        "state": manifest.state,
    }
