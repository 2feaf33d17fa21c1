"""A profile as a trace that Perfetto and chrome://tracing open: a process a case, its stages above their layers.

The format is Google's "Trace Event Format": complete events ("X") with times in microseconds.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from .layers import LayerProfile

_STAGES, _LAYERS = 1, 2


def trace_document(profiles: Mapping[str, LayerProfile]) -> dict[str, Any]:
    """The trace of one inversion of each case, by the cases' names, as JSON values.

    Libraries tell how long layers took, and not all when they began: the layers of a run stand end to end from their
    stage's start, so what is left at a stage's end is what passed between them.
    """
    events = []
    for process, (name, profile) in enumerate(profiles.items(), start=1):
        names = (("process_name", 0, name), ("thread_name", _STAGES, "stages"), ("thread_name", _LAYERS, "layers"))
        events += [
            {"ph": "M", "name": kind, "pid": process, "tid": track, "args": {"name": text}}
            for kind, track, text in names
        ]
        events += [{**event, "pid": process} for event in _events(profile)]
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _events(profile: LayerProfile) -> Iterator[dict[str, Any]]:
    seen: dict[str, int] = {}
    for span in profile.spans:
        yield _complete(span.stage, "stage", _STAGES, span.start, span.seconds, {})
        run, at = seen.get(span.stage, 0), span.start
        seen[span.stage] = run + 1
        # On a GPU the span `weights` is the graph `offsets` and the kernel.
        graphs = (span.stage, "offsets") if span.stage == "weights" else (span.stage,)
        for layer in profile.runs:
            if layer.stage in graphs and layer.run == run:
                arguments = {"operator": layer.operator, "flops": layer.flops, "bytes": layer.bytes}
                shapes = {"inputs": [list(shape) for shape in layer.inputs], "outputs": [*map(list, layer.outputs)]}
                yield _complete(layer.name, layer.operator, _LAYERS, at, layer.seconds, {**arguments, **shapes})
                at += layer.seconds


def _complete(
    name: str, category: str, track: int, start: float, seconds: float, arguments: dict[str, Any]
) -> dict[str, Any]:
    times = {"ts": round(start * 1e6, 3), "dur": round(seconds * 1e6, 3)}
    return {"ph": "X", "name": name, "cat": category, "tid": track, **times, "args": arguments}
