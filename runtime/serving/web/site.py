"""A folder that any static host can serve: the page, a bundle, and ONNX Runtime Web to run it in the browser."""

import hashlib
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ....errors import BundleError, OutputError
from ...bundle.files import atomic_directory, inside
from ...bundle.onnx_scan import scan_graph
from ...bundle.reader import Bundle
from ...editing.folder import FOLDER, SUFFIX, Directions
from ...manifest.manifest import FileSpec
from ...manifest.strict_json import dump
from ..facts import bundle_facts
from ..page_files import PAGE, SHARED
from .onnxruntime_web import DEVICES, NOTICE

LOGGER = logging.getLogger(__name__)

#: What the runtime computes in a browser.
ARITHMETIC = ("float32", "float16")
#: Of what is loaded: a browser's memory for WebAssembly ends at 4 GB, and constants are there twice for a moment.
MOST_BYTES = 2 << 30
#: Graphs that only batches and other tools ask for.
_UNUSED = ("offsets", "synthesis")
INDEX, EXAMPLE, MODEL, RUNTIME = "site.json", "page/example.png", "model", "runtime"

#: What hosts that read such a file (Netlify, Cloudflare Pages and others) say with every answer. The first two give
#: WebAssembly its threads.
HEADERS = """/*
  Cross-Origin-Opener-Policy: same-origin
  Cross-Origin-Embedder-Policy: require-corp
  Cross-Origin-Resource-Policy: same-origin
  X-Content-Type-Options: nosniff
  X-Frame-Options: DENY
  Referrer-Policy: no-referrer
"""


@dataclass(frozen=True)
class Site:
    """What was written: the folder, and the bytes that a visitor's browser loads, of the model and by device."""

    path: Path
    model: int
    runtime: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"site": str(self.path), "model_bytes": self.model, "runtime_bytes": dict(self.runtime)}


def export_site(
    bundle: Bundle,
    name: str,
    runtime: Mapping[str, bytes],
    folder: Path,
    example: bytes | None = None,
    overwrite: bool = False,
) -> Site:
    """Write a site.

    Args:
        bundle: what runs there.
        name: what the page calls it.
        runtime: ONNX Runtime Web's files by name.
        folder: where to write; it appears when it is complete.
        example: a photo that the page offers, a PNG file's content.
        overwrite: replace a site that is there.

    Raises:
        BundleError: no browser can run the bundle.
        DirectionError: one of its directions is damaged.
        OutputError: the folder is there and is no site, or cannot be written.
    """
    check_runs(bundle)
    if folder.exists() and not (folder / INDEX).is_file():
        raise OutputError(f"{folder} exists and is no site", got=f"no {INDEX} in it", hint="Choose another name.")
    files = site_files(bundle)
    entry = _entry(bundle, name, files, runtime)
    with atomic_directory(folder, overwrite) as partial:
        for part in ("page", MODEL, f"{MODEL}/{FOLDER}", RUNTIME):
            (partial / part).mkdir()
        for file in files:
            shutil.copyfile(inside(bundle.path, file), partial / MODEL / file)
        for file, content in runtime.items():
            (partial / RUNTIME / file).write_bytes(content)
        shutil.copyfile(PAGE / "index.html", partial / "index.html")
        for page_file in (*SHARED, *sorted((PAGE / "browser").glob("*.js"))):
            shutil.copyfile(page_file, partial / "page" / page_file.name)
        if example is not None:
            (partial / EXAMPLE).write_bytes(example)
        (partial / RUNTIME / "README.txt").write_text(NOTICE)
        (partial / "_headers").write_text(HEADERS)
        (partial / INDEX).write_text(dump({"bundles": [entry], "example": example is not None}))
    sizes = {device: sum(file["bytes"] for file in entry["runtime"][device].values()) for device in DEVICES}
    return Site(folder, sum(file["bytes"] for file in entry["files"]), sizes)


def check_runs(bundle: Bundle) -> None:
    """See that a browser can run a bundle.

    Raises:
        BundleError: its precision is none that browsers compute, or it is larger than their memory.
    """
    manifest = bundle.manifest
    if manifest.arithmetic not in ARITHMETIC:
        raise BundleError(
            "The bundle's precision does not run in a browser",
            got=manifest.arithmetic,
            expected=" or ".join(ARITHMETIC),
            hint="Export the checkpoint with --precision fp32 or fp16.",
        )
    total = sum(manifest.files[file].bytes for file in site_files(bundle) if file in manifest.files)
    if total > MOST_BYTES:
        raise BundleError(
            "The bundle is larger than a browser's memory",
            got=f"{total:,} bytes to load",
            expected=f"at most {MOST_BYTES:,}",
            hint="Export it with --precision fp16: half the bytes.",
        )


def site_files(bundle: Bundle) -> list[str]:
    """The files that the page loads of a bundle: graphs, what they take constants from, directions."""
    manifest = bundle.manifest
    outside = [file for files in _outside(bundle).values() for file in files]
    graphs = [manifest.graphs[graph].file for graph in _graphs(bundle)]
    directions = [f"{FOLDER}/{name}{SUFFIX}" for name in Directions(bundle.path, manifest).names()]
    return list(dict.fromkeys((*graphs, *outside, *manifest.constants, *directions)))


def _graphs(bundle: Bundle) -> list[str]:
    return [graph for graph in bundle.method.signatures() if graph not in _UNUSED]


def _outside(bundle: Bundle) -> dict[str, list[str]]:
    """The files that each graph takes constants from."""
    return {graph: sorted(scan_graph(bundle.graph_content(graph))) for graph in _graphs(bundle)}


def _entry(bundle: Bundle, name: str, files: Sequence[str], runtime: Mapping[str, bytes]) -> dict[str, Any]:
    """What the page has to know: facts, files with their checksums, and what the loop takes of the manifest."""
    manifest, outside = bundle.manifest, _outside(bundle)
    document = manifest.to_json()
    graphs = {
        graph: {
            "file": manifest.graphs[graph].file,
            "inputs": [tensor.name for tensor in manifest.graphs[graph].inputs],
            "outside": outside[graph],
        }
        for graph in outside
    }
    return {
        **bundle_facts(name, manifest, Directions(bundle.path, manifest).all()),
        "folder": MODEL,
        "files": [{"path": f"{MODEL}/{file}", **asdict(_file(bundle, file))} for file in files],
        "runtime": {
            device: {
                role: {"path": f"{RUNTIME}/{file}", **asdict(_facts(runtime[file]))} for role, file in parts.items()
            }
            for device, parts in DEVICES.items()
        },
        "manifest": {
            **{field: document[field] for field in ("method", "model", "image", "state", "constants")},
            "graphs": graphs,
        },
    }


def _file(bundle: Bundle, file: str) -> FileSpec:
    """Size and checksum of a file: the manifest's, or a direction's own."""
    return bundle.manifest.files.get(file) or _facts(inside(bundle.path, file).read_bytes())


def _facts(content: bytes) -> FileSpec:
    return FileSpec(len(content), hashlib.sha256(content).hexdigest())
