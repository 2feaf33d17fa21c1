"""What a user asks of a calibration, and what is refused before any work is done."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import CalibrationError, OutputError
from ..runtime.backends import AUTO
from ..runtime.bundle.reader import MANIFEST_NAME, Bundle
from ..runtime.manifest.checks import MAX_STEPS
from .formats import FORMATS
from .thresholds import METHODS


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


def check_settings(settings: Settings) -> None:
    """Raise CalibrationError for an option that makes no sense."""
    if settings.form not in FORMATS:
        raise CalibrationError("Unknown format", got=settings.form, expected=" or ".join(FORMATS))
    if settings.method not in METHODS or (settings.form == "fp8" and settings.method == "entropy"):
        raise CalibrationError(f"No such method for {settings.form}", got=settings.method, expected=", ".join(METHODS))
    if settings.checked < 1:
        raise CalibrationError("The gate needs photos", got=settings.checked, expected="1 or more")


def check_output(output: Path, overwrite: bool) -> None:
    """Raise OutputError for an output that could not be written in the end."""
    if output.exists() and not overwrite:
        raise OutputError("The output exists", got=output, hint="Choose another name, or pass --overwrite.")
    if overwrite and output.is_dir() and not (output / MANIFEST_NAME).exists() and any(output.iterdir()):
        raise OutputError(f"{output} is not a bundle, so it is not replaced", hint="Choose another output folder.")


def checked_steps(settings: Settings, bundle: Bundle) -> int:
    """Refinement steps, the bundle's default where none are asked for.

    Raises:
        CalibrationError: they are out of range for its method: what it refines with would not run.
    """
    manifest = bundle.manifest
    steps = manifest.default_steps if settings.steps is None else settings.steps
    allowed = range(1, MAX_STEPS + 1) if bundle.method.refines else range(1)
    if steps not in allowed:
        expected = f"{allowed[0]} to {allowed[-1]}" if bundle.method.refines else 0
        raise CalibrationError(
            f"steps is out of range for {manifest.method.name}", got=steps, expected=expected, hint="See --steps."
        )
    return steps


def check_source(bundle: Bundle) -> None:
    """Raise CalibrationError for a bundle that is not plain float32."""
    manifest = bundle.manifest
    if manifest.quantization is not None:
        raise CalibrationError(
            f"{bundle.path} is calibrated already",
            got=manifest.quantization,
            expected="a float32 bundle",
            hint="Calibrate the bundle that it was made from.",
        )
    if bundle.method.gradient_graphs():
        raise CalibrationError(
            f"{bundle.path} follows a gradient, which eight bits do not have",
            got=manifest.method.name,
            expected="a method whose steps are networks",
        )
    if manifest.precision != "float32":
        raise CalibrationError(
            f"{bundle.path} is in 16 bits",
            got=manifest.precision,
            expected="a float32 bundle",
            hint="Export the checkpoint with --precision fp32 and calibrate that.",
        )
