"""Write a calibrated bundle: edited graphs, constants that are used and no others, each stored once."""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from safetensors.numpy import save_file

from ..errors import CalibrationError
from ..runtime.bundle.files import sha256_of_all
from ..runtime.manifest.manifest import FileSpec, GraphSpec, Manifest
from ..runtime.bundle.reader import MANIFEST_NAME, Bundle
from .blocks import STAGES
from .quantization import Quantized
from .stage_graph import Constant, place

#: Which constants files a graph's constants go to, as `export` has them.
_GROUPS = {"encoder": "encoder", "hypernet": "hypernet", "offsets": "offsets", "weights": "offsets"}
#: Smaller constants stay inside the .onnx file.
_EXTERNAL_BYTES = 1024
#: A constants file starts a new part past this size, so that checksums are computed on several cores.
_PART_BYTES = 256 << 20


@dataclass(frozen=True)
class _Home:
    """Where a constant goes: the group of files, and its name there."""

    group: str
    name: str


class _Store:
    """New constants files: what is asked for twice, by place or by name, is kept once."""

    def __init__(self, source: Path, folder: Path) -> None:
        self._source, self._folder = source, folder
        self._arrays: dict[_Home, NDArray[np.generic]] = {}
        self._moved: dict[Constant, _Home] = {}

    def move(self, group: str, tensor: onnx.TensorProto, where: Constant) -> _Home:
        """Take a float32 constant of the source bundle along."""
        if where not in self._moved:
            dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
            array = np.memmap(self._source / where.file, dtype, "r", where.offset, tuple(tensor.dims))
            home = _Home(group, tensor.name)
            if home in self._arrays:
                home = _Home(group, f"{tensor.name}.{where.offset}")
            self._arrays[home] = array
            self._moved[where] = home
        return self._moved[where]

    def add(self, group: str, name: str, array: NDArray[np.generic]) -> _Home:
        """Keep a new constant; an equal name in a group is the same constant."""
        return self._keep(_Home(group, name), array)

    def _keep(self, home: _Home, array: NDArray[np.generic]) -> _Home:
        self._arrays.setdefault(home, array)
        return home

    def write(self) -> dict[_Home, tuple[str, int, int]]:
        """Write the files; (file, offset, bytes) of every constant."""
        places: dict[_Home, tuple[str, int, int]] = {}
        for group in dict.fromkeys(home.group for home in self._arrays):
            members = {home: array for home, array in self._arrays.items() if home.group == group}
            for number, part in enumerate(_parts(members), 1):
                file = f"{group}.safetensors" if number == 1 else f"{group}-{number}.safetensors"
                # NumPy's own types alone: FP8 goes in as bytes, and the graph knows what they are.
                native = {
                    home: array if array.dtype.isbuiltin == 1 else array.view(np.uint8) for home, array in part.items()
                }
                save_file(
                    {home.name: np.ascontiguousarray(array) for home, array in native.items()}, self._folder / file
                )
                (self._folder / file).chmod(0o644)  # the library makes it private
                for home in part:
                    places[home] = (file, *_span(self._folder / file, home.name))
        return places


def _parts(members: Mapping[_Home, NDArray[np.generic]]) -> Iterator[dict[_Home, NDArray[np.generic]]]:
    part: dict[_Home, NDArray[np.generic]] = {}
    for home, array in members.items():
        if part and sum(other.nbytes for other in part.values()) + array.nbytes > _PART_BYTES:
            yield part
            part = {}
        part[home] = array
    if part:
        yield part


def _span(path: Path, name: str) -> tuple[int, int]:
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        start, end = json.loads(stream.read(length))[name]["data_offsets"]
    return 8 + length + start, end - start


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
    store = _Store(source.path, folder)
    homes = {stage: _collect(store, stage, edited[stage], copied) for stage in STAGES if stage in edited}
    places = store.write()
    graphs = dict(manifest.graphs)
    for stage, quantized in edited.items():
        graphs[stage] = _write_graph(folder, graphs[stage], quantized.model, homes[stage], places)
    provenance = {**manifest.provenance, "calibration": dict(calibration)}
    return Bundle(folder, write_manifest(folder, replace(manifest, graphs=graphs, provenance=provenance)))


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Write `bundle.json` over the files that are in ``folder``; return it with their sizes and checksums."""
    paths = {file.name: file for file in sorted(folder.iterdir()) if file.name != MANIFEST_NAME}
    digests = sha256_of_all(paths)
    files = {name: FileSpec(path.stat().st_size, digests[name]) for name, path in paths.items()}
    complete = replace(manifest, files=files)
    (folder / MANIFEST_NAME).write_text(json.dumps(complete.to_json(), indent=1) + "\n")
    return complete


def _collect(store: _Store, stage: str, quantized: Quantized, copied: Iterable[str]) -> dict[str, _Home]:
    """Hand an edited graph's large constants to the store; what is new and small goes into the graph."""
    group, homes = _GROUPS[stage], {}
    initializers = quantized.model.graph.initializer
    for tensor in initializers:
        where = place(tensor)
        if where is not None and where.file not in copied:
            homes[tensor.name] = store.move(group, tensor, where)
    for name, array in quantized.constants.items():
        dtype = helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor = onnx.TensorProto(name=name, data_type=dtype, dims=array.shape)
        if array.nbytes < _EXTERNAL_BYTES:
            tensor.raw_data = array.tobytes()
        else:
            homes[name] = store.add(group, name, array)
        initializers.append(tensor)
    return homes


def _write_graph(
    folder: Path,
    spec: GraphSpec,
    model: onnx.ModelProto,
    homes: Mapping[str, _Home],
    places: Mapping[_Home, tuple[str, int, int]],
) -> GraphSpec:
    for tensor in model.graph.initializer:
        if tensor.name in homes:
            file, offset, length = places[homes[tensor.name]]
            tensor.ClearField("raw_data")
            del tensor.external_data[:]
            tensor.data_location = onnx.TensorProto.EXTERNAL
            for key, value in (("location", file), ("offset", str(offset)), ("length", str(length))):
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
