"""From a checkpoint pair to a bundle: trace, write, check and compare every graph, then rename the whole into place."""

import hashlib
import json
import platform
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import torch

from ..errors import OutputError
from ..runtime.bundle.files import atomic_directory, sha256_of_all
from ..runtime.manifest.manifest import GRAPHS, FileSpec, GraphSpec, Manifest
from ..runtime.bundle.reader import MANIFEST_NAME, Bundle
from .checkpoint import Checkpoint, read_checkpoint
from .comparison import compare, outputs_of
from .graphs import Graph, build_graphs, generator_constants
from .hyperstyle import DEFAULT_STEPS, METHOD, HyperStyle, load_hyperstyle
from .onnx_writer import Constants, collect_constants, trace, write_graph
from .precision import FLOAT32, Precision, precision_named
from .stages.scales import ActivationScales, activation_scales

#: Which constants files a graph's own constants go to; `weights` has those of `offsets` and the generator's.
GROUPS = {
    "encoder": "encoder",
    "hypernet": "hypernet",
    "offsets": "offsets",
    "weights": "offsets",
    "synthesis": "synthesis",
    "synthesis_one": "synthesis",
}
GENERATOR_GROUP = "generator"

Report = Callable[[str], None]
#: How many times `export` reports progress.
REPORTS = 5 + 2 * len(GRAPHS)


def export(
    checkpoint: Path,
    w_encoder: Path,
    output: Path,
    overwrite: bool = False,
    report: Report = lambda _: None,
    precision: str = FLOAT32.name,
) -> Bundle:
    """Export a HyperStyle checkpoint to a bundle.

    Args:
        checkpoint: HyperStyle's file in the authors' layout.
        w_encoder: the W-encoder's file.
        output: the bundle's folder; it appears only when complete.
        overwrite: replace an existing bundle.
        report: called with a sentence before each of ``REPORTS`` pieces of work.
        precision: "float32", "float16" or "bfloat16": what the large tensors are.

    Returns:
        The bundle, its files verified.

    Raises:
        CheckpointError: a file that cannot be read or does not hold what it should.
        ExportError: an unknown precision; a graph that is not valid or disagrees with PyTorch.
        OutputError: the output exists, is to be overwritten but is no bundle, or cannot be written.
    """
    typed = precision_named(precision)
    if overwrite and output.is_dir() and not (output / MANIFEST_NAME).exists() and any(output.iterdir()):
        raise OutputError(f"{output} is not a bundle, so it is not replaced", hint="Choose another output folder.")
    with atomic_directory(output, overwrite) as folder, torch.no_grad():
        report("reading the checkpoint")
        source = read_checkpoint(checkpoint)
        report("reading the W-encoder")
        encoder = read_checkpoint(w_encoder)
        report("checking every tensor")
        model = load_hyperstyle(source, encoder)
        graphs, constants = _write_graphs(model, typed, folder, report)
        report("computing checksums")
        _write_manifest(folder, model, typed, (source, encoder), graphs, constants)
    return Bundle.open(output)


def _write_graphs(
    model: HyperStyle, precision: Precision, folder: Path, report: Report
) -> tuple[dict[str, GraphSpec], tuple[str, ...]]:
    constants = Constants(folder)
    scales = activation_scales(model.generator, model.config.layers, model.latent_avg, precision)
    constants.add(GENERATOR_GROUP, "latent_avg", model.latent_avg)
    for name, tensor in generator_constants(model, precision, scales).items():
        constants.add(GENERATOR_GROUP, name, tensor)
    traced = []
    for graph, expected in _with_expected(model, precision, scales):
        report(f"tracing {graph.name}")
        program = trace(graph, precision.opset)
        homes = collect_constants(program, GROUPS[graph.name], constants)
        traced.append((graph, program, homes, expected))
    report("writing constants")
    places = constants.write()
    specs = {}
    for graph, program, homes, expected in traced:
        report(f"checking {graph.name} against PyTorch")
        specs[graph.name] = write_graph(program, graph, folder / f"{graph.name}.onnx", homes, places)
        compare(graph, folder / f"{graph.name}.onnx", expected, precision)
    return specs, constants.files(GENERATOR_GROUP)


def _with_expected(
    model: HyperStyle, precision: Precision, scales: ActivationScales
) -> Iterator[tuple[Graph, list[torch.Tensor]]]:
    """Every stage with what it should give for its sample inputs, in float32."""
    graphs = build_graphs(model, precision, scales)
    if not precision.rescaled:
        yield from ((graph, outputs_of(graph)) for graph in graphs)
        return
    for exact, graph in zip(build_graphs(model, precision.exact, scales), graphs, strict=True):
        yield graph, outputs_of(exact)


def _write_manifest(
    folder: Path,
    model: HyperStyle,
    precision: Precision,
    sources: tuple[Checkpoint, Checkpoint],
    graphs: dict[str, GraphSpec],
    constants: tuple[str, ...],
) -> None:
    paths = {file.name: file for file in sorted(folder.iterdir())}
    digests = sha256_of_all(paths)
    manifest = Manifest(
        method=METHOD,
        domain=model.config.domain,
        model=hashlib.sha256("".join(source.sha256 for source in sources).encode()).hexdigest(),
        precision=precision.name,
        default_steps=DEFAULT_STEPS,
        separable=model.config.separable,
        image=model.config.image,
        layers=model.config.layers,
        constants=constants,
        graphs=graphs,
        files={name: FileSpec(path.stat().st_size, digests[name]) for name, path in paths.items()},
        provenance={
            "checkpoint": {"file": sources[0].path.name, "sha256": sources[0].sha256},
            "w_encoder": {"file": sources[1].path.name, "sha256": sources[1].sha256},
            "exported": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            **{tool: version(tool) for tool in ("torch", "onnx", "onnxscript", "onnxruntime")},
        },
    )
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest.to_json(), indent=1) + "\n")
