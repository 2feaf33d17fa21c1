"""Ranges of what convolutions read, per tensor and per refinement step, from the loop on its own reconstructions."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ..errors import CalibrationError, OutputError
from ..runtime.backends.engines.keys import graph_digest
from ..runtime.backends.onnxruntime import ON_REQUEST
from ..runtime.bundle.files import atomic_file
from ..runtime.bundle.reader import Bundle
from ..runtime.bundle.user_folders import cache_folder
from .histogram import BINS, Histogram, merged
from .loop_backend import LoopBackend, MemorySession
from .stage_graph import StageGraph

#: Part of every cache key: raise it when what is counted changes.
_FORMAT = 3


class Watched(NamedTuple):
    """One tensor at one step, the step that its runs lead to."""

    stage: str
    tensor: str
    step: int


@dataclass(frozen=True)
class Ranges:
    """A histogram for every tensor and step, over all photos."""

    steps: int
    histograms: Mapping[Watched, Histogram]

    def of(self, stage: str, tensor: str) -> Histogram:
        """A tensor's values over all steps."""
        return merged(h for key, h in self.histograms.items() if key[:2] == (stage, tensor))

    def tensors(self, stage: str) -> list[str]:
        """The tensors of a stage, in the order of the data."""
        return list(dict.fromkeys(key.tensor for key in self.histograms if key.stage == stage))


def collect(
    bundle: Bundle,
    graphs: Mapping[str, StageGraph],
    photos: Sequence[NDArray[np.float32]],
    steps: int,
    report: Callable[[int], None] = lambda done: None,
    cache: Path | None = None,
) -> Ranges:
    """Run the float32 loop over photos and count what convolutions read.

    Args:
        bundle: a float32 bundle.
        graphs: those of ``stage_graphs``.
        photos: [C, H, W] float32 each, as the networks see them.
        steps: refinement steps, 1 or more where the method takes any.
        report: called after each photo with how many are done.
        cache: the folder of finished photos; None for the user's own. An interrupted run goes on after the last one.

    Raises:
        CalibrationError: no photos, or a tensor that is not finite.
    """
    if not photos or (not steps and bundle.method.refines):
        raise CalibrationError("Nothing to calibrate on", got=f"{len(photos)} photos, {steps} steps", expected="1 each")
    folder = (cache_folder() / "calibration") if cache is None else cache
    inputs = {
        stage: list(dict.fromkeys(node.input[0] for node in graph.convolutions()))
        for stage, graph in graphs.items()
        if graph.convolves
    }
    counter = _Counter(bundle, graphs, inputs, steps)
    parts = []
    for number, photo in enumerate(photos, 1):
        file = folder / f"{_key(bundle, inputs, photo, steps)}.npz"
        part = _read(file)
        if part is None:
            part = counter.count(photo)
            _write(file, part)
        parts.append(part)
        report(number)
    keys = list(parts[0])
    return Ranges(steps, {key: merged(part[key] for part in parts) for key in keys})


class _Counter:
    """The watched loop; its sessions are made when a photo is not in the cache."""

    def __init__(
        self, bundle: Bundle, graphs: Mapping[str, StageGraph], inputs: Mapping[str, Sequence[str]], steps: int
    ) -> None:
        self._bundle, self._graphs, self._inputs, self._steps = bundle, graphs, inputs, steps
        self._backend: LoopBackend | None = None
        self._counted: dict[Watched, Histogram] = {}

    def count(self, photo: NDArray[np.float32]) -> dict[Watched, Histogram]:
        """One photo's histograms."""
        if self._backend is None:
            self._backend = LoopBackend(self._bundle, self._add)
            for stage, tensors in self._inputs.items():
                model = self._graphs[stage].copy()
                self._backend.sessions[stage] = MemorySession(self._bundle, model, tensors)
        self._counted = {}
        self._backend.images(photo, self._steps)
        return self._counted

    def _add(self, stage: str, step: int, tensor: str, values: NDArray[np.float32]) -> None:
        # A histogram of its own for every step: one that steps shared would give each of them the range of all.
        histogram = self._counted.setdefault(Watched(stage, tensor, step), Histogram())
        try:
            histogram.add(values)
        except CalibrationError as error:
            raise CalibrationError(f"{tensor} of {stage} at step {step} cannot be calibrated", got=error) from error


def _key(bundle: Bundle, inputs: Mapping[str, Sequence[str]], photo: NDArray[np.float32], steps: int) -> str:
    """What a photo's ranges follow from: the loop, the tensors, the photo as the networks see it."""
    manifest = bundle.manifest
    content = {
        "format": [_FORMAT, BINS],
        "method": [manifest.method.name, manifest.method.encoder_steps],
        "graphs": {name: graph_digest(bundle, name) for name in bundle.method.signatures() if name not in ON_REQUEST},
        "constants": [manifest.files[file].sha256 for file in manifest.constants],
        "tensors": {stage: list(names) for stage, names in inputs.items()},
        "photo": hashlib.sha256(np.ascontiguousarray(photo).data).hexdigest(),
        "steps": steps,
        "onnxruntime": onnxruntime.__version__,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _write(file: Path, part: Mapping[Watched, Histogram]) -> None:
    """Keep a photo's histograms; where that is not possible, the next run counts them again."""
    with suppress(OutputError, OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(file) as partial, partial.open("wb") as stream:
            np.savez_compressed(
                stream,
                keys=np.frombuffer(json.dumps([list(key) for key in part]).encode(), np.uint8),
                counts=np.stack([histogram.counts for histogram in part.values()]),
                exponents=np.array([histogram.exponent for histogram in part.values()]),
                ends=np.array([(histogram.minimum, histogram.maximum) for histogram in part.values()]),
            )


def _read(file: Path) -> dict[Watched, Histogram] | None:
    """A photo's histograms from an earlier run; None if there are none, or the file is damaged."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            keys = [Watched(*key) for key in json.loads(arrays["keys"].tobytes())]
            columns = zip(keys, arrays["counts"], arrays["exponents"], arrays["ends"], strict=True)
            return {key: Histogram(int(e), counts, float(low), float(high)) for key, counts, e, (low, high) in columns}
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile):
        return None
