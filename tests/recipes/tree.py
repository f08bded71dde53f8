"""A recipe of CONTRIBUTING as edits and new files, and a copy of the tree to apply it to."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
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

    def find(self, tree: Path) -> int:
        """Return the number of the line with the anchor.

        Raises:
            ValueError: If not exactly one line has it.
        """
        lines = (tree / self.file).read_text(encoding="utf-8").splitlines()
        places = [place for place, line in enumerate(lines) if self.anchor in line]
        if len(places) != 1:
            raise ValueError(
                f"{self.file} must have one line with {self.anchor!r}, got {len(places)}. The test of a recipe inserts "
                "its example at this line: set the anchor in tests/recipes/recipes.py to text that only one line has."
            )
        return places[0]

    def apply(self, tree: Path) -> None:
        place = self.find(tree)
        path = tree / self.file
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        if self.instead:
            lines[place] = lines[place].replace(self.anchor, self.instead)
        lines[place : place + 1] = [self.above, lines[place], self.below]
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

    word: str = "example"
    """The word that all names of the recipe's addition have in common."""

    def renamed(self, text: str) -> str:
        """Return text in which the addition has another name, as if somebody else had followed the recipe."""
        for write in (str.lower, str.capitalize, str.upper):
            text = text.replace(write(self.word), write("another"))
        return text


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
    _apply(name, recipe, tree, str)


def apply_as_another(name: str, recipe: Recipe, tree: Path) -> None:
    """Apply the recipe to a copy of the tree with another name for the addition."""
    _apply(name, recipe, tree, recipe.renamed)


def _apply(name: str, recipe: Recipe, tree: Path, rename: Callable[[str], str]) -> None:
    sources = {**new_files(name), **{place: tree / source for place, source in recipe.copies.items()}}
    for place, source in sources.items():
        path = tree / rename(place)
        assert not path.exists(), f"{path} exists already."
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rename(source.read_text(encoding="utf-8")), encoding="utf-8")
    for edit in recipe.edits:
        inserted = {part: rename(getattr(edit, part)) for part in ("above", "below", "instead")}
        replace(edit, **inserted).apply(tree)


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
