"""A bundle on disk: opened only when its manifest is valid and every file is the one that was exported."""

import os
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize

from ...errors import BundleError
from ..manifest import strict_json
from ..manifest.checksum import FIELD, check_checksum
from ..manifest.manifest import Manifest
from ..methods import method_of
from ..methods.base import Method
from ..methods.settings import Settings
from .files import inside, kind_of, sha256_of_all
from .onnx_scan import scan_graph

MANIFEST_NAME = "bundle.json"
MAX_MANIFEST_BYTES = 4 << 20

_SAFETENSORS = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
#: Where Linux has what this process has open.
_HANDLES = Path("/proc/self/fd")
#: Beginnings of the names of graph inputs that a method does not compute, or not always.
_CONSTANT_INPUTS = ("weight.", "energy.", "noise.", "encoder_noise.", "loss_weight.")
_ARRAY_DTYPES = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}


@dataclass(frozen=True)
class Bundle:
    """A directory with `bundle.json`, ONNX graphs and constants, and nothing that executes.

    It runs the manifest's method, or the optimisation ``runs`` with its ``settings``; images are drawn by its further
    ``generator``, where that is named.
    """

    path: Path
    manifest: Manifest
    runs: str | None = None
    settings: Settings | None = None
    generator: str | None = None

    @classmethod
    def open(
        cls,
        path: "str | os.PathLike[str]",
        method: str | None = None,
        settings: Settings | None = None,
        generator: str | None = None,
    ) -> "Bundle":
        """Read and verify a bundle.

        Args:
            path: the bundle's directory.
            method: an optimisation to run in place of the manifest's method.
            settings: of that optimisation.
            generator: one of ``Manifest.generators`` to draw images, by its name.

        Raises:
            BundleError: no bundle, another schema version, a bad manifest, an unknown method or one that needs other
                graphs, an unsafe path, a file whose size or SHA-256 differs from the manifest's, or a graph that points
                outside the bundle.
            ArrayError: a method or settings that the bundle does not run.
        """
        folder = Path(path)
        bundle = cls(folder, read_manifest(folder), method, settings, generator)
        bundle.place  # noqa: B018 - before anything is checked: what is checked is what is loaded
        method_of(bundle.manifest, method, settings, generator)
        bundle.check_files()
        bundle.check_graphs()
        return bundle

    @cached_property
    def method(self) -> Method:
        """The method that the bundle runs."""
        return method_of(self.manifest, self.runs, self.settings, self.generator)

    @cached_property
    def place(self) -> Path:
        """The folder that was opened, for what is loaded later: another one may stand under its path by then.

        On Linux; elsewhere its path.
        """
        if not _HANDLES.is_dir():
            return self.path
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise BundleError(f"Cannot read {self.path}", got=error.strerror) from error
        weakref.finalize(self, os.close, handle)
        return _HANDLES / str(handle)

    def file(self, name: str) -> Path:
        """The path of a file that the manifest lists."""
        return inside(self.path, name)

    def graph(self, stage: str) -> Path:
        """The ONNX file of a stage, for tools that read it in their own way."""
        return self.file(self.manifest.graphs[stage].file)

    def graph_content(self, stage: str) -> bytes:
        """The bytes of a stage's ONNX file, as they were checked: backends are given them, and no path.

        Raises:
            BundleError: it is not ONNX, or names a file that the manifest does not list.
        """
        return self._contents[self.manifest.graphs[stage].file]

    def unchanged_graph(self, stage: str) -> Path:
        """A stage's ONNX file, for a library that maps constants of paths alone.

        Raises:
            BundleError: it is not what was checked any more.
        """
        file = self.manifest.graphs[stage].file
        path = self.place / file
        if path.read_bytes() != self.graph_content(stage):
            raise BundleError(f"{self.path / file} is not the one that was exported", hint="Copy the bundle again.")
        return path

    def check_files(self) -> None:
        """Compare every file's size and SHA-256 with the manifest; all that differ are named.

        Raises:
            BundleError: a file is missing, unsafe, or differs.
        """
        specs = self.manifest.files
        paths = {name: self.file(name) for name in specs}
        wrong = [f"{n}: {paths[n].stat().st_size} bytes" for n in specs if paths[n].stat().st_size != specs[n].bytes]
        if not wrong:
            try:
                digests = sha256_of_all(paths)
            except OSError as error:
                raise BundleError(f"Cannot read {self.path}", got=error) from error
            wrong = [f"{name}: sha256 {digests[name][:12]}" for name in specs if digests[name] != specs[name].sha256]
        if wrong:
            raise BundleError(
                f"Files of {self.path} are not the ones that were exported",
                got=", ".join(wrong),
                expected="the sizes and checksums in bundle.json",
                hint="Copy the bundle again, or export it again.",
            )

    def check_graphs(self) -> None:
        """See that the graphs point only into files that have been checked: a backend would follow them anywhere.

        Raises:
            BundleError: a graph is not ONNX, or names a file that the manifest does not list.
        """
        for stage in self.manifest.graphs:
            self.graph_content(stage)

    @cached_property
    def _contents(self) -> Mapping[str, bytes]:
        """The file of every graph, by its name: read once, checked, and kept."""
        return {name: self._checked_graph(name) for name in {g.file: None for g in self.manifest.graphs.values()}}

    def _checked_graph(self, name: str) -> bytes:
        content = self.file(name).read_bytes()
        if sha256(content).hexdigest() != self.manifest.files[name].sha256:
            raise BundleError(f"{self.path / name} is not the one that was exported", hint="Copy the bundle again.")
        if unlisted := sorted(scan_graph(content) - set(self.manifest.files)):
            raise BundleError(
                f"{name} takes constants from files that are not the bundle's",
                got=", ".join(unlisted),
                expected="files that bundle.json lists",
            )
        return content

    def constants(self) -> Mapping[str, NDArray[Any]]:
        """What graphs and the method take besides what is computed, under their names there, on the host.

        Returns:
            For instance the untuned ``weight.<layer>`` and ``energy.<layer>`` of every tuned layer, and
            ``noise.<layer>`` [1, 1, H, W] of every 3x3 convolution. Weights and noises are of the bundle's precision,
            bfloat16 as uint16 with the same bits, since NumPy lacks it; the others are float32.

        Raises:
            BundleError: a file cannot be read, or a tensor is missing, or of another type or shape.
        """
        needed = self._needed_constants()
        tensors: dict[str, NDArray[Any]] = {}
        wrong = []
        for file in self.manifest.constants:
            try:
                entries = deserialize(self.file(file).read_bytes())
            except (SafetensorError, OSError) as error:
                raise BundleError(f"Cannot read {file} of the bundle", got=error) from error
            for name, entry in entries:
                dtype, shape = needed.pop(name, (self._constant_dtype(name), tuple(entry["shape"])))
                if entry["dtype"] != dtype or tuple(entry["shape"]) != shape:
                    wrong.append(f"{name} {entry['dtype']} {entry['shape']} for {dtype} {list(shape)}")
                else:
                    tensors[name] = np.frombuffer(entry["data"], _ARRAY_DTYPES[dtype]).reshape(shape)
        if wrong or needed:
            missing = [f"no {name}" for name in needed]
            raise BundleError("Constants of the bundle are not what its graphs take", got=", ".join(wrong + missing))
        return tensors

    def _needed_constants(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Name to dtype, as safetensors calls it, and shape of the constants that the method or a graph takes."""
        shapes = {name: ("F32", shape) for name, shape in self.method.constants().items()}
        for signature in self.method.signatures().values():
            for tensor in signature.inputs:
                if tensor.name.startswith(_CONSTANT_INPUTS):
                    shapes[tensor.name] = (_SAFETENSORS[tensor.dtype], tuple(map(int, tensor.shape)))
        return shapes

    def _constant_dtype(self, name: str) -> str:
        """The dtype of a constant that no graph takes, as safetensors calls it."""
        return _SAFETENSORS[self.manifest.precision if name.startswith(("weight.", "noise.")) else "float32"]


def read_manifest(path: Path) -> Manifest:
    """Read and validate `bundle.json` alone, without touching the bundle's other files.

    Raises:
        BundleError: there is none, it is not a valid manifest, or not one of its method.
    """
    try:
        content = _read_document(path)
        document = strict_json.parse(content)
    except OSError as error:
        raise BundleError(f"Cannot read {path}", got=error.strerror or error) from error
    except ValueError as error:
        raise BundleError(f"{path / MANIFEST_NAME} is not JSON", got=str(error)[:120]) from error
    stated = document.pop(FIELD, None) if isinstance(document, dict) else None
    manifest = Manifest.from_json(document)
    method_of(manifest)
    check_checksum(content, stated)
    return manifest


def _read_document(path: Path) -> bytes:
    if not path.is_dir():
        raise BundleError(f"{path} is not a bundle", got=kind_of(path), expected="a folder")
    if not (path / MANIFEST_NAME).exists():
        raise BundleError(
            f"{path} is not a bundle", got=f"no {MANIFEST_NAME} in it", hint="Make one with: hyperstyle-deploy export"
        )
    file = inside(path, MANIFEST_NAME)
    if file.stat().st_size > MAX_MANIFEST_BYTES:
        raise BundleError(f"{file} is too large", got=file.stat().st_size, expected=f"at most {MAX_MANIFEST_BYTES}")
    return file.read_bytes()
