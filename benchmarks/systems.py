"""All systems of the paper's table on the demo model, side by side: results of our runtime by the paper's measures.

    python benchmarks/systems.py --work FOLDER [--photos 100] [--optimised 5] [--idinvert FOLDER] [--json FILE]

Photos are drawn faces that no training has seen, with extras and without. Everything runs in ONNX Runtime on one
thread; seconds are those of the processor, so that other work on the machine hardly shows. `FOLDER` keeps the bundles,
the photos and every result. The tables are those of

    hyperstyle-deploy evaluate FOLDER/photos/extras FOLDER/results/extras/* --beside benchmarks/paper.csv
"""

import argparse
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

from measure import describe_machine, load_average, progress
from PIL import Image, ImageDraw

from hyperstyle_deploy.cli.show.evaluation import show_comparison
from hyperstyle_deploy.demo import BUNDLE, CHECKPOINT, ENCODER, MODEL
from hyperstyle_deploy.export.exporter import export
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.methods.settings import Settings
from hyperstyle_deploy.runtime.photos import find_photos
from hyperstyle_deploy.runtime.quality.comparison import compare, comparison_document, gather
from hyperstyle_deploy.runtime.quality.evaluation import MEASURES, evaluate
from hyperstyle_deploy.runtime.quality.published import Published, read_published
from hyperstyle_deploy.runtime.serving.batch import FAILED, Outputs, invert_files
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.training.checkpoints import encoder_file, join
from hyperstyle_deploy.training.idinvert import files as idinvert_files
from hyperstyle_deploy.training.parameters import HELD_OUT, sample
from hyperstyle_deploy.training.pictures import draw

#: "HyperStyle: StyleGAN Inversion with HyperNetworks for Real Image Editing", arXiv:2111.15666, faces of CelebA-HQ.
PAPER = Path(__file__).parent / "paper.csv"
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
    """A way to invert: ``bundle`` is whose bundle runs it, ``method`` as `load` takes it.

    ``steps`` are the method's own for None. With ``pivot`` a projection into W comes first. What ``descends`` follows a
    gradient, and gets few photos.
    """

    name: str
    bundle: str
    method: str | None = None
    steps: int | None = None
    pivot: bool = False

    @property
    def descends(self) -> bool:
        return self.method is not None or (self.bundle == IDINVERT and self.steps != 0)


SYSTEMS = (
    System("projection W+", "hyperstyle", "projection"),
    System("PTI", "hyperstyle", "pti", TUNING_STEPS, pivot=True),
    System("pSp", "psp"),
    System("e4e", "e4e"),
    System("ReStyle-pSp", "restyle-psp"),
    System("ReStyle-e4e", "restyle-e4e"),
    System("W-encoder", SHIPPED, steps=0),
    System("HyperStyle", SHIPPED),
    System("HyperStyle + PTI", "hyperstyle", "pti", FEW_STEPS),
    System("IDInvert, encoder", IDINVERT, steps=0),
    System("IDInvert", IDINVERT),
)


def main() -> None:
    """Draw, export, invert, evaluate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="bundles, photos and results")
    parser.add_argument("--photos", type=int, default=100, help="of each set")
    parser.add_argument("--optimised", type=int, default=5, help="of these, how many optimisations get")
    every = [system.name for system in SYSTEMS]
    parser.add_argument("--only", nargs="+", choices=every, default=every, help="systems to run")
    parser.add_argument("--idinvert", type=Path, help="folder of its trained networks (`training write-idinvert`)")
    parser.add_argument("--person", type=int, default=0, help="which photo with extras the strip shows")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--strip", type=Path, help="one person through all systems, a picture")
    arguments = parser.parse_args()
    left_out = {IDINVERT} if arguments.idinvert is None else set()
    systems = [one for one in SYSTEMS if one.name in arguments.only and one.bundle not in left_out]
    names = dict.fromkeys(system.bundle for system in systems)
    bundles = {name: exported(name, arguments.work, arguments.idinvert) for name in names}
    before, published, sets = load_average(), read_published(PAPER), {}
    for name in SETS:
        photos = drawn(arguments.work / "photos" / name, arguments.photos, extras=name == "extras")
        folders = [inverted(system, bundles, photos, arguments) for system in systems]
        print(f"\nHeld-out drawn faces, {name}")
        sets[name] = compared(photos, folders, published)
    document = {
        "machine": describe_machine(THREADS),
        "load_average": {"before": before, "after": load_average()},
        "backend": BACKEND,
        "first_seed": HELD_OUT,
        "sets": sets,
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    if arguments.strip:
        strip(arguments.work, arguments.person).save(arguments.strip)


def exported(name: str, work: Path, idinvert: Path | None = None) -> Path:
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


def inverted(system: System, bundles: dict[str, Path], photos: Path, arguments: argparse.Namespace) -> Path:
    """Run a system on a set as `invert` does: what an earlier run has finished is not run again."""
    chosen = find_photos([photos])[: arguments.optimised if system.descends else arguments.photos]
    bundle, folder = bundles[system.bundle], arguments.work / "results" / photos.name / system.name
    if not system.pivot:
        session = load(bundle, BACKEND, THREADS, method=system.method)
        session.invert(chosen[0], steps=min(1, session.checked_steps(system.steps)))  # so that nothing is first
        write(session, chosen, Outputs(folder, session.checked_steps(system.steps)))
        return folder
    projection = load(bundle, BACKEND, THREADS, method="projection", settings=Settings(space="w"))
    pivots = Outputs(arguments.work / "pivots" / photos.name, PIVOT_STEPS)
    write(projection, chosen, pivots)
    for photo in chosen:
        pivot = Inversion.load(pivots.inversion(photo.stem))
        tuning = load(bundle, BACKEND, THREADS, method=system.method, settings=Settings(pivot=pivot.codes))
        write(tuning, [photo], Outputs(folder, tuning.checked_steps(system.steps)), pivot.seconds or 0.0)
    return folder


def write(session: Session, photos: list[Path], outputs: Outputs, spent: float = 0.0) -> None:
    """Results with the processor's seconds, those of the pivot included; loading counts as none."""
    outputs = replace(outputs, strips=False, stored="float16", spent=spent)
    for record in invert_files(session, photos, outputs, clock=time.process_time):
        if record.status == FAILED:
            raise SystemExit(f"{record.photo}: {record.error}")
        progress(f"{outputs.folder}: {record.photo.name} {record.status} {record.seconds:.2f} s")


def compared(photos: Path, folders: list[Path], published: list[Published]) -> dict[str, object]:
    """What `evaluate` prints and what it gives as JSON."""
    gathered = gather(photos, folders)
    comparison = compare(
        gathered, list(evaluate([pair for each in gathered for pair in each.pairs], MEASURES)), published
    )
    show_comparison(comparison, "ID and LPIPS were not measured: there are no weights of their networks here.")
    return comparison_document(comparison, published)


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
