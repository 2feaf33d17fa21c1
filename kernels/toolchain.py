"""CUDA's compiler: where it is, and the command that makes one library with code for several architectures."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from ..errors import KernelError

#: Compute capabilities with machine code of their own.
ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
#: The PTX goes to devices newer than that code, which compile it when it is first loaded; 10.0 also covers 11.0.
PTX = 100
#: The first release that knows all of ``ARCHITECTURES``.
OLDEST = (12, 8)
SOURCE = Path(__file__).parent / "library.cu"


def find_nvcc(given: Path | None = None) -> Path:
    """The compiler to use: ``given``, or the first of PATH, CUDA_HOME, CUDA_PATH, /usr/local/cuda, and NVIDIA's wheels.

    Raises:
        KernelError: there is none, or it is too old.
    """
    places = [given] if given else [*_on_path(), *_in_toolkits(), *_in_wheels()]
    found = next((place for place in places if os.access(place, os.X_OK)), None)
    if found is None:
        raise KernelError(
            "There is no CUDA compiler",
            got=f"no executable {given}" if given else "no nvcc in PATH, CUDA_HOME, /usr/local/cuda or NVIDIA's wheels",
            expected=f"nvcc {'.'.join(map(str, OLDEST))} or later",
            hint="Install CUDA's toolkit, or: pip install nvidia-cuda-nvcc nvidia-cuda-runtime nvidia-cuda-cccl",
        )
    if release(found) < OLDEST:
        got, expected = (".".join(map(str, version)) for version in (release(found), OLDEST))
        raise KernelError("The CUDA compiler is too old", got=f"{found} {got}", expected=f"{expected} or later")
    return found


def _on_path() -> list[Path]:
    found = shutil.which("nvcc")
    return [Path(found)] if found else []


def _in_toolkits() -> list[Path]:
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    return [Path(home, "bin", "nvcc") for home in homes if home]


def _in_wheels() -> list[Path]:
    """The wheel nvidia-cuda-nvcc puts a toolkit's tree into the namespace package ``nvidia``."""
    spec = find_spec("nvidia")
    folders = spec.submodule_search_locations if spec and spec.submodule_search_locations else []
    return [nvcc for folder in folders for nvcc in sorted(Path(folder).glob("cu*/bin/nvcc"), reverse=True)]


def release(nvcc: Path) -> tuple[int, int]:
    """Its release, as (13, 0).

    Raises:
        KernelError: it does not run, or is no nvcc.
    """
    try:
        text = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=False).stdout
    except OSError as error:
        raise KernelError("The CUDA compiler does not run", got=str(error), expected="nvcc") from error
    found = re.search(r"release (\d+)\.(\d+)", text)
    if not found:
        raise KernelError("The CUDA compiler does not tell its release", got=text[:200], expected="nvcc --version")
    return int(found[1]), int(found[2])


def command(nvcc: Path, target: Path, architectures: Sequence[int], threads: int, source: Path = SOURCE) -> list[str]:
    """What makes the library ``target``.

    It contains CUDA's runtime, so it needs nothing but the driver, and that only for a launch; it shows the functions
    of modulate.h and arithmetic.h alone; ptxas reports what each kernel uses.
    """
    codes = [(sm, f"sm_{sm}") for sm in architectures] + [(PTX, f"compute_{PTX}")]
    targets = [f"-gencode=arch=compute_{virtual},code={real}" for virtual, real in codes]
    library = ["-shared", "-cudart=static", "-Xcompiler=-fPIC,-fvisibility=hidden", "-Xlinker=--exclude-libs=ALL,-s"]
    options = ["-std=c++17", "-O3", "-Werror=all-warnings", f"--threads={threads}", "-Xptxas=-v"]
    return [str(nvcc), *options, *library, *targets, "-o", str(target), str(source)]


def compile_library(nvcc: Path, target: Path, architectures: Sequence[int], threads: int, source: Path = SOURCE) -> str:
    """Run ``command``; return what ptxas reports.

    Raises:
        KernelError: the compiler failed; the message ends with what it said.
    """
    line = command(nvcc, target, architectures, threads, source)
    # nvcc finds its host compiler and libraries by its real path; its messages are parsed, so they stay untranslated.
    result = subprocess.run(line, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    if result.returncode != 0:
        said = (result.stdout + result.stderr).strip().splitlines()[-20:]
        raise KernelError(
            f"The kernel does not compile: {' '.join(line)}", got=f"exit code {result.returncode}", lines=said
        )
    return result.stdout + result.stderr
