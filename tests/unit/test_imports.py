"""The base install alone: every runtime module imports and every --help prints without the heavy packages."""

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from hyperstyle_deploy.install_hint import install_command

ROOT = Path(__file__).parents[2]
HEAVY = (
    "torch",
    "onnx",
    "onnx_ir",
    "onnxscript",
    "onnxruntime",
    "openvino",
    "tensorrt",
    "tensorrt_rtx",
    "pycuda",
    "cuda",
    "matplotlib",
    "jinja2",
    "lpips",
    "ml_dtypes",
    "av",
    "pyarrow",
    "ray",
    "starlette",
    "uvicorn",
    "prometheus_client",
)

BLOCKED = f"""
import importlib.abc, sys
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
"""


def in_base_install(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", BLOCKED + program], capture_output=True, text=True, timeout=120)


def light_modules() -> list[str]:
    files = [*ROOT.glob("*.py"), *(ROOT / "runtime").rglob("*.py"), *(ROOT / "kernels").rglob("*.py")]
    files += [*(ROOT / "export" / "engines").glob("*.py"), *(ROOT / "cli").rglob("*.py")]
    files += [ROOT / "calibration" / "__init__.py", ROOT / "export" / "__init__.py"]
    needs_a_package = {
        "onnx_session.py",
        *("onnxruntime.py", "openvino.py", "onnxruntime_cuda.py", "__main__.py"),
        *("cuda.py", "cuda_calls.py", "cuda_memory.py"),
    }
    names = []
    for file in files:
        if file.name not in needs_a_package and file.parent.name != "http":
            parts = file.relative_to(ROOT).with_suffix("").parts
            names.append(".".join(("hyperstyle_deploy", *parts)).removesuffix(".__init__"))
    return names


def test_every_light_module_imports() -> None:
    names = light_modules()
    assert len(names) > 15
    result = in_base_install("import importlib\n" + "\n".join(f"importlib.import_module({name!r})" for name in names))
    assert result.returncode == 0, result.stderr


def test_the_whole_public_api_is_there() -> None:
    result = in_base_install("import hyperstyle_deploy as hd\nfor name in hd.__all__: getattr(hd, name)")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    "command",
    [
        None,
        "inspect",
        "export",
        "build",
        "calibrate",
        "invert",
        "batch",
        "serve",
        "verify",
        "evaluate",
        "profile",
        "demo",
    ],
)
def test_help_prints(command: str | None) -> None:
    arguments = [command, "--help"] if command else ["--help"]
    result = in_base_install(f"from hyperstyle_deploy.cli import main\nmain({arguments!r})")
    assert result.returncode == 0, result.stderr
    assert "Usage:" in result.stdout


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("x/data.pkl", b"")
    result = in_base_install(f"from hyperstyle_deploy.cli import main\nmain(['inspect', {str(tmp_path / 'x.pt')!r}])")
    assert result.returncode == 2
    assert install_command("export") in result.stderr
    no_spec = "import hyperstyle_deploy.runtime.backends as backends\nbackends.find_spec = lambda name: None\n"
    result = in_base_install(no_spec + "import hyperstyle_deploy as hd\nhd.load('x')")
    assert "BackendError: No backend for the CPU is installed" in result.stderr
    assert install_command("cpu") in result.stderr


def test_a_missing_package_is_in_the_commands_own_extra(toys: Callable[..., Path], tmp_path: Path) -> None:
    arguments = ["calibrate", str(toys()), str(tmp_path), "-o", str(tmp_path / "out")]
    result = in_base_install(f"from hyperstyle_deploy.cli import main\nmain({arguments!r})")
    assert result.returncode == 2
    assert install_command("calibrate") in result.stderr


def test_a_missing_builder_is_named(toys: Callable[..., Path]) -> None:
    for target, extra in (("tensorrt", "tensorrt"), ("tensorrt-rtx", "tensorrt-rtx")):
        arguments = ["build", str(toys()), "--target", target]
        result = in_base_install(f"from hyperstyle_deploy.cli import main\nmain({arguments!r})")
        assert result.returncode == 2
        assert install_command(extra) in result.stderr
    assert not (toys() / "engines").exists()


def test_the_runtime_never_imports_torch() -> None:
    program = "import sys\nimport hyperstyle_deploy.runtime.backends.onnxruntime\nassert 'torch' not in sys.modules"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
