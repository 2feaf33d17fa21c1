"""Every hint that installs something: its extras exist and hold what is missing, and none installs the bare name."""

import ast
import json
import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution
from pathlib import Path

import pytest

from hyperstyle_deploy import install_hint
from hyperstyle_deploy.export.engines.targets import TARGETS
from hyperstyle_deploy.install_hint import EXTRAS, extra_for, install_command
from hyperstyle_deploy.runtime.backends import BACKENDS

ROOT = Path(__file__).parents[2]
TESTED = ("tests", "benchmarks", ".venv", "build", "dist")
#: The packages whose modules have other names.
PACKAGES = {
    "markupsafe": "jinja2",
    "onnx_ir": "onnx-ir",
    "tensorrt_rtx": "tensorrt-rtx",
    "cuda.bindings": "cuda-bindings",
    "pynvml": "nvidia-ml-py",
    "onnxruntime": "onnxruntime|onnxruntime-gpu",
    "prometheus_client": "prometheus-client",
    "pyarrow": "pyarrow|ray",  # ray[data] brings it
}


def extras() -> dict[str, list[str]]:
    """The extras of pyproject.toml; read by hand, since Python 3.10 has no reader of TOML."""
    text = (ROOT / "pyproject.toml").read_text()
    section = text[text.index("[project.optional-dependencies]") :].split("\n[", 1)[0]
    return {
        name: [re.split(r"[<>=\[]", package)[0] for package in ast.literal_eval(packages)]
        for name, packages in re.findall(r"^([\w-]+) = (\[.*\])$", section, re.MULTILINE)
    }


def sources(pattern: str) -> Iterator[Path]:
    return (path for path in ROOT.rglob(pattern) if path.relative_to(ROOT).parts[0] not in TESTED)


def calls() -> list[tuple[Path, list[str]]]:
    """The extras in every call of ``install_command`` that names them."""
    found = []
    for path in sources("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "install_command":
                found.append((path, [leaf.value for leaf in node.args if isinstance(leaf, ast.Constant)]))
    return found


def test_every_call_names_extras_that_exist() -> None:
    named = calls()
    assert len(named) >= 7
    for path, names in named:
        assert set(names) <= set(extras()), path


def test_every_module_is_in_its_extras() -> None:
    for module, names in EXTRAS.items():
        for name in names:
            wanted = PACKAGES.get(module, module).split("|")
            assert set(wanted) & set(extras()[name]), (module, name)


def test_every_backend_names_extras_that_hold_its_modules() -> None:
    for name, needs in BACKENDS.items():
        installed = {package for extra in needs.extras for package in extras()[extra]}
        for module in needs.modules:
            assert set(PACKAGES.get(module, module).split("|")) & installed, (name, module)


def test_every_target_names_an_extra_that_holds_its_module() -> None:
    assert {target.extra for target in TARGETS.values()} <= set(extras())


def test_a_command_names_its_own_extra() -> None:
    assert extra_for("onnx", "calibrate") == "calibrate"
    assert extra_for("onnx", "export") == "export"
    assert extra_for("onnx", "verify") == extra_for("onnx") == "report"
    assert extra_for("torch", "inspect") == "export"
    assert extra_for("json", "inspect") is None


@pytest.mark.parametrize("pattern", ["*.py", "*.md", "*.cpp", "*.cmake", "*.txt", "Makefile"])
def test_nothing_installs_the_bare_name(pattern: str) -> None:
    bare = re.compile(r"pip3? (?:install|download)\b.*[ \"'`]hyperstyle[-_]deploy(\[[^\]\n]*\])?(?![\w.\[-]| @)")
    assert bare.search('pip install -U "hyperstyle-deploy[cpu]"  # so')
    assert not bare.search('pip install "hyperstyle-deploy[cpu] @ https://example.org/a.whl"')
    assert [str(path) for path in sources(pattern) if bare.search(path.read_text(encoding="utf-8"))] == []


def test_gpu_installs_from_wheels() -> None:
    """What its packages offer on the index was looked up by hand: docs/gpu.md says when."""
    assert extras()["gpu"] == ["onnxruntime-gpu", "cuda-bindings", "nvidia-ml-py"]


class Installed(Distribution):
    """A distribution with these files in its metadata."""

    def __init__(self, **files: str) -> None:
        self.files_of_it = {name.replace("_json", ".json"): text for name, text in files.items()}

    def read_text(self, filename: str) -> str | None:
        return self.files_of_it.get(filename)

    def locate_file(self, path: object) -> Path:
        raise NotImplementedError


METADATA = """\
Name: hyperstyle-deploy
Version: 0.1.0
Requires-Dist: numpy>=1.26
Requires-Dist: onnxruntime>=1.23; extra == "cpu"
Requires-Dist: torch<2.14,>=2.10; extra == 'export'
Requires-Dist: onnx>=1.21; extra == "export"
"""


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, object]]:
    """The package as if it was installed with this ``direct_url.json``, apart from its clone."""
    record: dict[str, object] = {}
    monkeypatch.setattr(install_hint, "ROOT", tmp_path / "site-packages" / "hyperstyle_deploy")
    found = lambda name: Installed(METADATA=METADATA, direct_url_json=json.dumps(record))  # noqa: E731
    monkeypatch.setattr(install_hint, "distribution", found)
    return record


def test_a_clone_names_itself() -> None:
    assert install_command("cpu", "report") == f'pip install -e "{ROOT}[cpu,report]"'


@pytest.mark.skipif(sys.platform == "win32", reason="paths of POSIX")
def test_a_wheel_names_its_file(installed: dict[str, object], tmp_path: Path) -> None:
    wheel = tmp_path / "my wheels" / "hyperstyle_deploy-0.1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.touch()
    installed.update(url=wheel.as_uri(), archive_info={})
    assert "%20" in wheel.as_uri()
    assert install_command("calibrate") == f'pip install "{wheel}[calibrate]"'
    dollar = tmp_path / "$HOME.whl"
    dollar.touch()
    installed.update(url=dollar.as_uri())
    assert install_command("cpu") == f"pip install '{dollar}[cpu]'"


def test_an_address_and_a_repository_are_named(installed: dict[str, object]) -> None:
    installed.update(url="https://example.org/hyperstyle_deploy-0.1.0-py3-none-any.whl", archive_info={})
    want = '"hyperstyle-deploy[cpu] @ https://example.org/hyperstyle_deploy-0.1.0-py3-none-any.whl"'
    assert install_command("cpu") == f"pip install {want}"
    installed.update(url="https://example.org/deploy.git", vcs_info={"vcs": "git", "commit_id": "abc"})
    assert install_command("cpu") == 'pip install "hyperstyle-deploy[cpu] @ git+https://example.org/deploy.git@abc"'


def test_what_came_from_nowhere_names_the_packages(installed: dict[str, object], tmp_path: Path) -> None:
    assert install_command("export") == 'pip install "torch<2.14,>=2.10" "onnx>=1.21"'
    installed.update(url=(tmp_path / "gone.whl").as_uri(), archive_info={})
    assert install_command("cpu") == 'pip install "onnxruntime>=1.23"'
