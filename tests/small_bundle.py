"""A hand-made bundle without networks, for tests of what reads bundles."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from hyperstyle_deploy.runtime.manifest.checksum import FIELD, seal
from hyperstyle_deploy.runtime.manifest.layers import layer_table, stylegan1_layers
from hyperstyle_deploy.runtime.manifest.manifest import (
    CheckpointSpec,
    FileSpec,
    FineTunedSpec,
    GeneratorSpec,
    GraphSpec,
    ImageSpec,
    Manifest,
    MethodSpec,
    StateSpec,
    TensorSpec,
)
from hyperstyle_deploy.runtime.methods import METHODS, OPTIMISATIONS
from hyperstyle_deploy.runtime.methods.adaptation import Adaptation
from hyperstyle_deploy.runtime.methods.base import Signature
from hyperstyle_deploy.runtime.methods.optimisation import Optimisation
from hyperstyle_deploy.runtime.methods.settings import Settings

#: Channels at 4x4, 8x8, 16x16 and 32x32, and what is offset how.
CHANNELS, OFFSETS = (8, 8, 6, 4), {0: "full", 2: "full", 5: "channel", 7: "channel"}
STYLES, WIDTH, CODE_WIDTH, SIZE = 8, 8, 5, 32
#: Channels of what an encoder may look at.
INPUTS = {"photo": 3, "sketch": 1, "labels": 19}
DEFAULT_STEPS = {"hyperstyle": 5, "restyle-psp": 5, "restyle-e4e": 5, "idinvert": 5}


def small_manifest(
    method: str = "hyperstyle",
    encoder_steps: int = 0,
    separable: bool = False,
    kind: str = "photo",
    generators: tuple[FineTunedSpec, ...] = (),
) -> Manifest:
    """A manifest of 32 pixels and 8 styles of 8 numbers, without graphs and files."""
    hyperstyle = method == "hyperstyle"
    family = "stylegan1" if method == "idinvert" else "stylegan2"
    table = layer_table(CHANNELS, OFFSETS if hyperstyle else {})
    layers = stylegan1_layers(CHANNELS) if family == "stylegan1" else table
    rows = ("steps", len(OFFSETS)) if separable else (len(OFFSETS),)
    offset_codes = (StateSpec("offset_codes", (*rows, CODE_WIDTH)),)
    return Manifest(
        method=MethodSpec(method, DEFAULT_STEPS.get(method, 0), encoder_steps),
        domain="faces",
        model="0" * 64,
        precision="float32",
        licence=None,
        image=ImageSpec(kind, 1 if kind == "sketch" else 3, SIZE, SIZE, (0, SIZE)),
        generator=GeneratorSpec(family, SIZE, STYLES, WIDTH, layers),
        state=(StateSpec("codes", (STYLES, WIDTH)), *(offset_codes if hyperstyle else ())),
        checkpoints=(CheckpointSpec(method, "faces.pt", "1" * 64),),
        constants=("generator.safetensors",),
        graphs={},
        files={},
        provenance={"exported": "2026-11-24T00:00:00+00:00"},
        generators=generators,
    )


#: Terms of the losses of hand-made gradient graphs.
LOSS_TERMS = {"projection": ("mse", "noise"), "pti": ("mse",), "idinvert": ("mse", "encoder")}


def with_terms(manifest: Manifest, name: str, graph: str) -> Manifest:
    """The manifest as an optimisation reads the terms of its loss off it."""
    terms = tuple(TensorSpec(f"loss.{term}", "float32", (1,)) for term in LOSS_TERMS[name])
    return dataclasses.replace(manifest, graphs={graph: GraphSpec("", 20, (), terms)})


def gradient_signatures(manifest: Manifest, gradients: Sequence[str]) -> dict[str, Signature]:
    """All graphs of optimisations on a bundle; "pti-locality" adds that graph to those of "pti"."""
    found: dict[str, Signature] = {}
    settings = Settings(locality="pti-locality" in gradients)
    for name in (name for name in gradients if name in OPTIMISATIONS):
        told = with_terms(manifest, name, OPTIMISATIONS[name].gradient_graph)
        found |= OPTIMISATIONS[name](told, METHODS[manifest.method.name](manifest), settings).signatures()
    return found


def all_signatures(manifest: Manifest, gradients: Sequence[str] = (), styles: bool = False) -> dict[str, Signature]:
    """All graphs: of the method, of optimisations and further generators, and with ``styles`` those that take them."""
    kind = METHODS[manifest.method.name]
    descends = issubclass(kind, Optimisation)
    base = kind(with_terms(manifest, kind.exported_as, kind.gradient_graph) if descends else manifest)
    methods = [base, *(Adaptation(manifest, base, spec) for spec in manifest.generators)]
    found = {name: each for method in methods for name, each in method.signatures().items()}
    if styles:
        found |= {name: each for method in methods for name, each in method.optional().items()}
    return found | gradient_signatures(manifest, gradients)


def with_graphs(manifest: Manifest, gradients: Sequence[str] = (), styles: bool = False) -> Manifest:
    """The manifest with the graphs of ``all_signatures``."""
    signatures = all_signatures(manifest, gradients, styles)
    graphs = {name: GraphSpec(f"{name}.onnx", 20, each.inputs, each.outputs) for name, each in signatures.items()}
    return dataclasses.replace(manifest, graphs=graphs)


def constants_of(manifest: Manifest, fill: float = 1.0) -> dict[str, np.ndarray]:
    """Constants that the graphs of a manifest take, and the method's own."""
    method = METHODS[manifest.method.name](manifest)
    shapes = {
        tensor.name: tensor.shape
        for graph in manifest.graphs.values()
        for tensor in graph.inputs
        if tensor.name.startswith(("weight.", "energy.", "noise.", "encoder_noise.", "loss_weight."))
    }
    start = "average_w" if "projection_gradient" in manifest.graphs else "latent_avg"
    average = {start: (1, manifest.generator.styles, manifest.generator.width)}
    own = {**average, **method.constants()}
    for spec in manifest.generators:
        own |= Adaptation(manifest, method, spec).constants()
    return {name: np.full(shape, fill, np.float32) for name, shape in {**shapes, **own}.items()}


