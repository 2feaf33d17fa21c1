"""Gradient graphs alone, of the published generator at 256 with seeded weights: what golden optimisations run on.

No encoder is drawn, traced or loaded: the authors' optimisations have none.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import Tensor

from hyperstyle_deploy.export.comparison import compare, compare_gradient
from hyperstyle_deploy.export.gradients.criterion import features_graph
from hyperstyle_deploy.export.gradients.graph import GradientGraph
from hyperstyle_deploy.export.gradients.optimised import GRADIENTS_GROUP, expected_of
from hyperstyle_deploy.export.gradients.perceptual import ALEXNET, VGG16, read_lpips
from hyperstyle_deploy.export.gradients.projection import projection_constants, projection_graphs
from hyperstyle_deploy.export.gradients.seeded import write_lpips
from hyperstyle_deploy.export.gradients.tuning import tuning_constants, tuning_graphs
from hyperstyle_deploy.export.graphs import Graph
from hyperstyle_deploy.export.methods.model import Model
from hyperstyle_deploy.export.networks.stylegan2 import Generator
from hyperstyle_deploy.export.onnx_writer import collect_constants, separate_twins, trace, write_graph
from hyperstyle_deploy.export.seeded import draw, published_sizes
from hyperstyle_deploy.runtime.bundle.constants import Constants
from hyperstyle_deploy.runtime.bundle.files import sha256_of
from hyperstyle_deploy.runtime.bundle.onnx_scan import scan_graph
from hyperstyle_deploy.runtime.manifest.checksum import with_checksum
from hyperstyle_deploy.runtime.manifest.layers import layer_table
from hyperstyle_deploy.runtime.manifest.manifest import (
    CheckpointSpec,
    FileSpec,
    GeneratorSpec,
    GraphSpec,
    ImageSpec,
    Manifest,
    MethodSpec,
    StateSpec,
)
from hyperstyle_deploy.runtime.methods import METHODS, OPTIMISATIONS
from hyperstyle_deploy.runtime.methods.base import Method
from hyperstyle_deploy.runtime.methods.settings import Settings
from hyperstyle_deploy.tests.quick_tracing import quicken_tracing
from hyperstyle_deploy.tests.small_bundle import constants_of, empty_graph
from hyperstyle_deploy.tests.unit.golden_optimisation import drawn

CONSTANTS = "generator.safetensors"


@dataclass
class GraphsBundle:
    """What a backend needs of a bundle: some graphs and constants, and the optimisation that it runs."""

    path: Path
    manifest: Manifest
    own: dict[str, np.ndarray]
    method: Method | None = None

    def graph(self, name: str) -> Path:
        return self.path / self.manifest.graphs[name].file

    def graph_content(self, name: str) -> bytes:
        return self.graph(name).read_bytes()

    def unchanged_graph(self, name: str) -> Path:
        return self.graph(name)

    def constants_of(self, name: str) -> dict[str, np.ndarray]:
        files = scan_graph(self.graph_content(name))
        return {file: np.memmap(self.path / file, np.uint8, "r") for file in files}

    def constants(self) -> Mapping[str, np.ndarray]:
        return self.own

    def write(self) -> Path:
        """Make a bundle of the folder that every runtime opens; graphs that no golden optimisation runs are empty."""
        base = METHODS["psp"](self.manifest)
        signatures = dict(base.signatures())
        for kind in OPTIMISATIONS.values():
            if kind.gradient_graph in self.manifest.graphs:
                signatures |= kind(self.manifest, base, Settings()).signatures()
        graphs = {
            name: GraphSpec(f"{name}.onnx", 20, signature.inputs, signature.outputs)
            for name, signature in signatures.items()
        }
        for name in set(graphs) - set(self.manifest.graphs):
            (self.path / f"{name}.onnx").write_bytes(empty_graph(name))
        whole = dataclasses.replace(self.manifest, graphs=graphs | dict(self.manifest.graphs), constants=(CONSTANTS,))
        save_file({**constants_of(whole), **self.own}, self.path / CONSTANTS)
        written = (path for path in self.path.iterdir() if path.suffix in (".onnx", ".safetensors"))
        files = {path.name: FileSpec(path.stat().st_size, sha256_of(path)) for path in written}
        document = dataclasses.replace(whole, files=files).to_json()
        (self.path / "bundle.json").write_text(with_checksum(document))
        return self.path

    def running(self, name: str, settings: Settings) -> "GraphsBundle":
        """The same, to be run as an optimisation."""
        base = METHODS["psp"](self.manifest)
        return GraphsBundle(self.path, self.manifest, self.own, OPTIMISATIONS[name](self.manifest, base, settings))


def generator_model(size: int = 256) -> Model:
    """The seeded generator of every golden file of this size, as a model without an encoder."""
    shape = published_sizes(size).generator
    with torch.device("meta"):
        generator = Generator(shape)
    state = {name: tuple(tensor.shape) for name, tensor in generator.state_dict().items()}
    drawn = {name: torch.from_numpy(draw(f"decoder.{name}", each)) for name, each in state.items()}
    generator.load_state_dict(drawn, assign=True)
    image = ImageSpec("photo", 3, size, size, (0, size))
    average = torch.from_numpy(draw("latent_avg", (shape.styles, shape.width)))
    made: dict[str, Any] = {"encoder": None, "average": None, "checkpoints": ()}
    return Model(
        method=MethodSpec("psp", 0, 0),
        domain="faces",
        image=image,
        layers=layer_table(shape.channels),
        generator=generator.eval().requires_grad_(False),
        latent_avg=average,
        **made,
    )


@torch.no_grad()
def write_graphs(folder: Path, model: Model, graphs: Iterable[Graph], constants: Mapping[str, Tensor]) -> GraphsBundle:
    """Trace graphs, write and compare them, as an export does."""
    quicken_tracing()
    kept, traced = Constants(folder), []
    for graph in graphs:
        if graph.name.startswith("adam_"):
            continue
        program = trace(graph, 20)
        separate_twins(program)
        traced.append((graph, program, collect_constants(program, GRADIENTS_GROUP, kept), expected_of(graph)))
    places, specs = kept.write(), dict[str, GraphSpec]()
    for graph, program, homes, expected in traced:
        path = folder / f"{graph.name}.onnx"
        specs[graph.name] = write_graph(program, graph, path, homes, places)
        (compare_gradient if isinstance(graph, GradientGraph) else compare)(graph, path, expected)
    shape = model.generator.shape
    manifest = Manifest(
        method=model.method,
        domain=model.domain,
        model=hashlib.sha256(b"golden").hexdigest(),
        precision="float32",
        licence=None,
        image=model.image,
        generator=GeneratorSpec("stylegan2", shape.size, shape.styles, shape.width, model.layers),
        state=(StateSpec("codes", (shape.styles, shape.width)),),
        checkpoints=(CheckpointSpec("psp", "psp.pt", "0" * 64),),
        constants=(),
        graphs=specs,
        files={},
        provenance={},
    )
    return GraphsBundle(folder, manifest, {name: tensor.numpy() for name, tensor in constants.items()})


def projected_graphs(folder: Path) -> GraphsBundle:
    """The authors' projection, VGG16 in its loss; it starts at the mean of the latents that their code was given."""
    model = generator_model()
    criterion = read_lpips(*write_lpips(folder, VGG16))
    latents = torch.from_numpy(drawn("projection256.z", 10_000, model.generator.shape.width))
    constants = projection_constants(model, criterion, latents)
    graphs = [features_graph(criterion, model.image), *projection_graphs(model, criterion, latents)]
    return write_graphs(folder, model, graphs, constants)


def tuned_graphs(folder: Path, trunk: str) -> GraphsBundle:
    """The authors' tuning with "alex" in its loss, and its regulariser; or with "vgg"."""
    model = generator_model()
    criterion = read_lpips(*write_lpips(folder, VGG16 if trunk == "vgg" else ALEXNET))
    graphs = [features_graph(criterion, model.image), *tuning_graphs(model, criterion, trunk == "alex")]
    return write_graphs(folder, model, graphs, tuning_constants(criterion))
