"""L2 over seconds on the trained demo model: encoders, HyperStyle, projection and PTI, in one picture.

    python benchmarks/quality_over_time.py --work FOLDER [--photos 8] [--backend NAME] [--json FILE] [--picture FILE]

Bundles are exported to `--work` unless they are there. Faces were held out of training. The clock
starts with the photo and stops at each state of the loop; loading is not counted. L2 is the loop's, at the networks'
size. A projection's states before three quarters of its steps are of perturbed codes. IDInvert is not among the
methods: its generator is StyleGAN1, of which there is no trained one here.
"""

import argparse
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
from measure import NoiseClock, describe_machine, load_average, progress
from numpy.typing import NDArray
from systems import exported

from hyperstyle_deploy.runtime.methods.settings import Settings
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.training.parameters import HELD_OUT, sample
from hyperstyle_deploy.training.pictures import draw

Photo = NDArray[np.uint8]
#: HyperStyle takes some more steps than it was trained for, to show where it levels off.
HYPERSTYLE_STEPS = 10
#: Name -> the bundle of `systems.py`. ReStyle takes its own steps.
ENCODERS = {"pSp": "psp", "e4e": "e4e", "ReStyle-pSp": "restyle-psp", "ReStyle-e4e": "restyle-e4e"}
#: How many marks on the axis of seconds a median curve has.
MARKS = 60


@dataclass
class Curve:
    """One method: of every photo, seconds since the start and L2 at each state."""

    method: str
    steps: int
    seconds: list[list[float]] = field(default_factory=list)
    l2: list[list[float]] = field(default_factory=list)

    def add(self, states: Iterable[tuple[float, float]]) -> None:
        """One photo's."""
        seconds, l2 = zip(*states, strict=True)
        self.seconds.append(list(seconds))
        self.l2.append(list(l2))

    def at(self, moment: float) -> float | None:
        """The median over the photos of the last L2 until then; None before every photo has one."""
        found = [
            l2[np.searchsorted(seconds, moment, side="right") - 1]
            for seconds, l2 in zip(self.seconds, self.l2, strict=True)
            if seconds[0] <= moment
        ]
        return float(np.median(found)) if len(found) == len(self.l2) else None

    def reaches(self, l2: float) -> float | None:
        """The median of the seconds until a photo's L2 is that low; None if that of half the photos never is."""
        times = [
            next((second for second, value in zip(*pair, strict=True) if value <= l2), np.inf)
            for pair in zip(self.seconds, self.l2, strict=True)
        ]
        middle = float(np.median(times))
        return middle if np.isfinite(middle) else None


