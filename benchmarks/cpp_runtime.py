"""The C++ runtime beside Python's, on ONNX Runtime's CPU: size, load, memory, loop overhead, sessions on threads.

Every measurement runs in a process of its own, the sides in turn, the other one first in every other round.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from measure import NoiseClock, describe_machine, load_average, percent, progress, spread, table

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("hyperstyle-deploy", "onnxruntime", "numpy", "pillow")
SIDES = ("python", "cpp")
#: Goals: bytes of the library, the share of an inversion outside its stages.
MAX_BYTES, MAX_OVERHEAD = 1 << 20, 0.01

# The Python side, with the arguments of benchmarks/cpp/inversions.cpp.
_PYTHON = """
import json, sys, threading, time
from pathlib import Path

mode, bundle, photo = sys.argv[1:4]
steps, threads, count, sessions = (int(text) for text in (sys.argv[4:] + ["1", "1"])[:4])
start = time.perf_counter()
import hyperstyle_deploy as hd
from hyperstyle_deploy.runtime.backends import Options, open_backend
from hyperstyle_deploy.runtime.images import read_photo
from hyperstyle_deploy.runtime.refinement.loop import invert
from hyperstyle_deploy.runtime.profiling.stage_clock import StageClock

def load():
    return hd.load(bundle, backend="onnxruntime", threads=threads)

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024

def fresh():
    session = load()
    loaded = time.perf_counter()
    session.invert(photo, steps=steps)
    return {"load_s": loaded - start, "invert_s": time.perf_counter() - loaded, "peak_bytes": peak()}

def loop():
    opened, rows = hd.Bundle.open(bundle), []
    backend = open_backend("onnxruntime", opened, Options(threads))
    session, clock = hd.Session(opened.manifest, backend), StageClock(backend)
    pixels = read_photo(photo)
    for _ in range(count + 1):
        begin = time.perf_counter()
        invert(clock.as_backend(), session.manifest, session.prepare([pixels]), steps)
        rows.append([time.perf_counter() - begin, sum(span.seconds for span in clock.take())])
    return {"inversions": rows[1:]}

def parallel():
    loaded = [load() for _ in range(sessions)]
    for session in loaded:
        session.invert(photo, steps=steps)
    def work(session):
        for _ in range(count):
            session.invert(photo, steps=steps)
    workers = [threading.Thread(target=work, args=(session,)) for session in loaded]
    begin = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return {"photos_per_s": sessions * count / (time.perf_counter() - begin)}

print(json.dumps({"fresh": fresh, "loop": loop, "parallel": parallel}[mode]()))
"""


def main() -> None:
    """Build, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path, help="a float32 bundle")
    parser.add_argument("--photo", type=Path, default=ROOT / "demo.png")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prefix", type=Path, help="what get_dependencies.sh filled (default: fill one, it needs apt)")
    parser.add_argument("--work", type=Path, help="keep the builds here (a temporary folder)")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cpp-runtime-") as folder:
        program, size = build((arguments.work or Path(folder)).resolve(), arguments.prefix)
        result = {
            "machine": describe_machine(2, PACKAGES),
            "load_before": load_average(),
            "steps": arguments.steps,
            "library_bytes": size,
            **measure(program, arguments),
            "load_after": load_average(),
        }
    show(result)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


def build(folder: Path, prefix: Path | None) -> tuple[Path, int]:
    """The measuring program, and the bytes of the stripped shared library."""
    if prefix is None:
        prefix = folder / "prefix"
        run(ROOT / "runtime/cpp/get_dependencies.sh", prefix, environment={"PYTHON": sys.executable})
    paths = f"-DCMAKE_PREFIX_PATH={prefix.resolve()};{prefix.resolve() / 'usr'}"
    for name, source in (("shared", ROOT / "runtime/cpp"), ("timed", ROOT / "benchmarks/cpp")):
        progress(f"building {name}")
        run("cmake", "-S", source, "-B", folder / name, "-DCMAKE_BUILD_TYPE=Release", paths)
        run("cmake", "--build", folder / name, "--parallel", str(os.cpu_count()))
    run("cmake", "--install", folder / "shared", "--prefix", folder / "installed", "--strip")
    library = next(path for path in (folder / "installed").rglob("libhyperstyle_deploy.so.*") if not path.is_symlink())
    return folder / "timed" / "inversions", library.stat().st_size


def measure(program: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Every measurement of both sides, by name."""
    commands: dict[str, list[Path | str]] = {"python": [sys.executable, "-c", _PYTHON], "cpp": [program]}
    inputs = [arguments.bundle.resolve(), arguments.photo.resolve(), arguments.steps]
    cases = {
        "fresh": ("fresh", *inputs, 2),
        "loop": ("loop", *inputs, 2, 2),
        "one session, 2 threads": ("parallel", *inputs, 2, 2, 1),
        "two sessions, 1 thread each": ("parallel", *inputs, 1, 1, 2),
    }
    results: dict[str, Any] = {name: {side: [] for side in SIDES} for name in cases}
    clock, noise = NoiseClock(), []
    for index in range(arguments.rounds):
        clock.lap()
        for name, case in cases.items():
            for side in SIDES if index % 2 == 0 else SIDES[::-1]:
                progress(f"round {index + 1}/{arguments.rounds}: {name}, {side}")
                results[name][side].append(json.loads(run(*commands[side], *case).splitlines()[-1]))
        noise.append(clock.lap())
    return {"measured": results, "noise": noise}


def run(*command: object, environment: dict[str, str] | None = None) -> str:
    """Run a program; its output. Raises RuntimeError with its last words if it fails."""
    result = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    if result.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {(result.stdout + result.stderr).strip()[-3000:]}")
    return result.stdout


def show(result: dict[str, Any]) -> None:
    """Print the table, both sides side by side, and the goals."""
    measured = result["measured"]
    rows = []
    fresh = (("load s", "load_s", 1), ("first inversion s", "invert_s", 1), ("peak GB", "peak_bytes", 1e9))
    for title, key, unit in fresh:
        rows.append(row(title, {side: [one[key] / unit for one in measured["fresh"][side]] for side in SIDES}, 2))
    pairs = {side: [pair for one in measured["loop"][side] for pair in one["inversions"]] for side in SIDES}
    rows.append(row("inversion s", {side: [whole for whole, _ in pairs[side]] for side in SIDES}, 2))
    outside = {side: [1 - stages / whole for whole, stages in pairs[side]] for side in SIDES}
    rows.append(row("outside its stages %", {side: [100 * share for share in outside[side]] for side in SIDES}, 3))
    for name in ("one session, 2 threads", "two sessions, 1 thread each"):
        rows.append(row(f"photos/s, {name}", {s: [one["photos_per_s"] for one in measured[name][s]] for s in SIDES}, 3))
    stolen, others = ([lap[key] for lap in result["noise"]] for key in ("stolen", "others"))
    title = f"C++ and Python, {result['steps']} steps; stolen {percent(stolen)}; others {percent(others)}"
    table(title, ["", *SIDES, "python / cpp"], rows)
    print(f"\nlibrary: {result['library_bytes']} bytes (goal: below {MAX_BYTES})")
    print(f"outside its stages: {median(outside['cpp']):.3%} of an inversion (goal: below {MAX_OVERHEAD:.0%})")


def row(title: str, values: dict[str, list[float]], digits: int) -> list[str]:
    """A line of the table."""
    ratio = median(values["python"]) / median(values["cpp"])
    return [title, *(spread(values[side], digits) for side in SIDES), f"{ratio:.2f}"]


if __name__ == "__main__":
    main()
