"""From a float32 bundle and photos to a calibrated one: ranges, sensitivity, choice, writing, and the measured gate."""

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import BackendError, CalibrationError
from ..runtime.backends import AUTO, BACKENDS, resolve
from ..runtime.bundle.constants import write_manifest
from ..runtime.bundle.files import atomic_directory
from ..runtime.bundle.reader import Bundle
from ..runtime.editing.folder import Directions
from .blocks import Block, find_blocks, readers
from .document import REPORT_NAME, Report, Side, block_reports, tensor_ranges
from .effects import Effect, Images, Variants, compare
from .formats import FORMATS, Format
from .gate import Choice, choose
from .measured import run_loop
from .photos import CalibrationPhoto, read_photos
from .quantization import Weights, quantize
from .ranges import Ranges, collect
from .settings import Settings, check_output, check_settings, check_source, checked_steps
from .stage_graph import stage_graphs
from .thresholds import threshold
from .writer import write_bundle

#: Called with what is being done, and how many of how many pieces of it are done.
Progress = Callable[[str, int, int], None]


def calibrate(
    source: Path,
    images: Sequence[Path],
    output: Path,
    settings: Settings | None = None,
    overwrite: bool = False,
    progress: Progress = lambda what, done, total: None,
) -> Report:
    """Calibrate a bundle.

    Args:
        source: a float32 bundle.
        images: photos, and folders of photos.
        output: the calibrated bundle's folder; it appears only when it is complete and the target is met.
        settings: None for the defaults.
        overwrite: replace an existing bundle.
        progress: see ``Progress``.

    Returns:
        The report. Where its ``met`` is false, no bundle was written.

    Raises:
        BundleError: the source is incomplete, damaged or unsafe.
        CalibrationError: the source is calibrated already or not float32; there are too few photos; an option is wrong.
        ImageError: photos that cannot be read, all of them named.
        BackendError: the backend is not installed, needs a GPU, or cannot run the format.
        OutputError: the output exists or cannot be written.
    """
    settings = settings or Settings()
    check_settings(settings)
    # OpenVINO, the first choice on a CPU, has its own way with FP8.
    backend = resolve("onnxruntime" if (settings.form, settings.backend) == ("fp8", AUTO) else settings.backend)
    if BACKENDS[backend].gpu:
        raise BackendError("Calibration runs on the CPU", got=backend, expected="onnxruntime or openvino")
    check_output(output, overwrite)
    bundle = Bundle.open(source)
    check_source(bundle)
    steps = checked_steps(settings, bundle)
    photos = read_photos(images, bundle.manifest, settings.images, settings.seed)
    return _Calibration(bundle, photos, steps, backend, settings, progress).run(output, overwrite)


class _TargetMissedError(Exception):
    """Leaves the output folder's block, so that it is removed."""


