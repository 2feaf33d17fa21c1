"""`verify`: a bundle's files, and its results against a reference."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..runtime.manifest.strict_json import dump
from .options import EXIT_FAILED, FILE, JSON_OPTION, STEPS_OPTION, exit_stopped, loading_options, user_errors
from .parameters import CommaList

if TYPE_CHECKING:
    from ..runtime.bundle.reader import Bundle
    from ..runtime.quality.verification.verify import Comparison, Reference

BACKENDS_OPTION = click.option(
    "--backend",
    type=CommaList(),
    default="auto",
    show_default=True,
    help="Backends, with commas; auto: every CPU backend that is installed.",
)


@click.command()
@click.argument("bundle", type=FILE)
@click.option(
    "--images", type=FILE, multiple=True, help="Photo or folder to run; again for more. A drawing unless said."
)
@STEPS_OPTION
@click.option("--reference", type=FILE, help="A float32 bundle to compare with; the bundle itself unless said.")
@click.option("--against", type=FILE, help="The checkpoint to compare with instead, in PyTorch.")
@click.option(
    "--encoder",
    "--w-encoder",
    type=FILE,
    help="The encoder's file of a HyperStyle checkpoint, or of IDInvert's generator.",
)
@click.option("--bisect", is_flag=True, help="On failure, also find the first node that is out of tolerance.")
@click.option("--html", type=FILE, metavar="FILE", help="Write a page with the images and where they differ.")
@click.option("--files-only", is_flag=True, help="Check the files' checksums, and nothing else.")
@partial(loading_options, backend=BACKENDS_OPTION)
@JSON_OPTION
@user_errors
def verify(
    bundle: Path,
    images: tuple[Path, ...],
    steps: int | None,
    reference: Path | None,
    against: Path | None,
    encoder: Path | None,
    bisect: bool,
    html: Path | None,
    files_only: bool,
    loading: dict[str, Any],
    as_json: bool,
) -> None:
    """Check a bundle's files, and its results against a reference.

    Results are compared at every step of the loop. The reference is the float32 graphs, run node by node on the
    CPU, or with --against the networks in PyTorch. Of IDInvert the start is compared, since Adam's steps enlarge
    rounding. Exit status: 0 all is well, 1 a result is out of tolerance, 2
    the bundle cannot be used.
    """
    from ..runtime.bundle.reader import Bundle
    from ..runtime.photos import find_photos
    from ..runtime.quality.verification.document import files_document, verification_document
    from .show.fidelity import show_comparisons, show_files
    from .show.progress import count_progress

    _check_options(reference, against, encoder, bisect, files_only, (images, steps, html))
    opened = Bundle.open(bundle)
    if files_only:
        click.echo(dump(files_document(opened))) if as_json else show_files(opened)
        return
    from ..demo import PHOTO
    from ..runtime.quality.verification.verify import Verifier

    if html is not None:
        from ..runtime.bundle.files import check_folder_of
        from ..runtime.reports.page import require_report

        require_report()
        check_folder_of(html)
    photos = find_photos(images or (PHOTO,))
    backends = _backends(loading)
    verifier = Verifier(opened, _reference(opened, reference, against, encoder), backends)
    steps = verifier.steps(steps)
    comparisons: list[Comparison] = []
    interrupt = None
    with count_progress("Verifying", len(photos) * (1 + len(backends)) * (steps + 1), "states") as advance:
        try:
            for comparison in verifier.run(photos, steps, find_node=bisect, look=html is not None, on_step=advance):
                comparisons.append(comparison)
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None and not comparisons:
        raise interrupt
    if html is not None:
        from ..runtime.reports.verification import write_page

        write_page(html, opened, comparisons)
    if as_json:
        click.echo(dump(verification_document(opened, comparisons)))
    else:
        show_comparisons(comparisons, html)
    if interrupt is not None:
        exit_stopped(interrupt, f"These are {len(comparisons)} of {len(photos) * len(backends)} comparisons.")
    if not all(comparison.within for comparison in comparisons):
        sys.exit(EXIT_FAILED)


def _check_options(
    reference: Path | None,
    against: Path | None,
    encoder: Path | None,
    bisect: bool,
    files_only: bool,
    of_a_run: tuple[object, ...],
) -> None:
    """Options that contradict each other."""
    if against is None and encoder is not None:
        raise click.UsageError("--encoder belongs to --against: give both.")
    if against is not None and reference is not None:
        raise click.UsageError("--against and --reference are two references: give one.")
    if against is not None and bisect:
        raise click.UsageError("--bisect compares nodes of graphs: leave out --against.")
    if files_only and (reference or against or bisect or any(value not in (None, ()) for value in of_a_run)):
        raise click.UsageError("--files-only runs nothing: leave out what is for a run.")


def _backends(loading: dict[str, Any]) -> "dict[str, Any]":
    """The backends that were asked for, each with its options."""
    from ..errors import BackendError
    from ..runtime.backends import AUTO, Options, available, resolve

    options = Options(**{name: value for name, value in loading.items() if name != "backend"})
    names = [name for asked in loading["backend"] for name in (available() if asked == AUTO else (asked,))]
    if not names:
        resolve(AUTO)
        raise BackendError("No backend was named", expected="names with commas between them")
    return {resolve(name): options for name in names}


def _reference(bundle: "Bundle", reference: Path | None, against: Path | None, encoder: Path | None) -> "Reference":
    """What the bundle is compared with."""
    if against is not None:
        from ..export.verification import PyTorchReference

        return PyTorchReference(bundle.manifest, [against] if encoder is None else [against, encoder])
    from ..runtime.bundle.reader import Bundle
    from ..runtime.quality.verification.plain_backend import PlainBackend, reference_bundle

    return PlainBackend(reference_bundle(bundle, Bundle.open(reference) if reference else None))
