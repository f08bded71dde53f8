"""The page docs/licences.md: every package of the lock, its licence, and the images that it is in.

Licences are what a package says of itself where it is installed, so this runs in the environment of the lock:
``make licences``. A package that only other platforms install is listed by name.
"""

import re
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
IMAGES = ("control", "trainer")
_MAX_LENGTH = 60
_INTRODUCTION = """\
# Licences

Every package of [requirements.lock](../requirements.lock), with the licence that it names itself, and the images that
it is in. Packages in no image are for development. `make licences` writes this page, and a test holds it to the lock.

| Package | Version | Licence | Images |
|---|---|---|---|
"""


def locked(path: Path) -> list[tuple[str, str]]:
    """Return name and version of each line of a lock; platforms may have versions of their own."""
    lines = path.read_text(encoding="utf-8").splitlines()
    found = (re.match(r"([\w.-]+)(?:\[[\w,-]+\])?==([^\s;]+)", line) for line in lines)
    return sorted((match[1], match[2]) for match in found if match)


def licence_of(package: str) -> str:
    """Return what an installed package says of its licence: an expression, else classifiers, else its first line."""
    try:
        said = metadata.metadata(package)
    except metadata.PackageNotFoundError:
        return "not installed on this platform"
    expression = said.get("License-Expression") or ""
    classifiers = [text.split(" :: ")[-1] for text in said.get_all("Classifier") or [] if text.startswith("License ::")]
    (line, *_) = (said.get("License") or "").strip().splitlines() or [""]
    licence = expression or ", ".join(dict.fromkeys(classifiers)) or line or "not named"
    return licence.replace("|", "/")[:_MAX_LENGTH]


def page() -> str:
    """Return the whole page."""
    parts = {image: dict(locked(ROOT / "images" / image / "requirements.txt")) for image in IMAGES}
    rows = [
        f"| {name} | {version} | {licence_of(name)} | {', '.join(image for image in IMAGES if name in parts[image])} |"
        for name, version in locked(ROOT / "requirements.lock")
    ]
    return _INTRODUCTION + "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
