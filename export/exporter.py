"""From a checkpoint pair to a bundle: trace, write, check and compare every graph, then rename the whole into place."""

import hashlib
import json
import platform
from collections.abc import Callable
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import torch

from ..errors import OutputError
from ..runtime.bundle import MANIFEST_NAME, Bundle
from ..runtime.files import atomic_directory, sha256_of_all
from ..runtime.manifest import GRAPHS, FileSpec, GraphSpec, Manifest
from .checkpoint import Checkpoint, read_checkpoint
from .comparison import compare
from .graphs import build_graphs, noise_names
from .hyperstyle import DEFAULT_STEPS, METHOD, HyperStyle, load_hyperstyle
from .onnx_writer import Constants, collect_constants, trace, write_graph
from .stages.offsets import base_weight, energy
from .stages.synthesis import folded_noises

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
    checkpoint: Path, w_encoder: Path, output: Path, overwrite: bool = False, report: Report = lambda _: None
) -> Bundle:
    """Export a HyperStyle checkpoint to a bundle.

    Args:
        checkpoint: HyperStyle's file in the authors' layout.
        w_encoder: the W-encoder's file.
        output: the bundle's folder; it appears only when complete.
        overwrite: replace an existing bundle.
        report: called with a sentence before each of ``REPORTS`` pieces of work.

    Returns:
        The bundle, its files verified.

    Raises:
        CheckpointError: a file that cannot be read or does not hold what it should.
        ExportError: a graph that is not valid or disagrees with PyTorch.
        OutputError: the output exists, is to be overwritten but is no bundle, or cannot be written.
    """
    if overwrite and output.is_dir() and not (output / MANIFEST_NAME).exists() and any(output.iterdir()):
        raise OutputError(f"{output} is not a bundle, so it is not replaced", hint="Choose another output folder.")
    with atomic_directory(output, overwrite) as folder, torch.no_grad():
        report("reading the checkpoint")
        source = read_checkpoint(checkpoint)
        report("reading the W-encoder")
        encoder = read_checkpoint(w_encoder)
        report("checking every tensor")
        model = load_hyperstyle(source, encoder)
        graphs, constants = _write_graphs(model, folder, report)
        report("computing checksums")
        _write_manifest(folder, model, (source, encoder), graphs, constants)
    return Bundle.open(output)


def _write_graphs(model: HyperStyle, folder: Path, report: Report) -> tuple[dict[str, GraphSpec], tuple[str, ...]]:
    constants = Constants(folder)
    for name, tensor in generator_constants(model).items():
        constants.add(GENERATOR_GROUP, name, tensor)
    traced = []
    for graph in build_graphs(model):
        report(f"tracing {graph.name}")
        program = trace(graph)
        traced.append((graph, program, collect_constants(program, GROUPS[graph.name], constants)))
    report("writing constants")
    places = constants.write()
    specs = {}
    for graph, program, homes in traced:
        report(f"checking {graph.name} against PyTorch")
        specs[graph.name] = write_graph(program, graph, folder / f"{graph.name}.onnx", homes, places)
        compare(graph, folder / f"{graph.name}.onnx")
    return specs, constants.files(GENERATOR_GROUP)


def generator_constants(model: HyperStyle) -> dict[str, torch.Tensor]:
    """What `synthesis` takes before any step, under its names: untuned weights, energies, noises; and latent_avg."""
    constants = {"latent_avg": model.latent_avg}
    for layer in model.config.layers:
        if layer.tuned:
            weight = base_weight(model.generator, layer)
            constants[f"weight.{layer.name}"] = weight
            if layer.demodulated:
                constants[f"energy.{layer.name}"] = energy(weight)
    return constants | dict(zip(noise_names(model.config.layers), folded_noises(model.generator), strict=True))


def _write_manifest(
    folder: Path,
    model: HyperStyle,
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
        precision="float32",
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
