"""`batch`: very many photos, through a ledger."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..runtime.manifest.strict_json import dump
from .options import (
    EXIT_FAILED,
    FILE,
    GENERATOR_OPTION,
    JSON_OPTION,
    STEPS_OPTION,
    UNTIL_GAIN_OPTION,
    exit_stopped,
    loading_options,
    user_errors,
)
from .parameters import CommaList, Real
from .show.ledger import show_ledger
from .show.progress import amount_progress

if TYPE_CHECKING:
    from ..runtime.serving.bulk.ledger import Ledger
    from ..runtime.serving.bulk.on_ray import Cluster
    from ..runtime.serving.bulk.worker import Job

LEDGER_NAME = "ledger.sqlite"
LEDGER_ARGUMENT = click.argument("ledger", type=FILE, metavar="LEDGER|FOLDER")
KINDS = ("inversion", "image", "strip", "thumbnail")
STATES = ("waiting", "running", "done", "failed")


class InOrder(click.Group):
    """Lists its commands in the order of the work."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=InOrder)
def batch() -> None:
    """Invert very many photos, through a ledger.

    Whatever ends a batch, `batch run` again does what is left, and gives the results of a run that nothing disturbed.
    """


@batch.command()
@click.argument("bundle", type=FILE)
@click.argument("photos", nargs=-1, metavar="PHOTO|FOLDER|PATTERN|LIST...")
@click.option("-o", "--output", type=FILE, required=True, help="Folder for the results, and for the ledger.")
@click.option(
    "--ledger", type=FILE, help=f"The ledger, on a local disk; {LEDGER_NAME} in the output folder if left out."
)
@click.option("--column", default="path", show_default=True, help="What CSV and Parquet lists call their paths.")
@click.option(
    "--write",
    "kinds",
    type=CommaList(),
    default="inversion,image",
    show_default=True,
    help=f"Results, with commas between them: {', '.join(KINDS)}.",
)
@click.option("--thumbnail-size", type=click.IntRange(16, 1024), default=128, show_default=True, help="In pixels.")
@click.option(
    "--shard",
    type=click.IntRange(0, 4),
    default=0,
    show_default=True,
    help="Hexadecimal digits of a photo's hash that name the subfolder of its results.",
)
@STEPS_OPTION
@UNTIL_GAIN_OPTION
@GENERATOR_OPTION
@click.option(
    "--workers", type=click.IntRange(1, 256), help="Processes, a session each; unless said 1 for 2 CPUs or a GPU."
)
@click.option("--attempts", type=click.IntRange(1, 100), default=3, show_default=True, help="How often to try a photo.")
@click.option("--deadline", type=Real(0.1), default=600, show_default=True, help="Seconds for a photo.")
@click.option("--memory", type=click.IntRange(64), help="MiB that a worker may have of its own; any unless said.")
@click.option(
    "--check",
    type=click.Choice(["nothing", "size", "bytes"]),
    default="size",
    show_default=True,
    help="What is looked at of results that are there already.",
)
@click.option("--ray", metavar="ADDRESS", help="Run on Ray: a cluster's address, auto, or local ([ray] installs it).")
@loading_options
@JSON_OPTION
@user_errors
def run(
    bundle: Path,
    photos: tuple[str, ...],
    output: Path,
    ledger: Path | None,
    column: str,
    kinds: tuple[str, ...],
    thumbnail_size: int,
    shard: int,
    steps: int | None,
    until_gain: float | None,
    generator: str | None,
    workers: int | None,
    attempts: int,
    deadline: float,
    memory: int | None,
    check: str,
    ray: str | None,
    loading: dict[str, Any],
    as_json: bool,
) -> None:
    """Invert photos, or go on inverting them.

    PHOTOS are photos, folders with all below them, patterns in quotes, and lists of paths: .txt, .csv, .parquet. They
    are added to what the ledger has; without any, the run goes on with those. Several runs may share a ledger.
    Exit status: 0 all photos are done, 1 some failed, 2 the batch cannot go on, 130 interrupted, 143 terminated.
    """
    from ..errors import BatchError
    from ..runtime.backends import BACKENDS, resolve
    from ..runtime.bundle.reader import Bundle
    from ..runtime.serving.batch import Outputs
    from ..runtime.serving.bulk.document import ledger_document
    from ..runtime.serving.bulk.ledger import Ledger
    from ..runtime.serving.bulk.listing import listed
    from ..runtime.serving.bulk.on_ray import Cluster
    from ..runtime.serving.bulk.recipe import Recipe
    from ..runtime.serving.bulk.worker import Job

    path = ledger or output / LEDGER_NAME
    if not photos and not path.exists():
        raise BatchError("No photos were named", got=f"no ledger {path}", expected="photos, or a ledger that has some")
    found = listed(photos, column, output)
    Outputs(output, 0).check_folder(())
    loading["backend"] = resolve(loading["backend"])
    loading["generator"] = generator
    opened = Bundle.open(bundle, generator=generator)
    on_gpu = BACKENDS[loading["backend"]].gpu
    workers = workers or (1 if on_gpu else max(1, _cpus() // 2))
    if not on_gpu:
        loading["threads"] = loading["threads"] or _threads(path, workers)
    recipe = Recipe(
        model=opened.manifest.model,
        backend=loading["backend"],
        precision_hint=loading["precision_hint"],
        threads=loading["threads"],
        steps=opened.method.checked_steps(steps),
        until_gain=until_gain,
        kinds=kinds,
        thumbnail=thumbnail_size,
        shard=shard,
        folder=os.path.relpath(output, path.parent),
        generator=generator,
    )
    recipe.check_kinds()
    job = Job(path, bundle, loading, attempts, deadline, None if memory is None else memory << 20)
    output.mkdir(parents=True, exist_ok=True)
    with Ledger.start(path, recipe) as started:
        _take_in(started, found, check)
        cluster = None if ray is None else Cluster(ray, workers, loading["threads"] or 1, float(on_gpu))
        interrupt = _work(started, job, workers, cluster)
        document = ledger_document(started)
    click.echo(dump(document)) if as_json else show_ledger(document)
    states = document["states"]
    if interrupt is not None:
        finished = states["done"] + states["failed"]
        exit_stopped(
            interrupt, f"{finished} of {document['photos']} photos are done; the same command does the others."
        )
    if states["failed"]:
        sys.exit(EXIT_FAILED)


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _threads(ledger: Path, workers: int) -> int:
    """Those of each worker: as the batch began, or the CPUs divided among them."""
    from ..runtime.serving.bulk.ledger import Ledger

    began = None
    if ledger.exists():
        with Ledger(ledger) as opened:
            began = opened.recipe.threads
    return began or max(1, _cpus() // workers)


def _take_in(ledger: "Ledger", photos: "Iterator[bytes]", check: str) -> None:
    """Add photos, and see what became of those that were done."""
    from ..runtime.serving.bulk.audit import audit
    from ..runtime.serving.bulk.ledger import DONE

    with amount_progress("Listing photos") as advance:
        for new in ledger.add(photos):
            advance(new)
    done = sum(each.photos for each in ledger.counts() if each.state == DONE)
    with amount_progress("Checking results", total=done) as advance:
        for looked, _ in audit(ledger, check):
            advance(looked)


def _work(ledger: "Ledger", job: "Job", workers: int, cluster: "Cluster | None") -> KeyboardInterrupt | None:
    """Run to the end; what interrupted it, if anything did."""
    from ..runtime.serving.bulk.ledger import DONE, FAILED
    from ..runtime.serving.bulk.on_ray import run_on_ray
    from ..runtime.serving.bulk.supervisor import Supervisor

    counts = ledger.counts()
    done = sum(each.photos for each in counts if each.state in (DONE, FAILED))
    hands = f"{workers} worker{'s' if workers > 1 else ''}{' on Ray' if cluster else ''}"
    title = f"Inverting ({ledger.recipe.backend}, {hands})"
    with amount_progress(title, done, sum(each.photos for each in counts)) as advance:

        def ended(state: int) -> None:
            advance(state in (DONE, FAILED))

        try:
            if cluster is None:
                Supervisor(ledger, job, workers, lambda attempt: ended(attempt.state)).run()
            else:
                run_on_ray(ledger, job, cluster, ended)
        except KeyboardInterrupt as interrupt:
            return interrupt
    return None


@batch.command()
@LEDGER_ARGUMENT
@JSON_OPTION
@user_errors
def status(ledger: Path, as_json: bool) -> None:
    """Tell how far a batch is, while it runs or later."""
    from ..runtime.serving.bulk.document import ledger_document

    with _opened(ledger) as opened:
        document = ledger_document(opened)
    click.echo(dump(document)) if as_json else show_ledger(document)


@batch.command()
@LEDGER_ARGUMENT
@click.option("--error", metavar="CLASS", help="Only those with this error, such as ImageError.")
@user_errors
def retry(ledger: Path, error: str | None) -> None:
    """Let photos that failed wait again; `batch run` tries them."""
    with _opened(ledger) as opened:
        click.echo(f"{opened.retry(error)} photos wait again.")


@batch.command()
@LEDGER_ARGUMENT
@click.option("-o", "--output", type=FILE, required=True, help="A .csv or a .parquet file.")
@click.option("--state", "states", type=click.Choice(STATES), multiple=True, help="Only these; again for more.")
@user_errors
def export(ledger: Path, output: Path, states: tuple[str, ...]) -> None:
    """Write what the ledger knows as a table, a row a photo."""
    from ..runtime.serving.bulk.table import write_table

    with _opened(ledger) as opened:
        count = write_table(opened, output, tuple(map(STATES.index, states)))
    click.echo(f"{count} photos are in {output}")


@batch.command()
@LEDGER_ARGUMENT
@click.option("-o", "--output", type=FILE, required=True, help="The page, an .html file.")
@user_errors
def report(ledger: Path, output: Path) -> None:
    """Write a page: what became of the photos, what went wrong, how the time went."""
    from ..runtime.bundle.files import check_folder_of
    from ..runtime.reports.ledger import write_page
    from ..runtime.reports.page import require_report
    from ..runtime.serving.bulk.document import details_document

    require_report()
    check_folder_of(output)
    with _opened(ledger) as opened:
        document = details_document(opened)
    write_page(output, document)
    click.echo(f"The page is {output}")


def _opened(path: Path) -> "Ledger":
    from ..runtime.serving.bulk.ledger import Ledger

    return Ledger(path / LEDGER_NAME if path.is_dir() else path)
