"""A profile as tables, and two against each other."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Column, Table

from ...runtime.profiling.document import case_labels
from ...runtime.profiling.regression import LEAST_RUNS as FEW_RUNS
from .text import OUT, add_row, right, size

if TYPE_CHECKING:
    from ...runtime.profiling.regression import CaseRatio, Comparison

#: Operators and single nodes that a table lists; the JSON has them all.
LISTED = 12


def show_profile(document: dict[str, Any]) -> None:
    """Print a profile's document."""
    machine, noise = document["environment"]["machine"], document["environment"]["noise"]
    gpu = machine["gpu"]["name"] if machine["gpu"] else None
    OUT.print(f"{gpu or machine['cpu']}, {machine['cores']['logical']} logical processors, {document['date']}")
    OUT.print(f"of the processor time, others took {noise['others']:.0%} and the hypervisor {noise['stolen']:.0%}")
    cases = [case for case in document["cases"] if case["inversion"]]
    if not cases:
        OUT.print("nothing was measured")
        return
    common, labels = case_labels(cases)
    OUT.print(f"all cases: {common}")
    _show_latencies(cases, labels)
    _show_loads(cases, labels)
    _show_cold_starts(cases, labels)
    if memory := document["environment"]["memory"]:
        OUT.print(f"this process held at most {_memory(memory)}")
    for label, case in zip(labels, cases, strict=True):
        _show_stages(label, case)
        _show_quality(label, case)
        _show_nodes(label, case)


def _show_latencies(cases: Sequence[dict[str, Any]], labels: Sequence[str]) -> None:
    names = ("median", "p90", "p99", "min", "max")
    table = Table(_name("milliseconds"), *map(right, (*names, "runs", "img/s")))
    for label, case in zip(labels, cases, strict=True):
        found = case["inversion"]
        runs = f"{found['count']}{'' if case['warmup']['stable'] else ' *'}"
        add_row(table, label, *(_ms(found[name]) for name in names), runs, f"{case['images_per_second']:.2f}")
    OUT.print(table)
    if any(not case["warmup"]["stable"] for case in cases):
        OUT.print("* no three runs in a row lay within 5 %: too few, or the machine is busy, or its clocks change")


def _show_loads(cases: Sequence[dict[str, Any]], labels: Sequence[str]) -> None:
    table = Table(_name("this process"), *map(right, ("load ms", "first inversion ms")))
    for label, case in zip(labels, cases, strict=True):
        add_row(table, label, _ms(case["load_s"]), _ms(case["warmup"]["seconds"][0]))
    OUT.print(table)


def _show_cold_starts(cases: Sequence[dict[str, Any]], labels: Sequence[str]) -> None:
    table = Table(_name("a fresh process"), *map(right, ("load ms", "first inversion ms", "peak memory")))
    for label, case in zip(labels, cases, strict=True):
        if cold := case["cold_start"]:
            add_row(table, label, _ms(cold["load_s"]), _ms(cold["first_inversion_s"]), _memory(cold))
    if table.rows:
        OUT.print(table)


def _show_stages(label: str, case: dict[str, Any]) -> None:
    table = Table("stage", *map(right, ("runs", "median ms", "p99 ms", "all runs ms", "share")), title=label)
    for row in case["stages"]:
        run = row["run"]
        each = [_ms(run["median"]), _ms(run["p99"])] if run else ["", ""]
        add_row(table, row["stage"], str(row["runs"]), *each, _ms(row["seconds"]), f"{row['share']:.0%}")
    OUT.print(table)
    if overhead := case["clock_overhead"]:
        spread = f"quartiles {overhead['low']:+.1%} to {overhead['high']:+.1%}"
        OUT.print(f"timing the stages added {overhead['share']:+.1%} to the inversion ({spread})")


def _show_quality(label: str, case: dict[str, Any]) -> None:
    if not case["quality"]:
        return
    table = Table("steps", *map(right, ("ms", "loop L2", "PSNR", "gain")), title=f"quality: {label}")
    for step in case["quality"]:
        gain = "" if step["gain"] is None else f"{step['gain']:.1%}"
        add_row(table, str(step["steps"]), _ms(step["seconds"]), f"{step['l2']:.4f}", f"{step['psnr']:.2f} dB", gain)
    OUT.print(table)


def _show_nodes(label: str, case: dict[str, Any]) -> None:
    found = case["nodes"]
    if found is None:
        return
    peaks = found["peaks"]
    arithmetic = f"{peaks['flops'] / 1e9:.0f} GFLOP/s and " if peaks["flops"] else ""
    for kind, key in (("operator", "operators"), ("node", "nodes")):
        numbers = ("runs", "ms", "GFLOP", "MB", "of roofline")
        table = Table("stage", kind, *map(right, numbers), title=f"{kind}s: {label}")
        for row in found[key][:LISTED]:
            share = f"{row['floor_s'] / row['seconds']:.0%}" if row["floor_s"] and row["seconds"] else ""
            name = f"{row['name']} ({row['operator']})" if row["name"] else row["operator"]
            work = (f"{row['flops'] / 1e9:.2f}", f"{row['bytes'] / 1e6:.1f}")
            add_row(table, row["stage"], name, str(row["runs"]), _ms(row["seconds"]), *work, share)
        OUT.print(table)
    OUT.print(f"roofline: {arithmetic}{peaks['bytes'] / 1e9:.1f} GB/s, measured here")


def show_comparison(comparison: "Comparison", slower: "Sequence[CaseRatio]") -> None:
    """Print how many times slower the second profile is, and which cases are too slow."""
    table = Table("case", *map(right, ("A ms", "B ms", "B / A", "95 % interval")), "")
    for ratio in comparison.ratios:
        verdict = "TOO SLOW" if ratio in slower else _verdict(ratio)
        times = _ms(ratio.before_s), _ms(ratio.after_s)
        add_row(table, ratio.name, *times, f"{ratio.ratio:.3f}", f"{ratio.low:.3f} to {ratio.high:.3f}", verdict)
    OUT.print(table)
    for where, names in (("A", comparison.only_before), ("B", comparison.only_after)):
        for name in names:
            OUT.print(f"measured only in {where}: {name}")
    for side in comparison.interrupted:
        OUT.print(f"{side} was interrupted: it has what was measured until then")
    for difference in comparison.differences:
        OUT.print(f"not the same machine or software: {difference}")


def _verdict(ratio: "CaseRatio") -> str:
    if ratio.runs < FEW_RUNS:
        return f"too few runs to tell ({ratio.runs})"
    return "" if ratio.distinct else "no clear difference"


def _memory(held: dict[str, Any]) -> str:
    return size(held["peak_bytes"]) + (f" + {size(held['device_bytes'])} on the GPU" if held["device_bytes"] else "")


def _ms(seconds: float) -> str:
    milliseconds = seconds * 1e3
    return f"{milliseconds:,.0f}" if milliseconds >= 1000 else f"{milliseconds:.1f}"


def _name(title: str) -> Column:
    """What rows are called: never cut, since it tells them apart."""
    return Column(title, no_wrap=True, overflow="fold")
