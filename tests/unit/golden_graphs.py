"""Gradient graphs alone, of the published generator at 256 with seeded weights: what golden optimisations run on.

No encoder is drawn, traced or loaded: the authors' optimisations have none.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hyperstyle_deploy.export.comparison import compare, compare_gradient
from hyperstyle_deploy.export.gradients.graph import GradientGraph
from hyperstyle_deploy.export.gradients.optimised import GRADIENTS_GROUP, expected_of
from hyperstyle_deploy.export.graphs import Graph
from hyperstyle_deploy.export.methods.model import Model
from hyperstyle_deploy.export.networks.stylegan2 import Generator
from hyperstyle_deploy.export.onnx_writer import collect_constants, separate_twins, trace, write_graph
from hyperstyle_deploy.export.seeded import draw, published_sizes
from hyperstyle_deploy.runtime.bundle.constants import Constants
from hyperstyle_deploy.runtime.bundle.onnx_scan import scan_graph
from hyperstyle_deploy.runtime.manifest.layers import layer_table
from hyperstyle_deploy.runtime.manifest.manifest import (
    CheckpointSpec,
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
