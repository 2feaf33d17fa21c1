"""`export-triton`: a bundle as a model for Triton Inference Server."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from .options import (
    BATCH_OPTION,
    BATCH_WAIT_OPTION,
    FILE,
    GENERATOR_OPTION,
    WAITING_OPTION,
    loading_options,
    user_errors,
)
from .parameters import Real

_RUNTIME = click.option(
    *("--runtime", "backend"),
    default="auto",
    show_default=True,
    help="What runs the graphs there: onnxruntime, openvino, auto; tensorrt, tensorrt-rtx or onnxruntime-cuda.",
)


@click.command("export-triton")
@click.argument("bundle", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="The model repository, made where there is none.")
@click.option("--name", help="What requests call the model; the bundle's (and generator's) unless said.")
@click.option(
    *("--backend", "triton_backend"),
    type=click.Choice(["python", "cpp"]),
    default="python",
    show_default=True,
    help="Who runs the model: this package in Triton's Python backend, or the C++ library as a backend of its own.",
)
@GENERATOR_OPTION
@BATCH_OPTION
@BATCH_WAIT_OPTION
@WAITING_OPTION
@click.option("--deadline", type=Real(0.1), default=120, show_default=True, help="Seconds that a photo may wait.")
@click.option("--instances", type=click.IntRange(1, 64), default=1, show_default=True, help="Sessions of the bundle.")
@partial(loading_options, backend=_RUNTIME)
@user_errors
def export_triton(
    bundle: Path,
    output: Path,
    name: str | None,
    triton_backend: str,
    generator: str | None,
    batch_wait: float,
    loading: dict[str, Any],
    **options: Any,
) -> None:
    """Add a bundle to a model repository of Triton.

    The model's folder holds a copy of the bundle and appears when it is whole. Its inputs and outputs are those of
    `serve`'s /v2, with the batch before every shape.
    """
    from ..runtime.serving.live.served import names_of
    from ..runtime.serving.triton.config import Model
    from ..runtime.serving.triton.repository import add_model

    (own,) = names_of([bundle])
    if name is None:
        name = own if generator is None else f"{own}-{generator}"
    loading["generator"] = generator
    model = Model(name, triton_backend, loading, batch_wait=batch_wait / 1000, **options)
    folder = add_model(bundle, output, model)
    click.echo(f"Model {model.name} is in {folder}. Start Triton with --model-repository {output}")
