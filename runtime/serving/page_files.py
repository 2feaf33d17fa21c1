"""The page's files: one page, whether a server or the browser itself answers it."""

from pathlib import Path

#: `index.html` is at an address's root, all others are in `page/` below it.
PAGE = Path(__file__).parent / "page"
#: What both have. They differ in the module `service.js`, which either asks a server or does the work.
SHARED = (PAGE / "page.css", *sorted(PAGE.glob("*.js")))
