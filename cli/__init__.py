"""The command line: thin commands over the rooms, one module each, that import what they need when they run."""

from pathlib import Path

import click

from .. import __version__
from .align import align, paste
from .animate import animate
from .batch import batch
from .build import build
from .calibrate import calibrate
from .demo import demo
from .directions import directions
from .edit import edit
from .evaluate import evaluate
from .export import export
from .export_triton import export_triton
from .export_web import export_web
from .import_pti import import_pti
from .inspect import inspect
from .invert import invert
from .options import FILE, user_errors
from .personalize import personalize
from .profile import profile
from .serve import serve
from .stopping import heeding_signals
from .verify import verify

#: Commands that finish what they have begun when they are told to stop.
DRAINING = ("batch", "serve")


class InOrder(click.Group):
    """Lists its commands in the order in which they were added: that of the work."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=InOrder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-q", "--quiet", is_flag=True, help="Show no progress: results and errors alone.")
@click.option("-v", "--verbose", is_flag=True, help="Tell on standard error what goes on, with its seconds.")
@click.option("--log-file", type=FILE, help="Add the same to the end of this file, with dates.")
@click.version_option(__version__)
@click.pass_context
@user_errors
def main(context: click.Context, quiet: bool, verbose: bool, log_file: Path | None) -> None:
    """Export StyleGAN inversion checkpoints to bundles of ONNX graphs, and invert photos with them without PyTorch.

    `demo` shows the whole work in one go. Options here stand before the command: hyperstyle-deploy -v invert ...
    """
    from .show.text import set_up

    context.with_resource(heeding_signals(drains=context.invoked_subcommand in DRAINING))
    set_up(quiet, verbose, log_file)


# In working order.
for command in (
    *(demo, inspect, export, verify, align, invert, directions, edit, animate, paste, personalize, import_pti),
    *(batch, serve, export_triton, export_web, evaluate, profile, calibrate, build),
):
    main.add_command(command)
