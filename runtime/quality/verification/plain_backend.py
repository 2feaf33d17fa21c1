"""The reference: a bundle's float32 graphs in ONNX Runtime on the CPU, every node by itself, nothing optimized."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ....errors import BackendError, BundleError
from ...backends.base import Array, GraphBackend, HostArray
from ...bundle.reader import Bundle
from ...refinement.loop import refine
from .steps import Expected

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, SessionOptions


class PlainBackend(GraphBackend):
    """Runs the graphs as they stand. Fused nodes and rearranged sums are what is to be verified, so there are none."""

    name = "reference"

    def __init__(self, bundle: Bundle, threads: int | None = None) -> None:
        super().__init__(bundle)
        self._threads = threads
        self._sessions: dict[str, InferenceSession] = {}

    def run(self, stage: str, inputs: Mapping[str, Array]) -> list[Array]:
        try:
            if stage not in self._sessions:
                self._sessions[stage] = self._load(stage)
            return self._sessions[stage].run(None, dict(inputs))
        except Exception as error:
            raise BackendError(f"The reference failed in {stage}", got=str(error)[:400]) from error

    def _load(self, stage: str) -> "InferenceSession":
        from onnxruntime import InferenceSession

        options = plain_options(self._threads)
        return InferenceSession(self.bundle.graph(stage), options, providers=["CPUExecutionProvider"])

    @property
    def label(self) -> str:
        """What the results are compared with, for people."""
        return f"the float32 graphs of {self.bundle.path.name}"

    def states(self, images: HostArray, steps: int) -> Iterator[Expected]:
        """The loop's states of one photo [1, 3, H, W]."""
        for step in refine(self, self.bundle.manifest, images, steps):
            yield Expected(step.index, step.codes, step.image, step.offset_codes)


def plain_options(threads: int | None) -> "SessionOptions":
    """Options of ONNX Runtime that leave a graph as it is."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.enable_mem_pattern = False
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_prepacking", "1")
    return options


def reference_bundle(bundle: Bundle, other: Bundle | None) -> Bundle:
    """The float32 bundle to compare ``bundle`` with: ``other``, or itself where there is none; no calibrated one.

    Raises:
        BundleError: it is not float32, or of another model.
    """
    reference = other or bundle
    if reference.manifest.arithmetic != "float32":
        origin = bundle.manifest.provenance
        files = [origin.get(part, {}).get("file") or f"{part.upper()}.pt" for part in ("checkpoint", "w_encoder")]
        raise BundleError(
            f"{reference.path} cannot be the reference",
            got=reference.manifest.arithmetic,
            expected="a float32 bundle of the same model, named with --reference",
            hint=f"Make one: hyperstyle-deploy export {files[0]} --w-encoder {files[1]} -o float32.bundle",
        )
    if reference.manifest.model != bundle.manifest.model:
        raise BundleError(
            f"{reference.path} is of another model",
            got=reference.manifest.model[:12],
            expected=bundle.manifest.model[:12],
            hint="The reference must come from the same checkpoint and W-encoder.",
        )
    return reference
