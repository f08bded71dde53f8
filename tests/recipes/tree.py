"""A recipe of CONTRIBUTING as edits and new files, and a copy of the tree to apply it to."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Edit:
    """One change of a file. Its place is found by an anchor, so changes elsewhere in the file do not matter."""

    file: str
    anchor: str
    """The anchor: text that is in exactly one line of the file."""

    below: str = ""
    """Lines that are inserted below that line."""

    above: str = ""
    """Lines that are inserted above it."""

    instead: str = ""
    """Text that replaces the anchor in its line."""

    def num_places(self, tree: Path) -> int:
        """Return the number of lines with the anchor, which must be 1."""
        return sum(self.anchor in line for line in (tree / self.file).read_text(encoding="utf-8").splitlines())

    def apply(self, tree: Path) -> None:
        path = tree / self.file
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        (place,) = (place for place, line in enumerate(lines) if self.anchor in line)
        if self.instead:
            lines[place] = lines[place].replace(self.anchor, self.instead)
        lines[place:place] = [self.above] if self.above else []
        if self.below:
            lines.insert(place + 1, self.below)
        path.write_text("".join(lines), encoding="utf-8")


@dataclass(frozen=True)
class Recipe:
    """A recipe as a person would follow it. New files are in the folder with its name, at their place in the tree."""

    title: str
    """The line of CONTRIBUTING that begins the recipe."""

    edits: Sequence[Edit] = ()

    copies: dict[str, str] = field(default_factory=dict)
    """Files of the tree that become new files, by the name of the new one."""

    max_package_files: int = 3
    """The largest number of files of the package that the recipe may change."""

    tests: tuple[str, ...] = ()
    """Paths for pytest, which the recipe names."""

    selected: str = ""
    """An expression that selects the tests of these files that concern the recipe."""


def copy_tree(to: Path) -> Path:
    """Copy everything except results and hidden files. Compiled modules are included, which saves their compilation."""

    def left_out(folder: str, names: list[str]) -> set[str]:
        results = {"runs", "dist"} if Path(folder) == ROOT else set()
        return {name for name in names if name.startswith(".") or name in results}

    shutil.copytree(ROOT, to, ignore=left_out)
    return to


def new_files(name: str) -> dict[str, Path]:
    """Return the new files of a recipe by their place in the tree."""
    folder = FOLDER / name
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if _is_source(path)}


def _is_source(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def touched(name: str, recipe: Recipe) -> list[str]:
    """Return all files that the recipe changes or adds."""
    return sorted({*(edit.file for edit in recipe.edits), *new_files(name), *recipe.copies})


def apply(name: str, recipe: Recipe, tree: Path) -> None:
    """Apply the recipe to a copy of the tree."""
    for place, path in new_files(name).items():
        assert not (tree / place).exists(), f"{place} exists already."
        (tree / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tree / place)
    for place, source in recipe.copies.items():
        shutil.copy(tree / source, tree / place)
    for edit in recipe.edits:
        edit.apply(tree)


def run(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this interpreter in a copy of the tree, with the package of the copy."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    for name in [name for name in environment if name.startswith(("PYTEST_", "COV_"))]:
        del environment[name]
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)


def text_of(title: str) -> str:
    """Return the steps of a recipe in CONTRIBUTING."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = re.search(rf"^{re.escape(title)}\n\n((?:[0-9]+\. .*\n(?:   .*\n|\n(?=   ))*)+)", page, re.MULTILINE)
    assert found, f"CONTRIBUTING.md must have a recipe that begins with the line {title!r}."
    return found[1]
