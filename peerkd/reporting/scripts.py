"""The scripts of a page. A page contains them in full, and its content security policy allows no others.

``assets`` has our own scripts, one file for each concern, and ``assets/vendor`` the libraries, as they are published.
"""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Final, NamedTuple

from markupsafe import Markup

_LIBRARIES: Final = ("vendor/d3.min.js", "vendor/plot.umd.min.js")
"""The scripts of libraries. d3 comes first, because Observable Plot needs its global name ``d3``."""

_EVERY_PAGE: Final = ("format", "save", "figures", "network", "charts", "tables", "matrices", "contents")

_LIST: Final = ("format", "save", "figures", "tables", "runs")
"""The scripts of the page that lists runs."""

EXPLORER: Final = ("study", "surfaces", "pairs", "pair")
"""The names of the scripts that show any pair and setting of a sweep. They follow the scripts that every page has."""


class Script(NamedTuple):
    """The text of a script element, and the source expression of a content security policy that allows it."""

    text: Markup
    source: str


@cache
def page_scripts(more: Sequence[str] = ()) -> tuple[Script, ...]:
    """Return the scripts of a page in their order: each library, then all of our own scripts as one.

    Args:
        more: Names of further scripts in ``assets``, such as ``EXPLORER``. They come last.
    """
    own = "\n".join(_read(f"{name}.js") for name in (*_EVERY_PAGE, *more, "start"))
    return tuple(_script(text) for text in (*map(_read, _LIBRARIES), own))


@cache
def list_script() -> Script:
    """Return the script of the page that lists runs. It draws no charts, so it needs no libraries."""
    return _script("\n".join(_read(f"{name}.js") for name in _LIST))


def _script(text: str) -> Script:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Script(Markup(text), f"'sha256-{digest}'")


def _read(name: str) -> str:
    return resources.files("peerkd.reporting").joinpath("assets", name).read_text(encoding="utf-8")