class _Calibration:
    """One run, from ranges to the report."""

    def __init__(
        self,
        bundle: Bundle,
        photos: Sequence[CalibrationPhoto],
        steps: int,
        backend: str,
        settings: Settings,
        progress: Progress,
    ) -> None:
        self._bundle, self._photos, self._steps = bundle, photos, steps
        self._backend, self._settings, self._progress = backend, settings, progress
        self._form: Format = FORMATS[settings.form]
        self._graphs = stage_graphs(bundle)
        self._blocks = find_blocks(self._graphs)
        if not self._blocks:
            raise CalibrationError(f"{bundle.path} has nothing to quantize", got=", ".join(self._graphs))
        self._weights = Weights(self._form)
        self._checked = [photo.pixels for photo in photos[: settings.checked]]

    def run(self, output: Path, overwrite: bool) -> Report:
        ranges = self._collect()
        thresholds = self._thresholds(ranges)
        effects = self._sensitivity(thresholds)
        self._progress("the float32 bundle", 0, 1)
        reference, seconds = self._loop(self._bundle)
        self._progress("the float32 bundle", 1, 1)
        before, after = Side(_size(self._bundle), seconds), None
        written: list[Bundle] = []

        def report(choice: Choice) -> Report:
            return self._report(ranges, thresholds, effects, choice, before, after)

        with suppress(_TargetMissedError), atomic_directory(output, overwrite) as folder:

            def attempt(blocks: tuple[Block, ...]) -> Effect:
                nonlocal after
                self._progress("the calibrated bundle", len(written), len(written) + 1)
                written.append(self._write(folder, blocks, thresholds))
                images, seconds = self._loop(written[-1])
                after = Side(_size(written[-1]), seconds)
                self._progress("the calibrated bundle", len(written), len(written))
                return compare(images, reference)

            choice = choose(self._blocks, effects, self._settings.least_psnr, attempt)
            if not choice.met:
                raise _TargetMissedError
            (folder / REPORT_NAME).write_text(json.dumps(report(choice).to_json(), indent=1) + "\n")
            write_manifest(folder, written[-1].manifest)
            Bundle.open(folder)
            # Codes stay what they are, so directions do.
            Directions(folder, self._bundle.manifest).add(Directions(self._bundle.path, self._bundle.manifest).all())
        return report(choice)

    def _collect(self) -> Ranges:
        count = len(self._photos)
        self._progress("ranges", 0, count)
        return collect(
            self._bundle,
            self._graphs,
            [photo.pixels for photo in self._photos],
            self._steps,
            lambda done: self._progress("ranges", done, count),
        )

    def _thresholds(self, ranges: Ranges) -> dict[str, dict[str, float]]:
        stages = [stage for stage, graph in self._graphs.items() if graph.convolves]
        tensors = [(stage, tensor) for stage in stages for tensor in ranges.tensors(stage)]
        found: dict[str, dict[str, float]] = {stage: {} for stage in stages}
        for number, (stage, tensor) in enumerate(tensors):
            self._progress("thresholds", number, len(tensors))
            found[stage][tensor] = threshold(ranges.of(stage, tensor), self._settings.method, self._form)
        self._progress("thresholds", len(tensors), len(tensors))
        return found

    def _sensitivity(self, thresholds: Mapping[str, Mapping[str, float]]) -> dict[str, Effect]:
        variants = Variants(self._bundle, self._graphs, thresholds, self._weights, self._checked, self._steps)
        effects = {}
        for number, block in enumerate(self._blocks):
            self._progress("sensitivity", number, len(self._blocks))
            effects[block.name] = variants.effect([block])
        self._progress("sensitivity", len(self._blocks), len(self._blocks))
        return effects

    def _loop(self, bundle: Bundle) -> tuple[list[Images], dict[str, float]]:
        return run_loop(bundle, self._backend, self._settings.threads, self._checked, self._steps)

    def _write(self, folder: Path, blocks: tuple[Block, ...], thresholds: Mapping[str, Mapping[str, float]]) -> Bundle:
        for file in folder.iterdir():  # of an attempt before
            file.unlink()
        chosen = frozenset(constant for block in blocks for constant in block.constants)
        edited = {
            stage: quantize(graph, chosen, thresholds.get(stage, {}), self._weights)
            for stage, graph in self._graphs.items()
        }
        return write_bundle(self._bundle, folder, edited, self._provenance(blocks))

    def _provenance(self, blocks: Sequence[Block]) -> dict[str, Any]:
        """What the manifest says of a calibration; `calibration.json` says the rest."""
        return {
            "format": self._form.name,
            "method": self._settings.method,
            "least_psnr": self._settings.least_psnr,
            "steps": self._steps,
            "quantized": [block.name for block in blocks],
            "photos": [photo.sha256 for photo in self._photos],
            "calibrated": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "hyperstyle-deploy": __version__,
            **{tool: version(tool) for tool in ("onnx", "onnxruntime")},
        }

    def _report(
        self,
        ranges: Ranges,
        thresholds: Mapping[str, Mapping[str, float]],
        effects: Mapping[str, Effect],
        choice: Choice,
        before: Side,
        after: Side | None,
    ) -> Report:
        settings, manifest = self._settings, self._bundle.manifest
        return Report(
            source=self._bundle.path.name,
            model=manifest.model,
            form=self._form,
            method=settings.method,
            steps=self._steps,
            seed=settings.seed,
            photos=tuple(photo.path.name for photo in self._photos),
            checked=len(self._checked),
            least_psnr=settings.least_psnr,
            backend=self._backend,
            met=choice.met,
            image=choice.effect,
            blocks=block_reports(self._blocks, effects, choice),
            tensors=tensor_ranges(ranges, thresholds, readers(self._graphs, self._blocks)),
            before=before,
            after=after,
            machine={
                "processor": platform.processor() or platform.machine(),
                "python": platform.python_version(),
                **{tool: version(tool) for tool in ("onnxruntime", "onnx")},
            },
        )


def _size(bundle: Bundle) -> int:
    return sum(file.bytes for file in bundle.manifest.files.values())