def main() -> None:
    """Invert held-out faces by every method, print what each reaches and when, write JSON and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=8)
    parser.add_argument("--projection-steps", type=int, default=1000)
    parser.add_argument("--pti-steps", type=int, default=350)
    parser.add_argument("--pivot-steps", type=int, default=450, help="Of PTI's own projection, in W.")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    photos, encoders = held_out(options.photos), {name: exported(of, options.work) for name, of in ENCODERS.items()}
    optimised = exported("hyperstyle", options.work)
    noise = NoiseClock()
    curves = [encoded(name, bundle, photos, options) for name, bundle in encoders.items()]
    curves += measured(optimised, photos, options)
    shares = noise.lap()
    report(curves)
    machine = describe_machine(options.threads)
    if options.json:
        document = {"machine": machine, "load": load_average(), "noise": shares, "curves": list(map(asdict, curves))}
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    if options.picture:
        plot(curves, options.picture, f"{options.photos} held-out faces of the demo model, {machine['cpu']}")


def held_out(count: int) -> list[Photo]:
    """Faces with extras that training has not seen, [64, 64, 3]."""
    parameters, extras = sample(range(HELD_OUT, HELD_OUT + count))
    pictures = (draw(parameters, 64, extras).clamp(-1, 1) + 1) * 127.5
    return list(pictures.round().byte().permute(0, 2, 3, 1).numpy())


def encoded(name: str, bundle: Path, photos: list[Photo], options: argparse.Namespace) -> Curve:
    """An encoder on every photo, in its own steps; the session has warmed up."""
    session = load(bundle, options.backend, options.threads)
    session.invert(photos[0])
    curve = Curve(name, session.checked_steps(None))
    for photo in photos:
        curve.add(_states(session, photo, curve.steps))
    return curve


def measured(bundle: Path, photos: list[Photo], options: argparse.Namespace) -> list[Curve]:
    """Every method on every photo; each session has warmed up on one."""

    def opened(method: str | None = None, settings: Settings | None = None) -> Session:
        session = load(bundle, options.backend, options.threads, method=method, settings=settings)
        session.invert(photos[0], steps=1)
        return session

    def around(pivot: NDArray[np.float32]) -> Session:
        return opened("pti", Settings(pivot=pivot))

    own, tuning = opened(), opened("pti")
    projection, shared = opened("projection"), opened("projection", Settings(space="w"))
    curves = [
        Curve("projection (W+)", options.projection_steps),
        Curve("PTI (projected pivot)", options.pti_steps),
        Curve("PTI (encoder's pivot)", options.pti_steps),
        Curve("HyperStyle", HYPERSTYLE_STEPS),
        Curve("HyperStyle+PTI", options.pti_steps),
    ]
    for index, photo in enumerate(photos):
        progress(f"photo {index + 1} of {len(photos)}")
        pivots: dict[str, tuple[NDArray[np.float32], float]] = {
            "projected": _pivot(shared, photo, options.pivot_steps),
            "encoder": _pivot(own, photo, 0),
        }
        curves[0].add(_states(projection, photo, options.projection_steps))
        for row, name in ((1, "projected"), (2, "encoder")):
            codes, spent = pivots[name]
            curves[row].add(_states(around(codes), photo, options.pti_steps, spent))
        curves[3].add(_states(own, photo, HYPERSTYLE_STEPS))
        curves[4].add(_states(tuning, photo, options.pti_steps))
    return curves


def _pivot(session: Session, photo: Photo, steps: int) -> tuple[NDArray[np.float32], float]:
    """Codes that a method finds, and its seconds."""
    started = perf_counter()
    *_, last = session.refine(session.prepare([photo]), steps)
    return last.codes[0], perf_counter() - started


def _states(session: Session, photo: Photo, steps: int, spent: float = 0.0) -> Iterable[tuple[float, float]]:
    """Seconds, those that were ``spent`` before included, and L2 of each state."""
    started = perf_counter()
    for step in session.refine(session.prepare([photo]), steps):
        assert step.l2 is not None
        yield spent + perf_counter() - started, float(step.l2[0])


def report(curves: list[Curve]) -> None:
    """What each method ends with, and when it is as good as HyperStyle at 5 steps and as PTI at its end."""
    hyperstyle = float(np.median([l2[5] for l2 in next(c for c in curves if c.method == "HyperStyle").l2]))
    pti = float(np.median([l2[-1] for l2 in next(c for c in curves if c.method.startswith("PTI (proj")).l2]))
    told: Callable[[float | None], str] = lambda value: "never" if value is None else f"{value:.2f} s"  # noqa: E731
    print(f"{'':24}{'steps':>6}{'L2 at the end':>15}{'after':>10}{f'L2 {hyperstyle:.5f}':>14}{f'L2 {pti:.5f}':>14}")
    for curve in curves:
        end = np.median([l2[-1] for l2 in curve.l2]), np.median([seconds[-1] for seconds in curve.seconds])
        when = f"{told(curve.reaches(hyperstyle)):>14}{told(curve.reaches(pti)):>14}"
        print(f"{curve.method:24}{curve.steps:6}{end[0]:15.5f}{told(float(end[1])):>10}{when}")


def plot(curves: list[Curve], path: Path, title: str) -> None:
    """The median L2 over seconds, both logarithmic, as the paper has it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.2, 4.2), dpi=120)
    for curve in curves:
        first, last = (max(s[0] for s in curve.seconds), max(s[-1] for s in curve.seconds))
        moments = np.geomspace(first, last, MARKS)
        values = [curve.at(moment) for moment in moments]
        axes.plot(moments, values, marker=None if last > first else "o", label=curve.method)
    axes.set(xlabel="seconds from the photo", ylabel="L2 against the photo", xscale="log", yscale="log", title=title)
    axes.title.set_fontsize(9)
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8, loc="lower left")
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main()
