"""What the report pages share: templates with every value escaped, and figures that go into a page as SVG."""

import re
from importlib.util import find_spec
from io import StringIO
from typing import TYPE_CHECKING, Any

from ...errors import OutputError
from ...install_hint import install_command

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure


def require_report() -> None:
    """See that the extra is installed, before anything is run.

    Raises:
        OutputError: it is not.
    """
    missing = [name for name in ("matplotlib", "jinja2") if find_spec(name) is None]
    if missing:
        raise OutputError(
            "A page needs packages that are not installed",
            got=f"no {', '.join(missing)}",
            hint=f"Install them with: {install_command('report')}",
        )


def render(template: str, **values: Any) -> str:
    """Fill a template that lies beside this module; strings are escaped unless they are ``Markup``.

    Args:
        template: the file's name, such as ``verification.html.j2``.
        values: what the template calls for; a name that it uses and that is not here is an error.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    folder = PackageLoader(__package__ or "", ".")
    environment = Environment(loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.get_template(template).render(values)


def svg(figure: "Figure") -> "Markup":
    """A figure as an `<svg>` element that can stand in a page; make it with ``Figure(...)``, which needs no display."""
    from markupsafe import Markup
    from matplotlib import rc_context

    text = StringIO()
    # Letters as paths look the same on every machine; a fixed salt gives the same figure the same bytes.
    with rc_context({"svg.fonttype": "path", "svg.hashsalt": "hyperstyle-deploy"}):
        figure.savefig(text, format="svg", bbox_inches="tight", metadata={"Date": None})
    # No XML declaration and no description of the file: this is part of a page.
    return Markup(re.sub(r"^.*?(?=<svg)|<metadata>.*?</metadata>", "", text.getvalue(), flags=re.DOTALL))
