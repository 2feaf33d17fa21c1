"""What precision, early stops and steps cost on the trained model: errors against photos that training never saw."""

import argparse
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from time import perf_counter

import numpy as np
from measure import describe_machine, progress
from numpy.typing import NDArray
from PIL import Image

from hyperstyle_deploy.calibration.calibrate import calibrate
from hyperstyle_deploy.demo import BUNDLE, CHECKPOINT, ENCODER
from hyperstyle_deploy.export.exporter import export
from hyperstyle_deploy.runtime.quality.metrics import ms_ssim, paper_input
from hyperstyle_deploy.runtime.quality.tolerance import psnr
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.training.parameters import HELD_OUT, sample
from hyperstyle_deploy.training.pictures import draw

#: The hypernetwork was trained on this many.
TRAINED_STEPS = 5
GAINS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
#: Every how many photos MS-SSIM is taken, which costs more than all the rest.
SSIM_EVERY = 5
CALIBRATION_PHOTOS = 32


@dataclass(frozen=True)
class Curve:
    """One bundle over steps: L2 and MS-SSIM against the photo (mean and spread), PSNR against float32, seconds."""

    precision: str
    megabytes: float
    l2: list[float]
    l2_spread: list[float]
    ms_ssim: list[float]
    psnr: list[float]
    worst_psnr: list[float]
    seconds: list[float]


@dataclass(frozen=True)
class Stop:
    """Early stops at a gain: steps that were taken, and the L2 of the results."""

    until_gain: float | None
    steps: float
    l2: float


def main() -> None:
    """Draw held-out photos, invert them in every precision, print tables, write JSON and a picture of the curve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=100)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    photos = drawn(range(HELD_OUT, HELD_OUT + arguments.photos))
    with tempfile.TemporaryDirectory() as folder:
        bundles = variants(Path(folder), arguments.backend)
        images: dict[str, NDArray[np.float32]] = {}
        curves = []
        for name, bundle in bundles.items():
            progress(f"{name}: {len(photos)} photos")
            with load(bundle, backend=arguments.backend, threads=arguments.threads) as session:
                images[name] = refined(session, photos, arguments.steps)
                seconds = step_seconds(session, photos[0], arguments.steps)
            curves.append(curve(name, bundle, images[name], images["float32"], photos, seconds))
            print_curve(curves[-1])
        with load(bundles["float32"], backend=arguments.backend, threads=arguments.threads) as session:
            stops = [early_stop(session, photos, gain) for gain in (None, *GAINS)]
    print("until gain    steps    L2")
    for stop in stops:
        print(f"{stop.until_gain or 'none':>10}    {stop.steps:5.2f}    {stop.l2:.5f}")
    machine = describe_machine(arguments.threads)
    if arguments.json:
        document = {"machine": machine, "photos": len(photos), "backend": arguments.backend}
        document |= {"curves": list(map(asdict, curves)), "stops": list(map(asdict, stops))}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    if arguments.picture:
        plot(curves, arguments.picture, f"{len(photos)} held-out faces of the demo model, {machine['cpu']}")


def drawn(seeds: range) -> list[NDArray[np.uint8]]:
    """Faces with extras, [64, 64, 3]."""
    parameters, extras = sample(seeds)
    pictures = (draw(parameters, 64, extras).clamp(-1, 1) + 1) * 127.5
    return list(pictures.round().byte().permute(0, 2, 3, 1).numpy())


def variants(folder: Path, backend: str) -> dict[str, Path]:
    """The trained model in every precision: INT8 calibrated on faces that training saw."""
    (folder / "photos").mkdir()
    for index, photo in enumerate(drawn(range(CALIBRATION_PHOTOS))):
        Image.fromarray(photo).save(folder / "photos" / f"{index}.png")
    half = export((CHECKPOINT, ENCODER), folder / "fp16.bundle", precision="float16").path
    report = calibrate(BUNDLE, [folder / "photos"], folder / "int8.bundle")
    kept = [block.name for block in report.blocks if not block.quantized]
    progress(f"INT8 keeps in float32: {', '.join(kept) or 'nothing'}")
    return {"float32": BUNDLE, "float16": half, "int8": folder / "int8.bundle"}


def refined(session: Session, photos: list[NDArray[np.uint8]], steps: int) -> NDArray[np.float32]:
    """Images of every step, [steps + 1, photos, 3, 64, 64]."""
    found = [[step.image for step in session.refine(session.prepare([photo]), steps)] for photo in photos]
    return np.asarray(found)[:, :, 0].swapaxes(0, 1)


def step_seconds(session: Session, photo: NDArray[np.uint8], steps: int) -> list[float]:
    """Seconds from the photo to each step's image: the median of some runs."""
    runs = []
    for _ in range(9):
        started, run = perf_counter(), []
        for step in session.refine(session.prepare([photo]), steps):
            _ = step.image
            run.append(perf_counter() - started)
        runs.append(run)
    return [float(value) for value in np.median(runs[2:], 0)]


