"""The command line: thin commands over the rooms, one module each, that import what they need when they run."""

import signal
from types import FrameType

import click

from .. import __version__
from .build import build
from .calibrate import calibrate
from .demo import demo
from .evaluate import evaluate
from .export import export
from .inspect import inspect
from .invert import invert
from .profile import profile
from .verify import verify


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
def main() -> None:
    """Export HyperStyle checkpoints to bundles of ONNX graphs, and invert photos with them, without PyTorch."""
    signal.signal(signal.SIGTERM, _terminated)


def _terminated(number: int, frame: FrameType | None) -> None:
    """A terminated run cleans up as an interrupted one does; the exception carries the signal, for the exit status."""
    raise KeyboardInterrupt(number)


for command in (inspect, export, build, calibrate, invert, verify, evaluate, profile, demo):
    main.add_command(command)
