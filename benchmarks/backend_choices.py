"""What the backends' settings cost and save: each choice beside its alternative, in fresh processes, in turn."""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

RUNS = 7

#: Name of a variant -> (graph, engine, settings). Variants of one graph stand one under the other in the table.
VARIANTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "weights, ONNX Runtime, w1 packed (chosen)": ("weights", "onnxruntime", {}),
    "weights, ONNX Runtime, nothing packed": ("weights", "onnxruntime", {"disable_prepacking": True}),
    "weights, OpenVINO": ("weights", "openvino", {"static": True}),
    "synthesis_one, ONNX Runtime, no memory pattern (chosen)": (
        "synthesis_one",
        "onnxruntime",
        {"memory_pattern": False},
    ),
    "synthesis_one, ONNX Runtime, memory pattern": ("synthesis_one", "onnxruntime", {"memory_pattern": True}),
    "synthesis, ONNX Runtime": ("synthesis", "onnxruntime", {"memory_pattern": False}),
    "synthesis_one, OpenVINO (chosen)": ("synthesis_one", "openvino", {"static": True}),
    "synthesis, OpenVINO, static shapes": ("synthesis", "openvino", {"static": True}),
    "synthesis, OpenVINO, dynamic batch": ("synthesis", "openvino", {"static": False}),
}


def main() -> None:
    """Run every variant ``--rounds`` times, in turn, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.variant:
        print(json.dumps(measure(arguments.bundle, arguments.threads, *VARIANTS[arguments.variant])))
        return
    found: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
    for _ in range(arguments.rounds):
        for name, results in found.items():
            command = [sys.executable, __file__, str(arguments.bundle), "--variant", name]
            process = subprocess.run(
                [*command, "--threads", str(arguments.threads)], stdout=subprocess.PIPE, text=True, check=True
            )
            results.append(json.loads(process.stdout))
    print(f"{'':52s} {'load s':>8s} {'run s':>8s} {'least run s':>12s} {'peak GB':>8s}")
    for name, results in found.items():
        load, run, least, peak = (median(r[key] for r in results) for key in ("load", "run", "least", "peak"))
        print(f"{name:52s} {load:8.2f} {run:8.3f} {least:12.3f} {peak:8.2f}")


def measure(bundle: Path, threads: int, graph: str, engine: str, settings: dict[str, Any]) -> dict[str, float]:
    """Load a graph and run it; seconds, and the process's peak memory in GB."""
    load = {"onnxruntime": load_onnxruntime, "openvino": load_openvino}[engine]
    tensors = json.loads((bundle / "bundle.json").read_text())["graphs"][graph]["inputs"]
    random = np.random.default_rng(0)
    shapes = {t["name"]: [1 if isinstance(dim, str) else dim for dim in t["shape"]] for t in tensors}
    # Positive, small, and with energies near 1: no NaN, no denormals.
    inputs = {
        name: np.asarray(random.random(shape) * 0.1 + (name[:6] == "energy"), np.float32)
        for name, shape in shapes.items()
    }
    started = time.perf_counter()
    run = load(bundle / f"{graph}.onnx", threads, inputs, settings)
    loaded = time.perf_counter() - started
    run()
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {"load": loaded, "run": median(times), "least": min(times), "peak": peak}


def load_onnxruntime(path: Path, threads: int, inputs: dict[str, Any], settings: dict[str, Any]) -> Callable[[], Any]:
    """A session on the graph."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_mem_pattern = settings.get("memory_pattern", False)
    if settings.get("disable_prepacking"):
        options.add_session_config_entry("session.disable_prepacking", "1")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, inputs)


def load_openvino(path: Path, threads: int, inputs: dict[str, Any], settings: dict[str, Any]) -> Callable[[], Any]:
    """A compiled model of the graph."""
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    if settings["static"]:
        model.reshape({name: list(array.shape) for name, array in inputs.items()})
    config = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(model, "CPU", config).create_infer_request()
    return lambda: request.infer(inputs, share_inputs=True, share_outputs=True)


if __name__ == "__main__":
    main()