def curve(
    name: str,
    bundle: Path,
    images: NDArray[np.float32],
    plain: NDArray[np.float32],
    photos: list[NDArray[np.uint8]],
    seconds: list[float],
) -> Curve:
    """Errors of one bundle's images."""
    wanted = np.stack(photos).transpose(0, 3, 1, 2) / np.float32(127.5) - 1
    l2 = np.square(images - wanted).mean((2, 3, 4))
    likeness = [[similarity(image[row], photos[row]) for row in range(0, len(photos), SSIM_EVERY)] for image in images]
    ratios = [
        [min(psnr(got, want), 200.0) for got, want in zip(*pair, strict=True)]
        for pair in zip(images, plain, strict=True)
    ]
    size = sum(file.stat().st_size for file in bundle.rglob("*") if file.is_file() and "directions" not in file.parts)
    return Curve(
        name,
        size / 1e6,
        l2.mean(1).tolist(),
        l2.std(1, ddof=1).tolist(),
        np.nanmean(likeness, 1).tolist(),
        [mean(row) for row in ratios],
        [min(row) for row in ratios],
        seconds,
    )


def similarity(image: NDArray[np.float32], photo: NDArray[np.uint8]) -> float:
    """MS-SSIM as the paper takes it, at 256 pixels."""
    pixels = ((image.clip(-1, 1) + 1) * 127.5).round().astype(np.uint8).transpose(1, 2, 0)
    return ms_ssim(paper_input(Image.fromarray(pixels)), paper_input(Image.fromarray(photo)))


def early_stop(session: Session, photos: list[NDArray[np.uint8]], gain: float | None) -> Stop:
    """Invert with an early stop; L2 is of the pictures that come out."""
    found = session.invert(list(photos), steps=TRAINED_STEPS, until_gain=gain)
    errors = [
        np.square((np.float32(one.image) - photo) / 127.5).mean() for one, photo in zip(found, photos, strict=True)
    ]
    # What a photo stopped at may be the step before its last: what was run counts.
    return Stop(gain, mean(len(one.l2) - 1 for one in found), mean(map(float, errors)))


def print_curve(found: Curve) -> None:
    """A row a step."""
    print(f"{found.precision}, {found.megabytes:.2f} MB")
    print("step      L2  spread  MS-SSIM   PSNR  worst   ms")
    rows = zip(found.l2, found.l2_spread, found.ms_ssim, found.psnr, found.worst_psnr, found.seconds, strict=True)
    for step, (l2, spread, likeness, ratio, worst, seconds) in enumerate(rows):
        print(f"{step:4} {l2:.5f} {spread:.5f} {likeness:8.4f} {ratio:6.1f} {worst:6.1f} {seconds * 1e3:5.1f}")


def plot(curves: list[Curve], path: Path, title: str) -> None:
    """L2 against the photo over the time it takes, a mark a step."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.2, 4.2), dpi=120)
    for found in curves:
        axes.plot([1e3 * value for value in found.seconds], found.l2, marker="o", label=found.precision)
    for step, (seconds, l2) in enumerate(zip(curves[0].seconds, curves[0].l2, strict=True)):
        axes.annotate(str(step), (1e3 * seconds, l2), textcoords="offset points", xytext=(4, 6), fontsize=8)
    axes.set(xlabel="milliseconds from the photo", ylabel="L2 against the photo", yscale="log", title=title)
    axes.title.set_fontsize(9)
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main()
