"""`export-web`: the page without a server."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..demo import BUNDLE, FACE
from ..runtime.manifest.strict_json import dump
from .options import FILE, JSON_OPTION, user_errors

if TYPE_CHECKING:
    from ..runtime.serving.web.site import Site


@click.command("export-web")
@click.argument("bundle", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="The folder to write, for any static host.")
@click.option(
    "--runtime", type=FILE, help="Folder with ONNX Runtime Web's files, such as node_modules/onnxruntime-web/dist."
)
@click.option("--name", help="What the page calls the bundle; its folder's name unless said.")
@click.option("--overwrite", is_flag=True, help="Replace a site that is there.")
@JSON_OPTION
@user_errors
def export_web(
    bundle: Path, output: Path, runtime: Path | None, name: str | None, overwrite: bool, as_json: bool
) -> None:
    """Write the page as a folder that any static host can serve.

    Inversion, steps and sliders run on the visitor's machine. ONNX Runtime Web comes from npm unless --runtime names a
    folder that has its files.
    """
    from ..runtime.bundle.reader import Bundle
    from ..runtime.serving.live.served import names_of
    from ..runtime.serving.web.onnxruntime_web import read_runtime
    from ..runtime.serving.web.site import check_runs, export_site

    opened = Bundle.open(bundle)
    check_runs(opened)
    example = FACE.read_bytes() if bundle.resolve() == BUNDLE.resolve() else None
    (own,) = names_of([bundle])
    site = export_site(opened, name or own, read_runtime(runtime), output, example, overwrite)
    click.echo(dump(site.to_json())) if as_json else _show(site)


def _show(site: "Site") -> None:
    from .show.text import OUT, size

    loads = " or ".join(f"{size(site.model + more)} ({device})" for device, more in site.runtime.items())
    OUT.print(f"{site.path}  a visitor loads {loads}")
    OUT.print(f"Try it: python3 -m http.server --bind 127.0.0.1 --directory {site.path}")
