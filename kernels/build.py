"""``python -m hyperstyle_deploy.kernels.build``: the CUDA library and what its kernels use. Needs nvcc, but no GPU."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ..errors import HyperStyleDeployError, KernelError, OutputError
from .library import LIBRARY, KernelLibrary
from .resources import Usage, check, code_in, parse, table
from .toolchain import ARCHITECTURES, PTX, SOURCE, compile_library, find_nvcc, release


def build(
    target: Path = LIBRARY,
    *,
    nvcc: Path | None = None,
    architectures: Sequence[int] = ARCHITECTURES,
    threads: int = 0,
    source: Path = SOURCE,
) -> list[Usage]:
    """Compile the library and put it at ``target`` once it has passed every check: no spills, no local memory, code for
    every architecture and PTX, and it loads.

    Args:
        target: the shared library; by default where ``KernelLibrary`` looks.
        nvcc: the compiler; found by itself unless given.
        architectures: compute capabilities times ten; those of ``ARCHITECTURES``.
        threads: architectures to compile side by side; 0 for all cores.
        source: what to compile.

    Returns:
        What every kernel uses on every architecture.

    Raises:
        KernelError: there is no compiler, it fails, or a check does.
        OutputError: the library cannot be written.
    """
    unknown = sorted(set(architectures) - set(ARCHITECTURES))
    if unknown or not architectures:
        raise KernelError("Unknown architectures", got=unknown or "none", expected=f"some of {list(ARCHITECTURES)}")
    compiler = find_nvcc(nvcc)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target, so that it can be renamed into place: a program that has the old one loaded keeps it.
        with tempfile.TemporaryDirectory(prefix=".build-", dir=target.parent) as folder:
            made = Path(folder) / target.name
            usages = parse(compile_library(compiler, made, architectures, threads, source))
            check(usages, architectures)
            _check_code(made, architectures)
            KernelLibrary(made)
            os.replace(made, target)
    except OSError as error:
        raise OutputError(
            f"Cannot write {target}", got=str(error), hint="Choose another place with --output."
        ) from error
    return usages


def _check_code(library: Path, architectures: Sequence[int]) -> None:
    machine, ptx = code_in(library)
    if machine != set(architectures) or ptx != {PTX}:
        raise KernelError(
            "The library lacks code",
            got=f"machine code for {sorted(machine)}, PTX for {sorted(ptx)}",
            expected=f"machine code for {sorted(architectures)}, PTX for {PTX}",
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Prints the report; exit code 0, or 2 with a message after an error."""
    parser = argparse.ArgumentParser(prog="python -m hyperstyle_deploy.kernels.build", description=__doc__)
    parser.add_argument("--output", type=Path, default=LIBRARY, help="the library (default: in the installed package)")
    parser.add_argument("--nvcc", type=Path, help="the compiler (default: PATH, CUDA_HOME, /usr/local/cuda, wheels)")
    parser.add_argument(
        "--architectures",
        type=lambda text: [int(part) for part in text.split(",")],
        default=list(ARCHITECTURES),
        metavar="75,80,...",
        help="compute capabilities times ten (default: all of %(default)s)",
    )
    parser.add_argument("--threads", type=int, default=0, help="architectures side by side (default: all cores)")
    options = parser.parse_args(arguments)
    start = time.monotonic()
    try:
        nvcc = find_nvcc(options.nvcc)
        usages = build(options.output, nvcc=nvcc, architectures=options.architectures, threads=options.threads)
    except HyperStyleDeployError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 2
    size = options.output.stat().st_size / 1e6
    made = f"{options.output}: {size:.1f} MB, PTX for sm_{PTX} and newer"
    took = f"nvcc {'.'.join(map(str, release(nvcc)))}, {time.monotonic() - start:.0f} s"
    sys.stdout.write(f"{table(usages)}\n{made}; {took}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