@dataclasses.dataclass
class SmallBundle:
    """A bundle on disk whose graphs are a few bytes that no backend could load."""

    path: Path

    def document(self) -> Any:
        """The manifest as JSON values, to be changed."""
        document = json.loads((self.path / "bundle.json").read_bytes())
        document.pop(FIELD)
        return document

    def write(self, document: Any) -> Path:
        """Write another manifest; return the bundle's folder."""
        if isinstance(document, dict):
            document = {**document, FIELD: "0" * 64}
        (self.path / "bundle.json").write_text(seal(json.dumps(document)))
        return self.path

    def add(self, name: str, content: bytes) -> dict[str, Any]:
        """Put a file in the folder; return its entry for ``files``."""
        (self.path / name).write_bytes(content)
        return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def make_small_bundle(path: Path, method: str = "hyperstyle", **options: Any) -> SmallBundle:
    """Write one to the folder ``path``, which must not exist; options as ``small_manifest`` has them."""
    bundle = SmallBundle(path)
    bundle.path.mkdir(parents=True)
    manifest = with_graphs(small_manifest(method, **options))
    contents = {
        "generator.safetensors": save(constants_of(manifest)),
        **{f"{graph}.onnx": empty_graph(graph) for graph in manifest.graphs},
    }
    files = {name: FileSpec(**bundle.add(name, content)) for name, content in contents.items()}
    bundle.write(dataclasses.replace(manifest, files=files).to_json())
    return bundle


def empty_graph(name: str) -> bytes:
    """An ONNX model with an IR version and a producer's name, as protobuf writes it, and nothing else."""
    return b"\x08\x0a\x12" + bytes([len(name)]) + name.encode()
