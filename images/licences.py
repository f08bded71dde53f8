"""The page docs/licences.md: every package of the lock, with its licence and the images that contain it.

The licences come from the metadata of the installed packages, so ``make licences`` runs this program in the environment
of the lock. A package that is installed only on other platforms is listed without a licence.
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

This page lists every package of [requirements.lock](../requirements.lock) with the licence in its own metadata and the
images that contain it. Packages in no image are for development. `make licences` writes this page, and a test compares
it with the lock.

Reports contain two libraries in JavaScript, d3 and Observable Plot, both with the ISC licence. They and their licences
are in [peerkd/reporting/assets/vendor](../peerkd/reporting/assets/vendor/README.md).

| Package | Version | Licence | Images |
|---|---|---|---|
"""


def locked(path: Path) -> list[tuple[str, str]]:
    """Return the names and versions of the packages in a lock file, sorted.

    A package may occur with several versions, each for other platforms.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    found = (re.match(r"([\w.-]+)(?:\[[\w,-]+\])?==([^\s;]+)", line) for line in lines)
    return sorted((match[1], match[2]) for match in found if match)


def licence_of(package: str) -> str:
    """Return the licence of an installed package, as its metadata state it.

    It is the licence expression; without one, the licence classifiers; without these, the first line of the licence.
    """
    try:
        found = metadata.metadata(package)
    except metadata.PackageNotFoundError:
        return "not installed on this platform"
    expression = found.get("License-Expression") or ""
    classifiers = [
        text.split(" :: ")[-1] for text in found.get_all("Classifier") or [] if text.startswith("License ::")
    ]
    (line, *_) = (found.get("License") or "").strip().splitlines() or [""]
    licence = expression or ", ".join(dict.fromkeys(classifiers)) or line or "not named"
    return licence.replace("|", "/")[:_MAX_LENGTH]


def page() -> str:
    """Return the whole page as Markdown."""
    parts = {image: dict(locked(ROOT / "images" / image / "requirements.txt")) for image in IMAGES}
    rows = [
        f"| {name} | {version} | {licence_of(name)} | {', '.join(image for image in IMAGES if name in parts[image])} |"
        for name, version in locked(ROOT / "requirements.lock")
    ]
    return _INTRODUCTION + "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
