"""From checkpoints to a bundle: trace, write, check and compare every graph, then rename the whole into place."""

import hashlib
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

from ..errors import OutputError
from ..runtime.bundle.constants import Constants, write_manifest
from ..runtime.bundle.files import atomic_directory
from ..runtime.bundle.reader import MANIFEST_NAME, Bundle
from ..runtime.manifest.manifest import CheckpointSpec, FineTunedSpec, GeneratorSpec, GraphSpec, Manifest, StateSpec
from ..runtime.methods.adaptation import ENCODER as FURTHER_ENCODER
from ..runtime.methods.base import CODES, STYLED
from ..runtime.methods.hyperstyle import ENCODER_SYNTHESIS, OFFSET_CODES
from ..runtime.methods.restyle import synthesis_of
from .comparison import compare, compare_gradient, outputs_of
from .gradients.graph import GradientGraph
from .gradients.optimised import GRADIENTS_GROUP, Optimised, check_gradients, expected_of, optimised
from .graphs import (
    Graph,
    Scales,
    build_graphs,
    graph_count,
    idinvert_constants,
    idinvert_graphs,
    measure_scales,
    model_constants,
)
from .methods.loading import load_model, read_checkpoints
from .methods.model import NO_CHOICES, AnyModel, Choices, IdInvertModel, Model
from .onnx_writer import array_of, collect_constants, separate_twins, trace, write_graph
from .precision import FLOAT32, Precision, precision_named

#: Which constants files a graph's own constants go to; `weights` has those of `offsets` and the generator's.
GROUPS = {
    "encoder": "encoder",
    FURTHER_ENCODER: FURTHER_ENCODER,
    synthesis_of(FURTHER_ENCODER): synthesis_of(FURTHER_ENCODER),
    ENCODER_SYNTHESIS: "encoder_synthesis",
    "hypernet": "hypernet",
    "offsets": "offsets",
    "weights": "offsets",
    "synthesis": "synthesis",
    "synthesis_one": "synthesis",
    STYLED: "synthesis",
}
GENERATOR_GROUP = "generator"

#: Called with a sentence before a piece of work, and with how many there are in all, None as long as that is not known.
Report = Callable[[str, int | None], None]


def export(
    checkpoints: Sequence[Path],
    output: Path,
    *,
    choices: Choices = NO_CHOICES,
    licence: str | None = None,
    overwrite: bool = False,
    report: Report = lambda *_: None,
    precision: str = FLOAT32.name,
    gradients: Sequence[str] = (),
    perceptual: tuple[Path, Path] | None = None,
    vgg16: Path | None = None,
) -> Bundle:
    """Export a method's checkpoints to a bundle.

    Args:
        checkpoints: a file in the authors' layout: HyperStyle's, pSp's, e4e's or ReStyle's, or IDInvert's generator.
            Behind HyperStyle's, the file of the encoder that its codes come from: the W-encoder's, or one of the
            others'; behind IDInvert's generator its encoder.
        output: the bundle's folder; it appears only when complete.
        choices: the input's size, the steps of a ReStyle encoder in front of HyperStyle, and further generators.
        licence: the licence of the weights, for the manifest.
        overwrite: replace an existing bundle.
        report: called before each piece of work.
        precision: "float32", "float16" or "bfloat16": what the large tensors are.
        gradients: optimisations to export gradient graphs for: "projection".
        perceptual: torchvision's VGG16 or AlexNet and LPIPS's heads for it, for the losses of gradient graphs.
        vgg16: the network of IDInvert's loss, from its authors.

    Returns:
        The bundle, its files verified.

    Raises:
        CheckpointError: a file that cannot be read or does not hold what it should, or a choice that does not fit it.
        ExportError: an unknown precision or optimisation; a graph that is not valid or disagrees with PyTorch.
        OutputError: the output exists, is to be overwritten but is no bundle, or cannot be written.
    """
    typed = precision_named(precision)
    check_gradients(gradients, typed, perceptual)
    if overwrite and output.is_dir() and not (output / MANIFEST_NAME).exists() and any(output.iterdir()):
        raise OutputError(f"{output} is not a bundle, so it is not replaced", hint="Choose another output folder.")
    with atomic_directory(output, overwrite) as folder, torch.no_grad():
        report("reading checkpoints", None)
        files = read_checkpoints(checkpoints)
        report("checking every tensor", None)
        model = load_model(files, choices)
        descents = optimised(model, gradients, typed, perceptual, vgg16)
        stages = _stages(model, typed)
        pieces = 4 + 2 * (stages.count + descents.graph_count(model))
        graphs, constants = _write_graphs(model, stages, typed, descents, folder, lambda what: report(what, pieces))
        report("computing checksums", pieces)
        manifest = _manifest(model, typed, licence, graphs, constants)
        write_manifest(folder, replace(manifest, provenance={**manifest.provenance, **descents.provenance()}))
    return Bundle.open(output)


