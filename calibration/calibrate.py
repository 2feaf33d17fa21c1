"""From a float32 bundle and photos to a calibrated one: ranges, sensitivity, choice, writing, and the measured gate."""

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import BackendError, CalibrationError, OutputError
from ..runtime.backends import AUTO, BACKENDS, resolve
from ..runtime.bundle import MANIFEST_NAME, Bundle
from ..runtime.files import atomic_directory
from ..runtime.session import MAX_STEPS
from .blocks import CONVOLVING, STAGES, Block, find_blocks
from .effects import Effect, Images, Variants, compare
from .formats import FORMATS, Format
from .gate import Choice, choose
from .measured import run_loop
from .photos import CalibrationPhoto, read_photos
from .quantization import Weights, quantize
from .ranges import Ranges, collect
from .report import REPORT_NAME, Report, Side, block_reports, tensor_ranges
from .stage_graph import StageGraph
from .thresholds import METHODS, threshold
from .writer import write_bundle, write_manifest

#: Called with what is being done, and how many of how many pieces of it are done.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Settings:
    """What a user asks of a calibration.

    ``form`` is "int8" or "fp8". ``steps`` None is the bundle's default. ``images`` photos are drawn with ``seed`` from
    those that are given, None for all; on the first ``checked`` of them sensitivity and the gate are measured, with
    ``least_psnr`` dB at every step as the target. ``backend`` measures the gate; "auto" as ``load`` takes it.
    """

    form: str = "int8"
    method: str = "percentile"
    steps: int | None = None
    images: int | None = None
    seed: int = 0
    checked: int = 2
    least_psnr: float = 40.0
    backend: str = AUTO
    threads: int | None = None


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
    _check_settings(settings)
    backend = resolve(settings.backend)
    if BACKENDS[backend].gpu:
        raise BackendError("Calibration runs on the CPU", got=backend, expected="onnxruntime or openvino")
    _check_output(output, overwrite)
    bundle = Bundle.open(source)
    _check_source(bundle)
    photos = read_photos(images, bundle.manifest, settings.images, settings.seed)
    steps = bundle.manifest.default_steps if settings.steps is None else settings.steps
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
        self._graphs = {stage: StageGraph(bundle, stage) for stage in STAGES}
        self._blocks = find_blocks(self._graphs, self._form)
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
        tensors = [(stage, tensor) for stage in CONVOLVING for tensor in ranges.tensors(stage)]
        found: dict[str, dict[str, float]] = {stage: {} for stage in CONVOLVING}
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
            tensors=tensor_ranges(ranges, thresholds),
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


def _check_settings(settings: Settings) -> None:
    if settings.form not in FORMATS:
        raise CalibrationError("Unknown format", got=settings.form, expected=" or ".join(FORMATS))
    if settings.method not in METHODS or (settings.form == "fp8" and settings.method == "entropy"):
        raise CalibrationError(f"No such method for {settings.form}", got=settings.method, expected=", ".join(METHODS))
    if settings.steps is not None and not 1 <= settings.steps <= MAX_STEPS:
        raise CalibrationError("steps is out of range", got=settings.steps, expected=f"1 to {MAX_STEPS}")
    if settings.checked < 1:
        raise CalibrationError("The gate needs photos", got=settings.checked, expected="1 or more")


def _check_output(output: Path, overwrite: bool) -> None:
    """Before the work, not after it."""
    if output.exists() and not overwrite:
        raise OutputError("The output exists", got=output, hint="Choose another name, or pass --overwrite.")
    if overwrite and output.is_dir() and not (output / MANIFEST_NAME).exists() and any(output.iterdir()):
        raise OutputError(f"{output} is not a bundle, so it is not replaced", hint="Choose another output folder.")


def _check_source(bundle: Bundle) -> None:
    manifest = bundle.manifest
    if manifest.quantization is not None:
        raise CalibrationError(
            f"{bundle.path} is calibrated already",
            got=manifest.quantization,
            expected="a float32 bundle",
            hint="Calibrate the bundle that it was made from.",
        )
    if manifest.precision != "float32":
        raise CalibrationError(
            f"{bundle.path} is in 16 bits",
            got=manifest.precision,
            expected="a float32 bundle",
            hint="Export the checkpoint with --precision fp32 and calibrate that.",
        )
