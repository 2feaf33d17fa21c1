"""One person's generator as a plain ONNX file: codes in, image out, nothing of ours needed to run it."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ..errors import ExportError, printable
from ..runtime.bundle.files import atomic_file
from ..runtime.bundle.inversion import Inversion
from ..runtime.manifest.layers import Layer
from ..runtime.manifest.manifest import GraphSpec, Manifest
from ..runtime.methods.base import CODES
from ..runtime.quality.tolerance import TOLERANCE, tolerance
from ..runtime.session import Session

IMAGE, STYLES = "image", "styles"
#: Smaller constants are not worth a node that widens them.
_HALVED_BYTES = 1024
#: How far the codes are moved that a person's generator is tried on besides their own.
_TRIED = 0.2


@dataclass(frozen=True)
class Personal:
    """What was written: the file, its size, and how much its images differ from the session's at most."""

    path: Path
    bytes: int
    difference: float

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {"file": printable(str(self.path)), "bytes": self.bytes, "difference": self.difference}


def personalize(
    session: Session, inversion: Inversion, path: Path, half: bool = False, styles: bool = False
) -> Personal:
    """Write the generator of one person, weights and noises inside.

    The graph takes ``codes`` [N, styles, width] float32 for any N and gives ``image`` [N, 3, height, width] float32
    about [-1, 1]. The file appears once it has drawn in ONNX Runtime what the session draws.

    Args:
        session: on a float32 or float16 bundle.
        inversion: the person.
        path: the .onnx file.
        half: keep constants as float16 and widen them when the graph is loaded or run: half the file.
        styles: also take ``styles`` [1 or N, channels of all layers] float32, to be added to every layer's style
            (StyleSpace, Wu et al., CVPR 2021), or nothing if it is left out. The metadata say which are whose.

    Raises:
        InversionError: the inversion belongs to another model.
        ExportError: the bundle's graph is of a kind that cannot be rewritten, or the images differ.
        OutputError: the file cannot be written.
    """
    person, manifest = session.person(inversion), session.manifest
    if styles and manifest.generator.family != "stylegan2":
        raise ExportError(
            "StyleSpace is StyleGAN2's", got=manifest.generator.family, hint="Leave --styles out: codes are edited."
        )
    synthesis = session.bundle.method.syntheses[0]
    model = onnx.load(session.bundle.graph(synthesis), load_external_data=True)
    _bake(model.graph, {**session.bundle.constants(), **person.weights()}, manifest.graphs[synthesis])
    _keep_image(model.graph)
    if styles:
        _open_styles(model.graph, manifest.layers)
    if half:
        _halve(model.graph)
    _describe(model, manifest)
    content = model.SerializeToString()
    limit = max(tolerance(session.precision), TOLERANCE["float16"] if half else 0)
    difference = _difference(session, inversion, content)
    if not difference <= limit:
        raise ExportError("The person's generator draws something else", got=f"{difference:.2g}", expected=f"{limit:g}")
    with atomic_file(path) as partial:
        partial.write_bytes(content)
    return Personal(path, len(content), difference)


def _bake(graph: onnx.GraphProto, values: Mapping[str, NDArray[Any]], spec: GraphSpec) -> None:
    """Constants in the place of all inputs but the codes."""
    for tensor in spec.inputs:
        if tensor.name == CODES:
            continue
        dtype = TensorProto.DataType.Value({"float32": "FLOAT"}.get(tensor.dtype, tensor.dtype.upper()))
        array = np.ascontiguousarray(values[tensor.name])
        graph.initializer.append(helper.make_tensor(tensor.name, dtype, array.shape, array.tobytes(), raw=True))
    kept = [value for value in graph.input if value.name == CODES]
    del graph.input[:]
    graph.input.extend(kept)


def _keep_image(graph: onnx.GraphProto) -> None:
    """The image alone, and of nodes and constants what it needs."""
    kept = [value for value in graph.output if value.name == IMAGE]
    del graph.output[:]
    graph.output.extend(kept)
    needed, nodes = {IMAGE}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(reversed(nodes))
    constants = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(constants)
    # Shapes in between, and what the tracer noted of them, are of no use to others.
    del graph.value_info[:]


def _open_styles(graph: onnx.GraphProto, layers: tuple[Layer, ...]) -> None:
    """Let an input be added to the biases of all styles: one that has a constant of its name may be left out."""
    maps = list(_style_maps(graph))
    if len(maps) != len(layers):
        raise ExportError("The graph has other styles than its layers", got=len(maps), expected=len(layers))
    added = [f"{STYLES}.{layer.name}" for layer in layers]
    for gemm, name in zip(maps, added, strict=True):
        bias = gemm.input[2]
        gemm.input[2] = f"{name}.bias"
        graph.node.insert(0, helper.make_node("Add", [bias, name], [gemm.input[2]], f"{name}.added"))
    channels = [layer.in_channels for layer in layers]
    graph.node.insert(0, helper.make_node("Split", [STYLES, f"{STYLES}.sizes"], added, f"{STYLES}.split", axis=1))
    graph.initializer.append(numpy_helper.from_array(np.array(channels, np.int64), f"{STYLES}.sizes"))
    graph.initializer.append(numpy_helper.from_array(np.zeros((1, sum(channels)), np.float32), STYLES))
    graph.input.append(helper.make_tensor_value_info(STYLES, TensorProto.FLOAT, ["one_or_batch", sum(channels)]))


def _style_maps(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The affine maps from a row of the codes to a layer's style, in the order of the layers."""
    rows = {node.output[0] for node in graph.node if node.op_type == "Gather" and node.input[0] == CODES}
    return (node for node in graph.node if node.op_type == "Gemm" and node.input[0] in rows)


def _halve(graph: onnx.GraphProto) -> None:
    """Large float32 constants as float16, each with a node behind it that widens it."""
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.raw_data) < _HALVED_BYTES or tensor.name == STYLES:
            continue
        name, array = tensor.name, numpy_helper.to_array(tensor)
        if np.abs(array).max() > np.finfo(np.float16).max:
            continue
        tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], f"widen_{name}", to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _describe(model: onnx.ModelProto, manifest: Manifest) -> None:
    """Say in the file what it is, and nothing of who exported it."""
    del model.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
    model.producer_name, model.graph.name = "hyperstyle-deploy", "generator of one person"
    facts = {"model": manifest.model, "licence": manifest.licence or "unknown", "domain": manifest.domain}
    if any(value.name == STYLES for value in model.graph.input):
        ends = list(itertools.accumulate((layer.in_channels for layer in manifest.layers), initial=0))
        for layer, (first, end) in zip(manifest.layers, itertools.pairwise(ends), strict=True):
            facts[f"{STYLES}.{layer.name}"] = f"{first}:{end}"
    for key, value in facts.items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model)


def _difference(session: Session, inversion: Inversion, content: bytes) -> float:
    """The largest difference of images, of the person's own codes and of others."""
    from ..runtime.backends.onnx_session import open_session, session_options

    moved = np.random.default_rng(0).standard_normal(inversion.codes.shape, np.float32)
    codes = np.stack([inversion.codes, inversion.codes + np.float32(_TRIED) * moved])
    options = session_options()
    options.log_severity_level = 3  # it warns of inputs that may be left out
    (drawn,) = open_session(content, options, name="the person's generator").run([IMAGE], {CODES: codes})
    return float(np.abs(drawn - session.person(inversion).image(codes)).max())