@dataclass(frozen=True)
class _Stages:
    """A model's constants by name, its graphs with what they should give in float32, and how many there are."""

    constants: dict[str, Tensor]
    graphs: Iterator[tuple[Graph, list[Tensor]]]
    count: int


def _stages(model: AnyModel, precision: Precision) -> _Stages:
    if isinstance(model, IdInvertModel):
        graphs = ((graph, outputs_of(graph)) for graph in idinvert_graphs(model))
        return _Stages(idinvert_constants(model), graphs, 3)
    assert isinstance(model, Model)
    scales = measure_scales(model, precision)
    constants = model_constants(model, precision, scales)
    return _Stages(constants, _with_expected(model, precision, scales), graph_count(model))


def _write_graphs(
    model: AnyModel,
    stages: _Stages,
    precision: Precision,
    optimised: Optimised,
    folder: Path,
    report: Callable[[str], None],
) -> tuple[dict[str, GraphSpec], tuple[str, ...]]:
    constants = Constants(folder)
    for name, tensor in {**stages.constants, **optimised.constants(model)}.items():
        constants.keep(GENERATOR_GROUP, name, *array_of(tensor))
    traced = []
    for graph, expected in stages.graphs:
        report(f"tracing {graph.name}")
        program = trace(graph, precision.opset)
        homes = collect_constants(program, _group_of(graph.name), constants)
        traced.append((graph, program, homes, expected))
    for graph in optimised.graphs(model):
        report(f"tracing {graph.name}")
        program = trace(graph, precision.opset)
        separate_twins(program)
        homes = collect_constants(program, GRADIENTS_GROUP, constants)
        traced.append((graph, program, homes, expected_of(graph)))
    report("writing constants")
    places = constants.write()
    specs: dict[str, GraphSpec] = {}
    for graph, program, homes, expected in traced:
        report(f"checking {graph.name} against PyTorch")
        specs[graph.name] = write_graph(program, graph, folder / f"{graph.name}.onnx", homes, places)
        if isinstance(graph, GradientGraph):
            compare_gradient(graph, folder / f"{graph.name}.onnx", expected)
        else:
            compare(graph, folder / f"{graph.name}.onnx", expected, precision)
    return specs, constants.files(GENERATOR_GROUP)


def _group_of(graph: str) -> str:
    """The files of a graph's own constants; the graphs of a further generator share theirs."""
    stage, _, generator = graph.partition(".")
    return f"{GENERATOR_GROUP}.{generator}" if generator else GROUPS[stage]


def _with_expected(model: Model, precision: Precision, scales: Scales) -> Iterator[tuple[Graph, list[Tensor]]]:
    """Every stage with what it should give for its sample inputs, in float32."""
    graphs = build_graphs(model, precision, scales)
    if not precision.rescaled:
        yield from ((graph, outputs_of(graph)) for graph in graphs)
        return
    for exact, graph in zip(build_graphs(model, precision.exact, scales), graphs, strict=True):
        yield graph, outputs_of(exact)


def _manifest(
    model: AnyModel, precision: Precision, licence: str | None, graphs: dict[str, GraphSpec], constants: tuple[str, ...]
) -> Manifest:
    """The manifest, without the files that it is written over."""
    styles, width = model.latent_avg.shape
    further = model.further_checkpoints if isinstance(model, Model) else ()
    digests = [checkpoint.sha256 for _, checkpoint in model.checkpoints]
    return Manifest(
        method=model.method,
        domain=model.domain,
        model=hashlib.sha256("".join(digests).encode()).hexdigest(),
        precision=precision.name,
        licence=licence,
        image=model.image,
        generator=GeneratorSpec(model.family, model.layers[-1].resolution, styles, width, model.layers),
        state=_state(model),
        checkpoints=tuple(
            CheckpointSpec(role, checkpoint.path.name, checkpoint.sha256)
            for role, checkpoint in (*model.checkpoints, *further)
        ),
        constants=constants,
        graphs=graphs,
        files={},
        provenance={
            **model.provenance,
            "exported": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            **{tool: version(tool) for tool in ("torch", "onnx", "onnxscript", "onnxruntime")},
        },
        generators=_generators(model) if isinstance(model, Model) else (),
    )


def _generators(model: Model) -> tuple[FineTunedSpec, ...]:
    steps = None if model.further_codes is None else model.further_codes.steps
    return tuple(
        FineTunedSpec(each.name, tuple(layer.index for layer in each.layers if layer.tuned), steps)
        for each in model.further
    )


def _state(model: AnyModel) -> tuple[StateSpec, ...]:
    """What an inversion keeps: codes, and the offset codes, summed or those of every step."""
    codes = StateSpec(CODES, tuple(model.latent_avg.shape))
    if not isinstance(model, Model) or model.hypernet is None:
        return (codes,)
    shape = (len(model.tuned), model.hypernet.shape.code)
    return codes, StateSpec(OFFSET_CODES, ("steps", *shape) if model.bilinear else shape)
