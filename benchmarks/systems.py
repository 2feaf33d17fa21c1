"""All systems of the paper's table on the demo model, side by side: results of our runtime by the paper's measures.

    python benchmarks/systems.py --work FOLDER [--photos 100] [--optimised 5] [--idinvert FOLDER] [--json FILE]

Photos are drawn faces that no training has seen, with extras and without. Everything runs in ONNX Runtime on one
thread; seconds are those of the processor, so that other work on the machine hardly shows. `FOLDER` keeps the bundles,
the photos and every result, for `hyperstyle-deploy evaluate` and to look at.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from measure import describe_machine, load_average, progress, table
from PIL import Image, ImageDraw

from hyperstyle_deploy.demo import BUNDLE, CHECKPOINT, ENCODER, MODEL
from hyperstyle_deploy.export.exporter import export
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.methods.settings import Settings
from hyperstyle_deploy.runtime.photos import find_photos
from hyperstyle_deploy.runtime.quality.evaluation import MEASURES, Summary, evaluate, summarize
from hyperstyle_deploy.runtime.quality.json_values import finite
from hyperstyle_deploy.runtime.quality.published import read_published
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.training.checkpoints import encoder_file, join
from hyperstyle_deploy.training.idinvert import files as idinvert_files
from hyperstyle_deploy.training.parameters import HELD_OUT, sample
from hyperstyle_deploy.training.pictures import draw

#: "HyperStyle: StyleGAN Inversion with HyperNetworks for Real Image Editing", arXiv:2111.15666, faces of CelebA-HQ.
PAPER = Path(__file__).parent / "paper.csv"
SECONDS = "seconds"
BACKEND, THREADS = "onnxruntime", 1
SETS = ("extras", "plain")
#: The authors of PTI project into W for so many steps, and tune for at most so many.
PIVOT_STEPS, TUNING_STEPS = 450, 350
#: Behind HyperStyle a part of them is enough.
FEW_STEPS = 100
#: The bundle that the package brings; it has no gradient graphs.
SHIPPED = "shipped"
#: Of networks that it does not bring.
IDINVERT = "idinvert"
TILE, LABEL = 128, 18


@dataclass(frozen=True)
class System:
    """A way to invert: ``paper`` is its row there, ``bundle`` whose bundle runs it, ``method`` as `load` takes it.

    ``steps`` are the method's own for None. With ``pivot`` a projection into W comes first. What ``descends`` follows a
    gradient, and gets few photos.
    """

    name: str
    paper: str | None
    bundle: str
    method: str | None = None
    steps: int | None = None
    pivot: bool = False

    @property
    def descends(self) -> bool:
        return self.method is not None or (self.bundle == IDINVERT and self.steps != 0)


SYSTEMS = (
    System("projection W+", "StyleGAN2", "hyperstyle", "projection"),
    System("PTI", "PTI", "hyperstyle", "pti", TUNING_STEPS, pivot=True),
    System("pSp", "pSp", "psp"),
    System("e4e", "e4e", "e4e"),
    System("ReStyle-pSp", "ReStyle-pSp", "restyle-psp"),
    System("ReStyle-e4e", "ReStyle-e4e", "restyle-e4e"),
    System("W-encoder", None, SHIPPED, steps=0),
    System("HyperStyle", "HyperStyle", SHIPPED),
    System("HyperStyle + PTI", None, "hyperstyle", "pti", FEW_STEPS),
    System("IDInvert, encoder", "IDInvert", IDINVERT, steps=0),
    System("IDInvert", None, IDINVERT),
)


@dataclass(frozen=True)
class Row:
    """What a system came to on one set of photos: measures by name, and seconds of one photo.

    ``first`` are the measures' means over the photos that every system has.
    """

    system: str
    paper: str | None
    measures: dict[str, Summary]
    first: dict[str, float]
    seconds: float


def main() -> None:
    """Draw, export, invert, evaluate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="bundles, photos and results")
    parser.add_argument("--photos", type=int, default=100, help="of each set")
    parser.add_argument("--optimised", type=int, default=5, help="of these, how many optimisations get")
    parser.add_argument("--only", nargs="+", default=[system.name for system in SYSTEMS], help="systems to run")
    parser.add_argument("--idinvert", type=Path, help="folder of its trained networks (`training write-idinvert`)")
    parser.add_argument("--person", type=int, default=0, help="which photo with extras the strip shows")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--strip", type=Path, help="one person through all systems, a picture")
    arguments = parser.parse_args()
    left_out = {IDINVERT} if arguments.idinvert is None else set()
    systems = [one for one in SYSTEMS if one.name in arguments.only and one.bundle not in left_out]
    names = dict.fromkeys(system.bundle for system in systems)
    bundles = {name: exported(name, arguments.work, arguments.idinvert) for name in names}
    before = load_average()
    rows: dict[str, list[Row]] = {}
    for name in SETS:
        photos = drawn(arguments.work / "photos" / name, arguments.photos, extras=name == "extras")
        rows[name] = [measured(system, bundles, photos, name, arguments) for system in systems]
        show(name, rows[name], arguments.optimised)
    document = {
        "machine": describe_machine(THREADS),
        "load_average": {"before": before, "after": load_average()},
        "backend": BACKEND,
        "first_seed": HELD_OUT,
        "first": arguments.optimised,
        "sets": {name: list(map(told, found)) for name, found in rows.items()},
        "paper": [{"method": row.method, **row.values} for row in read_published(PAPER)],
        "not_measured": not_measured(rows[SETS[0]]),
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    if arguments.strip:
        strip(arguments.work, arguments.person).save(arguments.strip)


def told(row: Row) -> dict[str, Any]:
    """A row as JSON has it: a measure without a value is null."""
    measures = {name: {key: finite(value) for key, value in asdict(one).items()} for name, one in row.measures.items()}
    first = {name: finite(value) for name, value in row.first.items()}
    return {**asdict(row), "measures": measures, "first": first}


def exported(name: str, work: Path, idinvert: Path | None) -> Path:
    """The bundle of a method of the demo model; HyperStyle's with gradient graphs, if it is not the shipped one.

    ``idinvert`` is the folder of IDInvert's networks.
    """
    if name == SHIPPED:
        return BUNDLE
    bundle, checkpoint = work / f"{name}.bundle", work / f"{name}.pt"
    if bundle.exists():
        return bundle
    work.mkdir(parents=True, exist_ok=True)
    if name == "hyperstyle":
        files, gradients = (CHECKPOINT, ENCODER), ("projection", "pti")
    elif name == IDINVERT:
        assert idinvert is not None
        files, gradients = idinvert_files(idinvert), ()
    else:
        join(encoder_file(MODEL, name), CHECKPOINT, checkpoint)
        files, gradients = (checkpoint,), ()
    return export(files, bundle, gradients=gradients, report=lambda what, _: progress(f"exporting {name}: {what}")).path


def drawn(folder: Path, count: int, extras: bool) -> Path:
    """Held-out faces of 64 pixels, as PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    parameters, presence = sample(range(HELD_OUT, HELD_OUT + count))
    pixels = (draw(parameters, 64, presence if extras else None).clamp(-1, 1) + 1) * 127.5
    for index, picture in enumerate(pixels.round().byte().permute(0, 2, 3, 1).numpy()):
        Image.fromarray(picture).save(folder / f"{index:04}.png")
    return folder


def measured(system: System, bundles: dict[str, Path], photos: Path, name: str, arguments: argparse.Namespace) -> Row:
    """Run a system on a set, evaluate and keep what it gives; what an earlier run has kept is not run again."""
    count = arguments.optimised if system.descends else arguments.photos
    results = arguments.work / "results" / name / system.name
    results.mkdir(parents=True, exist_ok=True)
    kept = results.with_suffix(".json")
    found: dict[str, dict[str, float]] = json.loads(kept.read_text()) if kept.exists() else {}
    left = [photo for photo in find_photos([photos])[:count] if photo.name not in found]
    for photo, inversion, seconds in inverted(system, bundles[system.bundle], left) if left else ():
        assert inversion.image is not None
        Image.fromarray(inversion.image).save(results / photo.name)
        (score,) = evaluate([(photo, results / photo.name)], MEASURES)
        found[photo.name] = {**score.values, SECONDS: seconds}
        kept.write_text(json.dumps(found))
        progress(f"{name}: {system.name}: {photo.name} {seconds:.2f} s")
    values = {key: [one[key] for one in found.values()] for key in (*MEASURES, SECONDS)}
    return Row(
        system.name,
        system.paper,
        {measure: summarize(values[measure]) for measure in MEASURES},
        {measure: summarize(values[measure][: arguments.optimised]).mean for measure in MEASURES},
        median(values[SECONDS]),
    )


def inverted(system: System, bundle: Path, photos: list[Path]) -> Iterator[tuple[Path, Inversion, float]]:
    """Photos with their inversions and the seconds that these took; loading counts as none."""
    if not system.pivot:
        session = load(bundle, BACKEND, THREADS, method=system.method)
        timed(session, photos[0], 1 if session.checked_steps(system.steps) else 0)  # so that nothing is first
        yield from ((photo, *timed(session, photo, system.steps)) for photo in photos)
        return
    projection = load(bundle, BACKEND, THREADS, method="projection", settings=Settings(space="w"))
    for photo in photos:
        pivot, before = timed(projection, photo, PIVOT_STEPS)
        tuning = load(bundle, BACKEND, THREADS, method=system.method, settings=Settings(pivot=pivot.codes))
        found, spent = timed(tuning, photo, system.steps)
        yield photo, found, before + spent


def timed(session: Session, photo: Path, steps: int | None) -> tuple[Inversion, float]:
    """An inversion, and the processor's seconds that it took."""
    started = time.process_time()
    found = session.invert(photo, steps=steps)
    return found, time.process_time() - started


def show(name: str, rows: list[Row], first: int) -> None:
    """Print a set's table, the paper's figures in the last columns."""
    published = {row.method: row.values for row in read_published(PAPER)}
    lines = []
    for row in rows:
        own = [f"{row.measures[measure].mean:.4f}" for measure in MEASURES]
        of_first = [f"{row.first[measure]:.4f}" for measure in MEASURES]
        cells = [str(row.measures["L2"].count), *own, *of_first, f"{row.seconds:.3f}"]
        lines.append([row.system, *cells, *beside(published.get(row.paper or ""))])
    for method in not_measured(rows):
        lines.append([method, *["-"] * (2 * len(MEASURES) + 2), *beside(published[method])])
    header = ["system", "photos", *MEASURES, *(f"{measure} of {first}" for measure in MEASURES), "CPU s"]
    header += [*(f"paper {measure}" for measure in MEASURES), "paper s"]
    table(f"Held-out drawn faces, {name} (the paper's columns: another model, photos of people, a GPU)", header, lines)
    for method in not_measured(rows):
        print(f"  {method} was not measured.")
    print("  ID and LPIPS were not measured: there are no weights of their networks here.")


def not_measured(rows: list[Row]) -> list[str]:
    """The paper's systems that nothing here stands beside."""
    measured = {row.paper for row in rows}
    return [row.method for row in read_published(PAPER) if row.method not in measured]


def beside(values: "dict[str, float] | None") -> list[str]:
    """The paper's cells of a row."""
    return [f"{values[name]:g}" if values and name in values else "-" for name in (*MEASURES, SECONDS)]


def strip(work: Path, person: int) -> Image.Image:
    """One person through all systems, each with its name."""
    results = work / "results" / SETS[0]
    names = ["photo", *(system.name for system in SYSTEMS if (results / system.name).exists())]
    paths = [work / "photos" / SETS[0], *(results / name for name in names[1:])]
    columns = (len(names) + 1) // 2
    sheet = Image.new("RGB", (columns * TILE, 2 * (TILE + LABEL)), "white")
    pen = ImageDraw.Draw(sheet)
    for index, (name, path) in enumerate(zip(names, paths, strict=True)):
        x, y = index % columns * TILE, index // columns * (TILE + LABEL)
        picture = Image.open(path / f"{person:04}.png").resize((TILE, TILE), Image.Resampling.BICUBIC)
        sheet.paste(picture, (x, y + LABEL))
        pen.text((x + 4, y + 3), name, fill="black")
    return sheet


if __name__ == "__main__":
    main()
