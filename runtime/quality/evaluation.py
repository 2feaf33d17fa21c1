"""Results of an inversion against the photos that they came from, by the paper's measures."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...errors import ImageError
from ..images import read_photo
from ..photos import BESIDE, find_photos, output_names
from .json_values import finite, json_name
from .metrics import l2, ms_ssim, paper_input
from .published import MODEL_AND_DATA_DIFFER, Published, published_document

#: A measure of two pictures [3, 256, 256] float32 in [-1, 1]: the result, the original.
Measure: TypeAlias = "Callable[[NDArray[np.float32], NDArray[np.float32]], float]"

#: By name, in the order in which they are shown.
MEASURES: dict[str, Measure] = {"L2": l2, "MS-SSIM": ms_ssim}

_NAMED = 5


@dataclass(frozen=True)
class Score:
    """A result's measures, by name; NaN where a measure has no value."""

    original: Path
    result: Path
    values: dict[str, float]


@dataclass(frozen=True)
class Summary:
    """Mean and standard deviation (of the population) over the pictures that have a value; ``left_out`` have none."""

    mean: float
    std: float
    count: int
    left_out: int


def pairs(originals: Path, results: Path, some: bool = False) -> list[tuple[Path, Path]]:
    """Photos and their results, by the names that `invert` gives: `x.jpg` and `x.png`; strips and steps are no results.

    Args:
        originals: a folder of photos, or one.
        results: the folder of their results, such as `invert` wrote, or one.
        some: whether photos may be without a result.

    Raises:
        ImageError: a photo without a result, unless ``some`` may be, or a result without a photo, both named; or two
            results of one name.
    """
    if originals.is_file() and results.is_file():
        return [(originals, results)]
    names = {name: photo for photo, name in output_names(find_photos([originals])).items()}
    found: dict[str, Path] = {}
    pictures = find_photos([results])
    stems = {picture.stem for picture in pictures}
    for picture in pictures:
        beside = BESIDE.fullmatch(picture.stem)
        if beside and beside["name"] in stems and picture.stem not in names:
            continue
        if picture.stem in found:
            raise ImageError("Two results are of one name", got=f"{found[picture.stem]} and {picture.name}")
        found[picture.stem] = picture
    alone = [f"{photo.name} (no result)" for name, photo in names.items() if name not in found and not some]
    alone += [f"{picture.name} (no original)" for name, picture in found.items() if name not in names]
    if alone:
        raise ImageError(
            f"{originals} and {results} do not pair up",
            got=named(alone),
            expected="a result of the same name, but for its ending, for every photo",
        )
    return [(photo, found[name]) for name, photo in names.items() if name in found]


def named(names: Sequence[str]) -> str:
    """Some of many names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def evaluate(paired: Sequence[tuple[Path, Path]], measures: dict[str, Measure]) -> Iterator[Score]:
    """Measure results one by one.

    Raises:
        ImageError: a picture cannot be read.
    """
    for original, result in paired:
        got, want = paper_input(read_photo(result)), paper_input(read_photo(original))
        yield Score(original, result, {name: measure(got, want) for name, measure in measures.items()})


def summarize(values: Sequence[float]) -> Summary:
    """Mean and deviation of what is not NaN, as the authors' script takes them; NaN if nothing is left."""
    kept: NDArray[Any] = np.array([value for value in values if not math.isnan(value)], np.float64)
    if not kept.size:
        return Summary(math.nan, math.nan, 0, len(values))
    return Summary(float(kept.mean()), float(kept.std()), kept.size, len(values) - kept.size)


def summaries(scores: Sequence[Score]) -> dict[str, Summary]:
    """Each measure over all results."""
    return {name: summarize([score.values[name] for score in scores]) for name in scores[0].values}


def evaluation_document(scores: Sequence[Score], published: Sequence[Published] = ()) -> dict[str, Any]:
    """The scores and what was published as one JSON document; a measure without a value is null."""
    return {
        "pictures": score_documents(scores),
        "summary": summary_documents(summaries(scores)),
        "published": [published_document(row) for row in published],
        "note": MODEL_AND_DATA_DIFFER if published else None,
    }


def score_documents(scores: Sequence[Score]) -> list[dict[str, Any]]:
    """Every result's measures as JSON has them."""
    return [
        {
            "original": str(score.original),
            "result": str(score.result),
            **{json_name(name): finite(value) for name, value in score.values.items()},
        }
        for score in scores
    ]


def summary_documents(found: Mapping[str, Summary]) -> dict[str, Any]:
    """Measures over many results as JSON has them."""
    return {
        json_name(name): {key: finite(value) for key, value in asdict(summary).items()}
        for name, summary in found.items()
    }
