"""A bundle as a model of a Triton repository: its configuration, the bundle itself, and what runs it."""

import re
import shutil
from pathlib import Path

from ....errors import ArrayError, OutputError
from ...bundle.files import atomic_directory
from ...bundle.reader import Bundle
from .config import Model, config_of

#: The model's only version, and the bundle's folder in it.
VERSION, BUNDLE = "1", "model.bundle"
CONFIG = "config.pbtxt"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PYTHON = '''"""The model of Triton's Python backend; hyperstyle_deploy has to be installed where Triton runs."""

from hyperstyle_deploy.runtime.serving.triton.model import TritonPythonModel

__all__ = ["TritonPythonModel"]
'''


def add_model(path: Path, repository: Path, model: Model) -> Path:
    """Verify a bundle and add it to a model repository, which need not be there yet; returns the model's folder.

    The folder appears when it is whole. It holds `config.pbtxt` and in `1/` a copy of the bundle and, for Python's
    backend, `model.py`.

    Raises:
        BundleError: the bundle is damaged or unsafe, or has no such generator.
        ArrayError: a name that Triton or a file system could misread.
        OutputError: the repository has such a model, is inside the bundle, or cannot be written.
    """
    if not _NAME.fullmatch(model.name):
        expected = "letters, digits, points, hyphens and underscores"
        raise ArrayError("That is no name for a model", got=model.name[:120], expected=expected)
    bundle = Bundle.open(path, generator=model.loading.get("generator"))
    folder = repository / model.name
    if path.resolve() in folder.resolve().parents:
        raise OutputError(f"Cannot write {folder}", got="a folder inside the bundle", expected="one beside it")
    if folder.exists():
        hint = "Name the model otherwise with --name, or delete that one."
        raise OutputError("The repository has such a model", got=folder, hint=hint)
    with atomic_directory(folder) as partial:
        (partial / CONFIG).write_text(config_of(bundle.manifest, model), encoding="utf-8")
        # Links stay links, which no bundle is loaded through: what they point to is not the bundle's to give away.
        shutil.copytree(path, partial / VERSION / BUNDLE, symlinks=True)
        if model.backend == "python":
            (partial / VERSION / "model.py").write_text(_PYTHON, encoding="utf-8")
    return folder
