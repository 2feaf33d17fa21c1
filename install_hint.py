"""The commands that install what is missing, from where this package came from: it is on no index."""

import json
import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from shlex import quote
from urllib.parse import urlsplit
from urllib.request import url2pathname

NAME = "hyperstyle-deploy"
ROOT = Path(__file__).resolve().parent

#: The extras that install a module, the one that most need first.
EXTRAS = {
    "torch": ("export",),
    "onnx_ir": ("export",),
    "onnxscript": ("export",),
    "onnx": ("report", "export", "calibrate"),
    "matplotlib": ("report",),
    "jinja2": ("report",),
    "markupsafe": ("report",),
    "onnxruntime": ("cpu", "export", "calibrate", "openvino"),
    "openvino": ("openvino",),
    "ml_dtypes": ("calibrate",),
    "lpips": ("lpips",),
    "av": ("video",),
    "pyarrow": ("parquet", "ray"),
    "ray": ("ray",),
    "starlette": ("serve",),
    "uvicorn": ("serve",),
    "prometheus_client": ("serve",),
    "tensorrt": ("tensorrt",),
    "tensorrt_rtx": ("tensorrt-rtx",),
    "cuda.bindings": ("gpu",),
    "pynvml": ("gpu",),
    "pycuda": ("pycuda",),
}


def extra_for(module: str, command: str | None = None) -> str | None:
    """The extra to install for a missing module; that of the command's own name, if it has the module."""
    extras = EXTRAS.get(module, ())
    return command if command in extras else next(iter(extras), None)


def install_command(*extras: str) -> str:
    """A command line that adds extras to this installation.

    It names the clone, or what the package was installed from: a wheel, a folder, an address. Never the name alone:
    whoever put that on an index would be installed. Where nothing is recorded it names the packages themselves.
    """
    wanted = f"[{','.join(extras)}]"
    if (ROOT / "pyproject.toml").is_file():
        return f"pip install -e {_quoted(f'{ROOT}{wanted}')}"
    try:
        installed = distribution(NAME)
    except PackageNotFoundError:
        raise AssertionError("neither a clone nor an installed package") from None
    origin = _origin(installed, wanted)
    packages = [origin] if origin else _requirements(installed, extras)
    return f"pip install {' '.join(map(_quoted, packages))}"


def _origin(installed: Distribution, wanted: str) -> str | None:
    """What pip noted when it installed the package, as a requirement; None if nothing, or if that is gone."""
    record = json.loads(installed.read_text("direct_url.json") or "{}")
    url = record.get("url", "")
    if url.startswith("file:"):
        path = Path(url2pathname(urlsplit(url).path))
        return f"{path}{wanted}" if path.exists() else None
    if not url:
        return None
    if "vcs_info" in record:
        url = f"{record['vcs_info']['vcs']}+{url}@{record['vcs_info']['commit_id']}"
    return f"{NAME}{wanted} @ {url}"


def _requirements(installed: Distribution, extras: tuple[str, ...]) -> list[str]:
    """The packages of extras, as the installed package's metadata has them."""
    found = []
    for requirement in installed.requires or ():
        package, _, marker = requirement.partition(";")
        named = re.search(r"""extra\s*==\s*["']([^"']+)["']""", marker)
        if named and named[1] in extras:
            found.append(package.strip())
    return found


def _quoted(argument: str) -> str:
    return quote(argument) if re.search(r'["$`\\!]', argument) else f'"{argument}"'
