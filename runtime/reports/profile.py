"""A profile as a self-contained page: latencies, where the time goes, the roofline, quality against time."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..bundle.files import atomic_file
from ..profiling.document import case_labels
from .page import render, svg

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure

#: Colours of stages in their order (Okabe and Ito's palette, which colour-blind readers can tell apart).
PALETTE = ("#0072B2", "#CC79A7", "#E69F00", "#009E73", "#56B4E9", "#D55E00", "#F0E442")
#: That of what is between stages.
GREY = "#999999"
#: Nodes that the page lists for each case; the JSON has them all.
LISTED = 25


def write_page(path: Path, document: dict[str, Any]) -> None:
    """Write the page of a profile's document, whole or not at all; it loads nothing from anywhere.

    Raises:
        OutputError: the folder cannot be written.
    """
    cases = [case for case in document["cases"] if case["inversion"]]
    common, labels = case_labels(cases)
    colours = _colours(cases)
    page = render(
        "profile.html.j2",
        document=document,
        cases=list(zip(labels, cases, strict=True)),
        common=common,
        latencies=_latencies(cases, labels),
        stages=_stages(cases, labels, colours),
        rooflines=[_roofline(case["nodes"], colours) for case in cases if case["nodes"]],
        quality=_quality(cases, labels),
        listed=LISTED,
    )
    with atomic_file(path) as partial:
        partial.write_text(page, encoding="utf-8")


def _colours(cases: Sequence[dict[str, Any]]) -> dict[str, str]:
    """A colour for every stage that ran, the same in every figure; one that has no time of its own gets it, too."""
    ran = dict.fromkeys(row["stage"] for case in cases for row in case["stages"] if row["run"])
    told = dict.fromkeys(row["stage"] for case in cases if case["nodes"] for row in case["nodes"]["nodes"])
    colours = {stage: PALETTE[index % len(PALETTE)] for index, stage in enumerate({**ran, **told})}
    # A GPU's nodes are of `offsets`, the first part of the stage `weights`.
    return colours | ({"offsets": colours["weights"]} if "weights" in ran else {})


def _figure(height: float) -> "tuple[Figure, Any]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _latencies(cases: Sequence[dict[str, Any]], labels: Sequence[str]) -> "Markup | None":
    """Every run as a dot, over a box from the first to the third quartile with the median in it."""
    if not cases:
        return None
    figure, axes = _figure(0.8 + 0.6 * len(cases))
    runs = [[1e3 * second for second in case["seconds"]] for case in cases]
    axes.boxplot(runs, orientation="horizontal", widths=0.5, showfliers=False, medianprops={"color": "black"})
    for row, values in enumerate(runs, start=1):
        axes.plot(values, [row] * len(values), "o", color=PALETTE[0], alpha=0.4, markersize=4)
    axes.set_yticks(range(1, len(cases) + 1), labels)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("milliseconds an inversion")
    return svg(figure)


def _stages(cases: Sequence[dict[str, Any]], labels: Sequence[str], colours: dict[str, str]) -> "Markup | None":
    """The median inversion of each case as a bar of its stages."""
    if not cases:
        return None
    figure, axes = _figure(1.2 + 0.45 * len(cases))
    for row, case in enumerate(cases):
        left = 0.0
        for stage in case["stages"]:
            width = 1e3 * stage["seconds"]
            axes.barh(row, width, left=left, height=0.6, color=colours.get(stage["stage"], GREY))
            left += width
    present = {stage["stage"]: colours.get(stage["stage"], GREY) for case in cases for stage in case["stages"]}
    for name, colour in present.items():
        axes.bar(0, 0, color=colour, label=name)
    axes.set_yticks(range(len(cases)), labels)
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds of the median inversion")
    figure.legend(loc="outside upper center", ncols=len(present), frameon=False)
    return svg(figure)


def _roofline(found: dict[str, Any], colours: dict[str, str]) -> "Markup":
    """Every node of products: FLOPs a byte against FLOPs a second, under what the machine can do at best."""
    peaks = found["peaks"]
    drawn = [node for node in found["nodes"] if node["flops"] and node["bytes"] and node["seconds"]]
    figure, axes = _figure(4.2)
    for stage in dict.fromkeys(node["stage"] for node in drawn):
        own = [node for node in drawn if node["stage"] == stage]
        axes.scatter(
            [node["flops"] / node["bytes"] for node in own],
            [node["flops"] / node["seconds"] / 1e9 for node in own],
            [8 + 400 * node["seconds"] / sum(node["seconds"] for node in drawn) for node in own],
            color=colours[stage], alpha=0.7, label=stage,
        )  # fmt: skip
    intensities = [node["flops"] / node["bytes"] for node in drawn] or [1.0]
    ridge = peaks["flops"] / peaks["bytes"] if peaks["flops"] else max(intensities)
    ends = [min(*intensities, ridge) / 2, max(*intensities, ridge) * 2]
    roof = [min(peaks["flops"] or float("inf"), peaks["bytes"] * x) / 1e9 for x in (ends[0], ridge, ends[1])]
    axes.plot([ends[0], ridge, ends[1]], roof, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("FLOPs a byte of inputs and outputs")
    axes.set_ylabel("GFLOP/s")
    axes.legend(frameon=False)
    return svg(figure)


def _quality(cases: Sequence[dict[str, Any]], labels: Sequence[str]) -> "Markup | None":
    """L2 and PSNR against the time that each number of steps takes."""
    from matplotlib.figure import Figure

    drawn = [(text, case["quality"]) for text, case in zip(labels, cases, strict=True) if case["quality"]]
    if not drawn:
        return None
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    for axes, measure, name in zip(
        figure.subplots(1, 2), ("l2", "psnr"), ("loop L2 to the photo", "PSNR, dB"), strict=True
    ):
        for text, steps in drawn:
            axes.plot([step["seconds"] for step in steps], [step[measure] for step in steps], "o-", label=text)
            for step in steps:
                place = step["seconds"], step[measure]
                axes.annotate(str(step["steps"]), place, textcoords="offset points", xytext=(4, 5), fontsize=8)
        axes.set_xlabel("seconds; the numbers are refinement steps")
        axes.set_ylabel(name)
        axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return svg(figure)
