"""Results of several methods on the same photos, side by side, and what was published of each method."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from ...errors import ImageError, printable
from ..bundle.inversion import Inversion
from ..methods import METHODS, OPTIMISATIONS
from ..photos import find_photos
from .evaluation import Score, Summary, named, pairs, score_documents, summaries, summary_documents
from .published import MODEL_AND_DATA_DIFFER, Published, published_document, row_of

_INVERSION = ".inversion"
#: What a method is called of whose refinement steps none was taken.
_NO_STEP = ", no step"
#: Letters of a name out of a file.
_LONGEST = 44
#: Rows of tables by what `Origin.method` calls them, where the names differ. IDInvert without a step is its encoder,
#: which the table of arXiv:2111.15666 gives 0.04 s.
_PUBLISHED_AS = {"projection": "StyleGAN2", f"idinvert{_NO_STEP}": "IDInvert"}


@dataclass(frozen=True)
class Origin:
    """What the inversions beside results say of how these were found.

    ``method`` has, before an optimisation, the method that it began with: "hyperstyle + pti"; several have "or" in
    between. ``steps`` are the fewest and the most that a photo took, ``seconds`` a photo's in the median, over
    ``timed`` of them. All is None where no inversion says it.
    """

    method: str | None = None
    steps: tuple[int, int] | None = None
    seconds: float | None = None
    timed: int = 0


@dataclass(frozen=True)
class Results:
    """A row of a comparison: photos with their results, and the photos that have none."""

    name: str
    pairs: Sequence[tuple[Path, Path]]
    missing: Sequence[Path]
    origin: Origin

    @property
    def called(self) -> str:
        """What to look for in published tables: the method, or the name where none is known."""
        return self.origin.method or self.name


@dataclass(frozen=True)
class Row:
    """Results with their scores; ``common`` are those of the photos that every row has."""

    results: Results
    scores: Sequence[Score]
    common: Sequence[Score]
    published: Published | None

    @property
    def summaries(self) -> dict[str, Summary]:
        """Each measure over all that there is."""
        return summaries(self.scores)


@dataclass(frozen=True)
class Comparison:
    """Rows in the order given; ``unmeasured`` are published rows that stand beside none, ``common`` counts photos."""

    rows: Sequence[Row]
    unmeasured: Sequence[Published]
    common: int

    @property
    def differ(self) -> bool:
        """Whether rows are over different photos."""
        return any(len(row.scores) > self.common for row in self.rows)


def gather(originals: Path, folders: Sequence[Path]) -> list[Results]:
    """Pair photos with the results of several methods; a method may have results of some of the photos.

    Args:
        originals: a folder of photos, or one.
        folders: of results, or pictures; what `invert` left beside them is read.

    Raises:
        ImageError: a result without a photo, two results of one name, or no photo of which all have a result.
        InversionError: an inversion beside a result is damaged.
    """
    names, photos = _names(folders), find_photos([originals])
    paired = [dict(pairs(originals, folder, some=True)) for folder in folders]
    if not set(photos).intersection(*paired):
        have = [f"{name} of {named([photo.name for photo in each])}" for name, each in zip(names, paired, strict=True)]
        raise ImageError(
            "There is no photo of which every folder has a result",
            got=f"results in {'; '.join(have)}",
            hint="Evaluate results of different photos one folder at a time.",
        )
    return [
        Results(
            name,
            list(each.items()),
            [photo for photo in photos if photo not in each],
            origin_of(list(each.values())),
        )
        for name, each in zip(names, paired, strict=True)
    ]


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' own names, or whole paths where two have the same."""
    short = [folder.resolve().name for folder in folders]
    return [str(folder) if short.count(name) > 1 else name for folder, name in zip(folders, short, strict=True)]


def origin_of(results: Sequence[Path]) -> Origin:
    """Read the inversions that lie beside results.

    Raises:
        InversionError: one is damaged.
    """
    beside = [result.with_name(f"{result.stem}{_INVERSION}") for result in results]
    inversions = [Inversion.load(path) for path in beside if path.is_file()]
    if not inversions:
        return Origin()
    methods = {_called(inversion) for inversion in inversions}
    steps = [inversion.steps for inversion in inversions]
    seconds = [inversion.seconds for inversion in inversions if inversion.seconds is not None]
    return Origin(
        " or ".join(sorted(methods)),
        (min(steps), max(steps)),
        median(seconds) if seconds else None,
        len(seconds),
    )


def _called(inversion: Inversion) -> str:
    kind = {**METHODS, **OPTIMISATIONS}.get(inversion.method.partition("+")[0])
    begun = f"{inversion.begun_with[:_LONGEST]} + " if inversion.begun_with else ""
    return f"{begun}{inversion.method[:_LONGEST]}{_NO_STEP if kind and kind.refines and not inversion.steps else ''}"


def compare(gathered: Sequence[Results], scores: Sequence[Score], published: Sequence[Published] = ()) -> Comparison:
    """Rows of what was measured, each with the published row of its method.

    Where no inversion names a method, as beside results of another program, the folder's name does.

    Args:
        gathered: as ``gather`` gives it.
        scores: of its pairs, or of the first of them; what has none yet is left out.
        published: a table, or nothing.
    """
    found = {(score.original, score.result): score for score in scores}
    measured = [(each, [found[pair] for pair in each.pairs if pair in found]) for each in gathered]
    measured = [(each, own) for each, own in measured if own]
    common = set.intersection(*({score.original for score in own} for _, own in measured))
    rows = [
        Row(
            each,
            own,
            [score for score in own if score.original in common],
            row_of(published, _PUBLISHED_AS.get(each.called, each.called)),
        )
        for each, own in measured
    ]
    beside = [row.published for row in rows]
    return Comparison(rows, [row for row in published if row not in beside], len(common))


def comparison_document(comparison: Comparison, published: Sequence[Published] = ()) -> dict[str, Any]:
    """All rows as one JSON document; a measure without a value is null."""
    return {
        "results": [
            {
                "name": printable(row.results.name),
                "missing": [printable(photo.name) for photo in row.results.missing],
                **asdict(row.results.origin),
                "summary": summary_documents(row.summaries),
                "common": summary_documents(summaries(row.common)) if row.common else None,
                "published": row.published and published_document(row.published),
                "pictures": score_documents(row.scores),
            }
            for row in comparison.rows
        ],
        "common": comparison.common,
        "published": [published_document(row) for row in published],
        "note": MODEL_AND_DATA_DIFFER if published else None,
    }
