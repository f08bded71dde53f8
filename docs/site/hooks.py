"""Hooks of the site: formulas as MathML, pages from outside ``docs/``, and links that work on the site.

``make docs-site`` runs these functions. The Markdown files stay as they are, so that they can also be read in the
repository.
"""

import html
import posixpath
import re
from pathlib import Path
from typing import Any, Final

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

ROOT: Final = Path(__file__).parents[2]

PAGES_OUTSIDE: Final = {
    "CHANGELOG.md": "changelog.md",
    "CODE_OF_CONDUCT.md": "code-of-conduct.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""Files of the root folder that are pages of the site, each with its place there."""

SHIM: Final = "assets/iframe-worker.js"
"""The place of the script with which the search works in pages that are opened from a folder."""

_SHIM_ELSEWHERE: Final = "https://unpkg.com/iframe-worker/shim"
"""The address from which the theme would load this script."""

_LINK: Final = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
_FORMULA: Final = re.compile(r'<(?P<tag>span|div) class="arithmatex">(?P<body>.*?)</(?P=tag)>', re.DOTALL)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages from outside ``docs/``, and the script of the search."""
    for name, place in PAGES_OUTSIDE.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / name)))
    files.append(File.generated(config, SHIM, abs_src_path=str(ROOT / "docs" / "site" / "iframe-worker.js")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Return the text of a page with links that lead to other pages of the site.

    A link to a file that the site lacks, such as a module of the code, becomes the text of the link.
    """
    place = page.file.src_uri
    outside = {there: name for name, there in PAGES_OUTSIDE.items()}
    home = "" if place in outside else posixpath.dirname(f"docs/{place}")

    def replaced(link: re.Match[str]) -> str:
        target, anchor = re.match(r"([^#]*)(#.*)?", link["target"]).groups(default="")
        if not target or re.match(r"[a-z]+:", target):
            return link[0]
        path = posixpath.normpath(posixpath.join(home, target))
        there = PAGES_OUTSIDE.get(path, path.removeprefix("docs/") if path.startswith("docs/") else "")
        if (ROOT / path).is_dir():
            there = posixpath.join(there, "README.md") if there else ""
        if not there or files.get_file_from_path(there) is None:
            return link["text"]
        return f"[{link['text']}]({posixpath.relpath(there, posixpath.dirname(place) or '.')}{anchor})"

    return _outside_fences(markdown, lambda text: _LINK.sub(replaced, text))


def on_page_content(content: str, **_: Any) -> str:
    """Return the HTML of a page with each formula as MathML, which browsers draw without a script or a font."""
    return _FORMULA.sub(lambda found: to_mathml(html.unescape(found["body"]), is_block=found["tag"] == "div"), content)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Return a finished page that loads nothing from another server."""
    return output.replace(_SHIM_ELSEWHERE, posixpath.relpath(SHIM, posixpath.dirname(page.file.dest_uri) or "."))


def on_post_template(output: str, **_: Any) -> str:
    """Return a finished page that is made from a template alone, such as that of a wrong address."""
    return output.replace(_SHIM_ELSEWHERE, SHIM)


def to_mathml(tex: str, *, is_block: bool) -> str:
    r"""Return a formula as MathML. ``tex`` may be enclosed in ``\(...\)`` or ``\[...\]``."""
    inner = re.sub(r"^\s*\\[(\[]|\\[)\]]\s*$", "", tex.strip())
    # The converter knows no sizes of brackets, which MathML stretches by itself.
    inner = re.sub(r"\\(big|Big)\s*", "", inner)
    return convert(inner, display="block" if is_block else "inline")


def _outside_fences(markdown: str, change: Any) -> str:
    """Return a text in which ``change`` was applied to everything that is not a fenced block."""
    parts = re.split(r"(^```.*?^```[ ]*$)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else change(part) for part in parts)
