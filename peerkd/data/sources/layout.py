"""Which folder below a root is which split, and which of the folders in it are classes.

A folder is a split by its name, in any case of its letters: ``train``, ``Training``, ``val``, ``validation``, ``test``,
``test_set`` and their like. Nothing is guessed: two folders for one split, a split without classes and splits inside
of classes are refused.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple, get_args

from peerkd.data.passed_over import Tally, printable
from peerkd.data.sources.decoding import image_suffixes
from peerkd.data.sources.folders import entry_kind, folder_id, is_hidden, list_entries
from peerkd.errors import DataSourceError

Split = Literal["train", "validation", "test"]

HIDDEN: Final = "hidden files and folders"
OTHER_FILES: Final = "files of other formats"
SPECIAL_FILES: Final = "links that lead nowhere or back, pipes, sockets and devices"
OUTSIDE_CLASSES: Final = "images outside of class folders"
OUTSIDE_SPLITS: Final = "images in folders that are no split"
EMPTY_CLASSES: Final = "class folders without images"

_SPLIT_NAMES: Final[Mapping[str, Split]] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "validate": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
_NUM_NAMED: Final = 10


class Layout(NamedTuple):
    """The splits of a folder of images."""

    splits: Mapping[Split, str]
    """The name of each split's folder, the training split's first; that one is empty where the root has no splits."""

    class_folders: Mapping[Split, tuple[str, ...]]
    """Names of the folders in each split."""


def split_of(name: str) -> Split | None:
    """Return which split a folder of this name is, None if it is none."""
    return _SPLIT_NAMES.get(re.sub(r"[ ._-]?(set|split|data|images)$", "", name.casefold()))


def find_layout(root: Path, tally: Tally) -> Layout:
    """Find the splits and the class folders below ``root``; what is neither is counted.

    Raises:
        DataSourceError: If they cannot be told apart.
    """
    folders = _list_folders(root, "", tally)
    named: dict[Split, list[str]] = {split: [] for split in get_args(Split)}
    for name in folders:
        split = split_of(name)
        if split is not None:
            named[split].append(name)
    # A data set of vehicles may well have a class called train: a split is a folder of folders.
    nested = {name for names in named.values() for name in names if _has_folders(root / name)}
    if not nested.intersection(named["train"]):
        return _unsplit(root, folders, named, nested, tally)
    for split, candidates in named.items():
        if len(candidates) > 1:
            raise DataSourceError(
                f"data.path: {_shown(root)} must hold one folder for the {split} split, it holds "
                f"{enumerate_some(candidates)}; move all but one of them elsewhere."
            )
    splits: dict[Split, str] = {split: names[0] for split, names in named.items() if names}
    for name in folders:
        if name not in splits.values():
            for path in sorted(_images_below(root, name, tally, refuse_splits=False)):
                tally.add(OUTSIDE_SPLITS, path)
    class_folders = {split: _list_folders(root / name, f"{name}/", tally) for split, name in splits.items()}
    for split, names in class_folders.items():
        if not names:
            raise DataSourceError(
                f"data.path: {_shown(root / splits[split])} must contain one folder per class, it contains none; "
                "images without a class folder have no label. Sort them into folders, or move them elsewhere."
            )
    return Layout(splits, class_folders)


def _unsplit(
    root: Path, folders: tuple[str, ...], named: Mapping[Split, list[str]], nested: set[str], tally: Tally
) -> Layout:
    """Return the layout of a root whose folders are the classes."""
    if nested:
        raise DataSourceError(
            f"data.path: {_shown(root)} holds {enumerate_some(sorted(nested))}, which is a split by its name, and no "
            "train folder with one folder per class; add one, or rename what is a class."
        )
    roles = [split for split, names in named.items() if names]
    if len(roles) > 1 and all(split_of(name) for name in folders):
        raise DataSourceError(
            f"data.path: {_shown(root)} holds {enumerate_some(folders)}, and each must contain one folder per class, "
            "they contain none."
        )
    if not folders:
        raise DataSourceError(f"data.path: {_shown(root)} must contain one folder per class, it contains none.")
    if len(folders) == 1 and _has_folders(root / folders[0]) and not _has_images(root / folders[0]):
        inner = _shown(root / folders[0])
        raise DataSourceError(
            f"data.path: {_shown(root)} must contain one folder per class, it contains only {inner}; if that one holds "
            f"the classes, set data.path={inner}."
        )
    return Layout({"train": ""}, {"train": folders})


def list_class(root: Path, relative_folder: str, tally: Tally) -> list[str]:
    """List the images in a class folder and in the folders inside of it, sorted.

    Whatever has the suffix of an image is one, so that a link that leads nowhere or a pipe of such a name is not lost
    among other files.

    Args:
        root: Of the data set.
        relative_folder: The folder of one class, such as ``train/cat``.
        tally: Counts what is no image.

    Returns:
        Paths below ``root``.

    Raises:
        DataSourceError: If a folder cannot be listed, or folders inside are named like several splits.
    """
    return sorted(_images_below(root, relative_folder, tally, refuse_splits=True))


def _images_below(root: Path, relative_folder: str, tally: Tally, *, refuse_splits: bool) -> list[str]:
    suffixes = image_suffixes()
    paths: list[str] = []
    folder = root / relative_folder
    # With the root and the split, so that a link back to them does not bring in other classes and splits.
    above_class = frozenset(folder_id(root / part) for part in ("", relative_folder.partition("/")[0], relative_folder))
    waiting = [(folder, f"{relative_folder}/", above_class)]
    while waiting:
        current, current_prefix, above = waiting.pop()
        inner_splits: dict[Split, str] = {}
        for entry in list_entries(current):
            relative_path = current_prefix + entry.name
            if is_hidden(entry.name):
                tally.add(HIDDEN, relative_path)
                continue
            kind = entry_kind(entry)
            if kind == "folder":
                inner = Path(entry.path)
                identity = folder_id(inner)
                if identity in above:
                    tally.add(SPECIAL_FILES, relative_path)
                    continue
                split = split_of(entry.name)
                if split:
                    inner_splits[split] = entry.name
                waiting.append((inner, f"{relative_path}/", above | {identity}))
            elif _suffix(entry.name) in suffixes:
                paths.append(relative_path)
            else:
                tally.add(OTHER_FILES if kind == "file" else SPECIAL_FILES, relative_path)
        if refuse_splits and len(inner_splits) > 1:
            raise DataSourceError(
                f"data.path: {_shown(current)} is a class by its place and holds the splits "
                f"{enumerate_some(list(inner_splits.values()))}; splits must lie above classes, as in train/<class>."
            )
    return paths


def enumerate_some(names: tuple[str, ...] | list[str]) -> str:
    """Return the first names, and how many more there are."""
    listed = ", ".join(printable(name) for name in names[:_NUM_NAMED])
    return listed if len(names) <= _NUM_NAMED else f"{listed} and {len(names) - _NUM_NAMED:,} more"


def _list_folders(folder: Path, prefix: str, tally: Tally) -> tuple[str, ...]:
    """Return the names of the folders in a folder, and count what else is there."""
    names = []
    for entry in list_entries(folder):
        if is_hidden(entry.name):
            tally.add(HIDDEN, prefix + entry.name)
            continue
        match entry_kind(entry):
            case "folder":
                names.append(entry.name)
            case "broken link" if _suffix(entry.name) not in image_suffixes():
                raise DataSourceError(
                    f"data.path: {_shown(folder / entry.name)} must be a folder or a file, it is a link that leads "
                    "nowhere; repair or remove it."
                )
            case kind:
                if _suffix(entry.name) in image_suffixes():
                    tally.add(OUTSIDE_CLASSES, prefix + entry.name)
                else:
                    tally.add(OTHER_FILES if kind == "file" else SPECIAL_FILES, prefix + entry.name)
    return tuple(names)


def _has_folders(folder: Path) -> bool:
    return any(entry_kind(entry) == "folder" and not is_hidden(entry.name) for entry in list_entries(folder))


def _has_images(folder: Path) -> bool:
    return any(_suffix(entry.name) in image_suffixes() and not is_hidden(entry.name) for entry in list_entries(folder))


def _suffix(name: str) -> str:
    _, dot, end = name.rpartition(".")
    return dot + end.lower()


def _shown(path: Path) -> str:
    return printable(str(path))
