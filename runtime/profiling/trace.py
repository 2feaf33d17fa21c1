"""A profile as a trace that Perfetto and chrome://tracing open: a process a case, its stages above their nodes.

The format is Google's "Trace Event Format": complete events ("X") with times in microseconds.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from .nodes import NodeProfile

_STAGES, _NODES = 1, 2


def trace_document(profiles: Mapping[str, NodeProfile]) -> dict[str, Any]:
    """The trace of one inversion of each case, by the cases' names, as JSON values.

    Libraries tell how long nodes took, and not all when they began: the nodes of a run stand end to end from their
    stage's start, so what is left at a stage's end is what passed between them.
    """
    events = []
    for process, (name, profile) in enumerate(profiles.items(), start=1):
        names = (("process_name", 0, name), ("thread_name", _STAGES, "stages"), ("thread_name", _NODES, "nodes"))
        events += [
            {"ph": "M", "name": kind, "pid": process, "tid": track, "args": {"name": text}}
            for kind, track, text in names
        ]
        events += [{**event, "pid": process} for event in _events(profile)]
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _events(profile: NodeProfile) -> Iterator[dict[str, Any]]:
    seen: dict[str, int] = {}
    for span in profile.spans:
        yield _complete(span.stage, "stage", _STAGES, span.start, span.seconds, {})
        run, at = seen.get(span.stage, 0), span.start
        seen[span.stage] = run + 1
        # On a GPU the span `weights` is the graph `offsets` and the kernel.
        graphs = (span.stage, "offsets") if span.stage == "weights" else (span.stage,)
        for node in profile.runs:
            if node.stage in graphs and node.run == run:
                arguments = {"operator": node.operator, "flops": node.flops, "bytes": node.bytes}
                shapes = {"inputs": [list(shape) for shape in node.inputs], "outputs": [*map(list, node.outputs)]}
                yield _complete(node.name, node.operator, _NODES, at, node.seconds, {**arguments, **shapes})
                at += node.seconds


def _complete(
    name: str, category: str, track: int, start: float, seconds: float, arguments: dict[str, Any]
) -> dict[str, Any]:
    times = {"ts": round(start * 1e6, 3), "dur": round(seconds * 1e6, 3)}
    return {"ph": "X", "name": name, "cat": category, "tid": track, **times, "args": arguments}
