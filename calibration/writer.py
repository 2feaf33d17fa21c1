"""Write a calibrated bundle: edited graphs, constants that are used and no others, each stored once."""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from ..errors import CalibrationError
from ..runtime.bundle.constants import EXTERNAL_BYTES, Constants, Home, Place, write_manifest
from ..runtime.bundle.reader import Bundle
from ..runtime.manifest.manifest import GraphSpec
from .quantization import Quantized
from .stage_graph import Constant, place


def write_bundle(
    source: Bundle, folder: Path, edited: Mapping[str, Quantized], calibration: Mapping[str, Any]
) -> Bundle:
    """Fill an empty folder with a bundle whose graphs are the source's, those of ``edited`` exchanged.

    Files that only edited graphs point into are written anew; all others are copied.

    Args:
        source: a float32 bundle.
        folder: where to.
        edited: the new graphs by stage.
        calibration: what the manifest says of how they were made.

    Raises:
        CalibrationError: an edited graph is not valid ONNX.
    """
    manifest = source.manifest
    untouched = [stage for stage in manifest.graphs if stage not in edited]
    used = {where.file for stage in untouched for where in _places(source.graph(stage))}
    copied = used | set(manifest.constants) | {manifest.graphs[stage].file for stage in untouched}
    for name in sorted(copied):
        shutil.copyfile(source.file(name), folder / name)
    constants = Constants(folder, copied)
    homes = {stage: _collect(source, constants, stage, quantized, copied) for stage, quantized in edited.items()}
    places = constants.write()
    graphs = dict(manifest.graphs)
    for stage, quantized in edited.items():
        graphs[stage] = _write_graph(folder, graphs[stage], quantized.model, homes[stage], places)
    provenance = {**manifest.provenance, "calibration": dict(calibration)}
    return Bundle(folder, write_manifest(folder, replace(manifest, graphs=graphs, provenance=provenance)))


def _collect(
    source: Bundle, constants: Constants, stage: str, quantized: Quantized, copied: Iterable[str]
) -> dict[str, Home]:
    """Keep an edited graph's large constants; what is new and small goes into the graph."""
    homes = {}
    initializers = quantized.model.graph.initializer
    for tensor in initializers:
        where = place(tensor)
        if where is not None and where.file not in copied:
            dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
            mapped = np.memmap(source.path / where.file, dtype, "r", where.offset, tuple(tensor.dims))
            homes[tensor.name] = constants.add(stage, tensor.name, mapped)
    for name, array in quantized.constants.items():
        dtype = helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor = onnx.TensorProto(name=name, data_type=dtype, dims=array.shape)
        if array.nbytes < EXTERNAL_BYTES:
            tensor.raw_data = array.tobytes()
        else:
            # NumPy's own types alone: FP8 goes in as bytes, and the graph knows what they are.
            native = array if array.dtype.isbuiltin == 1 else array.view(np.uint8)
            homes[name] = constants.add(stage, name, native)
        initializers.append(tensor)
    return homes


def _write_graph(
    folder: Path,
    spec: GraphSpec,
    model: onnx.ModelProto,
    homes: Mapping[str, Home],
    places: Mapping[Home, Place],
) -> GraphSpec:
    for tensor in model.graph.initializer:
        if tensor.name in homes:
            there = places[homes[tensor.name]]
            tensor.ClearField("raw_data")
            del tensor.external_data[:]
            tensor.data_location = onnx.TensorProto.EXTERNAL
            for key, value in (("location", there.file), ("offset", str(there.offset)), ("length", str(there.length))):
                tensor.external_data.add(key=key, value=value)
    onnx.save(model, folder / spec.file)
    try:
        onnx.checker.check_model(str(folder / spec.file), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise CalibrationError(f"The calibrated graph {spec.file} is not valid ONNX", got=str(error)[:400]) from error
    return replace(spec, opset=model.opset_import[0].version)


def _places(graph: Path) -> list[Constant]:
    model = onnx.load(graph, load_external_data=False)
    return [where for tensor in model.graph.initializer if (where := place(tensor)) is not None]
