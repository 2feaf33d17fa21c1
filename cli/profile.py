"""`profile`: latencies of bundles in backends; `profile compare`: two such reports against each other."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from ..runtime.manifest.checks import MAX_STEPS
from ..runtime.manifest.strict_json import dump
from .options import EXIT_ERROR, EXIT_FAILED, FILE, JSON_OPTION, exit_stopped, user_errors
from .parameters import CommaList, Numbers, Real


class DefaultCommand(click.Group):
    """A group whose first argument may be a command's name; otherwise all arguments are the default command's."""

    default = "run"

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in self.commands:
            args = [self.default, *args]
        return super().parse_args(context, args)


@click.group(cls=DefaultCommand)
def profile() -> None:
    """Measure how fast bundles run, or compare two such reports."""


@profile.command("run", hidden=True, epilog="`profile compare --help` tells how two reports are compared.")
@click.argument("bundles", type=FILE, nargs=-1, required=True, metavar="BUNDLE...")
@click.option("--backend", "backends", type=CommaList(), default="auto", show_default=True, help="One, or several.")
@click.option("--threads", type=Numbers(1), help="CPU threads a run may use: one number, or several.")
@click.option("--precision-hint", "hints", type=CommaList(), help="What OpenVINO computes in: f32, bf16, or both.")
@click.option("--batch", "batches", type=Numbers(1), default="1", show_default=True, help="Photos that run together.")
@click.option("--steps", type=Numbers(0, MAX_STEPS), help="Refinement steps; each bundle's default unless said.")
@click.option("--streams", type=Numbers(1), default="1", show_default=True, help="Inversions at once, a thread each.")
@click.option("--duration", type=Real(0.1), default=10.0, show_default=True, help="Seconds for each case.")
@click.option("--runs", type=click.IntRange(1), default=100, show_default=True, help="Runs of each case at most.")
@click.option("--cold-start", is_flag=True, help="Also load and run every case once in a process of its own.")
@click.option("--layers", is_flag=True, help="Also take every graph apart, node by node.")
@click.option("--quality", is_flag=True, help="Also L2 and PSNR after each step, against time.")
@click.option("--photos", type=FILE, multiple=True, help="Photos or folders of them; the demo's photo unless said.")
@click.option("--device", type=click.IntRange(0), help="Number of the GPU; the first unless said.")
@click.option("--trust-engines", is_flag=True, help="Load engines that were not built here: they are programs.")
@click.option("-o", "--output", type=FILE, help="Write the report as JSON to this file.")
@click.option("--html", type=FILE, help="Write the report as a page to this file.")
@click.option("--trace", type=FILE, help="Write a trace for Perfetto or chrome://tracing to this file; needs --layers.")
@JSON_OPTION
@user_errors
def run(
    bundles: tuple[Path, ...],
    backends: tuple[str, ...],
    threads: tuple[int, ...] | None,
    hints: tuple[str, ...] | None,
    batches: tuple[int, ...],
    steps: tuple[int, ...] | None,
    streams: tuple[int, ...],
    duration: float,
    runs: int,
    cold_start: bool,
    layers: bool,
    quality: bool,
    photos: tuple[Path, ...],
    device: int | None,
    trust_engines: bool,
    output: Path | None,
    html: Path | None,
    trace: Path | None,
    as_json: bool,
) -> None:
    """Measure inversions of bundles, and where their time goes.

    Lists such as --batch 1,4 and --backend onnxruntime,openvino are swept: every combination is a case, and all cases
    take turns, so that they meet the same noise. `profile compare A.json B.json` holds two reports against each other.
    Exit status: 0 measured, 2 something cannot run, 130 interrupted; then the report has what was measured until then.
    """
    from ..demo import PHOTO
    from ..runtime.backends import resolve
    from ..runtime.bundle.files import check_folder_of
    from ..runtime.photos import find_photos
    from ..runtime.profiling.cases import steps_of, sweep
    from ..runtime.profiling.measure import Budget
    from ..runtime.profiling.profile import Wanted
    from ..runtime.profiling.profile import profile as measure_all
    from .show.profile import show_profile
    from .show.progress import profile_progress

    if trace is not None and not layers:
        raise click.UsageError("--trace shows nodes: give --layers as well.")
    # Before minutes of measuring, not after.
    for package in (*(("matplotlib", "jinja2") if html else ()), *(("onnx",) if layers else ())):
        import_module(package)
    for path in (output, html, trace):
        check_folder_of(path)
    names = list(dict.fromkeys(map(resolve, backends)))
    taken = steps_of(bundles, steps)
    cases = sweep(taken, names, threads or (None,), hints or (None,), batches, streams, device, trust_engines)
    wanted = Wanted(cold_start, layers, quality)
    with profile_progress() as tell:
        report = measure_all(cases, find_photos(photos or (PHOTO,)), Budget(duration, runs), wanted, tell)
    document = report.to_json()
    click.echo(dump(document)) if as_json else show_profile(document)
    _write(report, document, output, html, trace)
    if report.error is not None:
        click.echo(f"{report.error}\nThe report has what was measured until then.", err=True)
        sys.exit(EXIT_ERROR)
    if report.interrupt is not None:
        exit_stopped(report.interrupt, "The report has what was measured until then.")


def _write(report: Any, document: dict[str, Any], output: Path | None, html: Path | None, trace: Path | None) -> None:
    from ..runtime.profiling.document import write_json
    from ..runtime.profiling.trace import trace_document

    if output is not None:
        write_json(output, document)
    if html is not None:
        from ..runtime.reports.profile import write_page

        write_page(html, document)
    if trace is not None:
        write_json(trace, trace_document({entry.case.name: entry.nodes for entry in report.cases if entry.nodes}))


@profile.command()
@click.argument("before", type=FILE, metavar="A.json")
@click.argument("after", type=FILE, metavar="B.json")
@click.option(
    "--fail-above",
    type=Real(0, min_open=True),
    help="Exit 1 if a case is slower by this factor, or if B lacks one of A.",
)
@JSON_OPTION
@user_errors
def compare(before: Path, after: Path, fail_above: float | None, as_json: bool) -> None:
    """Compare two reports that `profile --output` wrote: how many times slower B is, case by case.

    Exit status: 0 compared, 1 a case is slower than --fail-above allows or not in B, 2 the reports cannot be compared.
    """
    from ..runtime.profiling.document import read_report
    from ..runtime.profiling.regression import compare as compare_reports
    from .show.profile import show_comparison

    comparison = compare_reports(read_report(before), read_report(after))
    slower = [] if fail_above is None else comparison.slower_than(fail_above)
    if as_json:
        click.echo(dump(comparison.to_json(slower)))
    else:
        show_comparison(comparison, slower)
    if slower or (fail_above is not None and comparison.only_before):
        sys.exit(EXIT_FAILED)
