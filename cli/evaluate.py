"""`evaluate`: results against the photos that they came from."""

from pathlib import Path

import click

from ..runtime.manifest.strict_json import dump
from .options import FILE, JSON_OPTION, exit_stopped, user_errors


@click.command()
@click.argument("originals", type=FILE)
@click.argument("results", type=FILE, nargs=-1, required=True)
@click.option("--lpips", is_flag=True, help="Insist on LPIPS: fail where it cannot be computed.")
@click.option(
    "--identity",
    type=FILE,
    metavar="FILE",
    help="Also compare whose face it is: an ArcFace-like ONNX file from 112x112 pixels to one embedding.",
)
@click.option("--beside", type=FILE, help="Published results to print beside: a CSV, first row method,L2,MS-SSIM,...")
@JSON_OPTION
@user_errors
def evaluate(
    originals: Path,
    results: tuple[Path, ...],
    lpips: bool,
    identity: Path | None,
    beside: Path | None,
    as_json: bool,
) -> None:
    """Measure results against their photos by the paper's measures.

    These are L2, MS-SSIM, LPIPS where it is installed, and with --identity the cosine of identities. ORIGINALS and
    RESULTS are folders, such as what `invert` read and wrote, or two pictures. Several RESULTS make a table, a row
    each: measures, and the method and the seconds that `invert` left beside the results.
    """
    from ..runtime.quality.comparison import compare, comparison_document, gather
    from ..runtime.quality.evaluation import MEASURES, evaluation_document, pairs
    from ..runtime.quality.evaluation import evaluate as scores_of
    from ..runtime.quality.lpips import missing_lpips, open_lpips
    from ..runtime.quality.published import read_published
    from .show.evaluation import show_beside, show_comparison, show_scores
    from .show.progress import count_progress

    published = read_published(beside) if beside else []
    gathered = gather(originals, results) if len(results) > 1 else []
    paired = [pair for each in gathered for pair in each.pairs] or pairs(originals, results[0])
    measures, missing = dict(MEASURES), missing_lpips()
    if lpips or missing is None:
        measures["LPIPS"] = open_lpips()
    if identity is not None:
        from ..runtime.quality.identity import NAME, open_identity

        measures[NAME] = open_identity(identity)
    scores, interrupt = [], None
    with count_progress("Evaluating", len(paired), "pictures") as advance:
        try:
            for score in scores_of(paired, measures):
                scores.append(score)
                advance()
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None and not scores:
        raise interrupt
    if gathered:
        comparison = compare(gathered, scores, published)
        if as_json:
            click.echo(dump(comparison_document(comparison, published)))
        else:
            show_comparison(comparison, missing)
    elif as_json:
        click.echo(dump(evaluation_document(scores, published)))
    else:
        show_scores(scores, missing)
        if published:
            show_beside(scores, published)
    if interrupt is not None:
        exit_stopped(interrupt, f"These are {len(scores)} of {len(paired)} results.")
