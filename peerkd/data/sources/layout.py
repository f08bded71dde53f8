"""The layout of a folder of images: which folders are splits, and which of the folders in them are classes.

A folder is a split if its name is a name of a split, such as ``train`` or ``val``; ``peerkd.data.sources.splits``
defines these names. Ambiguous layouts are refused: two folders for one split, a split without classes, and splits
inside classes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple, get_args

from peerkd.data.skipped import Tally
from peerkd.data.sources.decoding import image_suffixes
from peerkd.data.sources.folders import entry_kind, folder_id, is_hidden, list_entries
from peerkd.data.sources.splits import Split, split_of
from peerkd.data.wording import listed, printable
from peerkd.errors import DataSourceError

HIDDEN: Final = "hidden files and files of operating systems"
OTHER_FILES: Final = "files of other formats"
SPECIAL_FILES: Final = "broken or circular links, pipes, sockets and devices"
OUTSIDE_CLASSES: Final = "images outside class folders"
OUTSIDE_SPLITS: Final = "images outside split folders"
EMPTY_CLASSES: Final = "class folders without images"


class FolderLayout(NamedTuple):
    """The splits of a folder of images."""

    splits: Mapping[Split, str]
    """The folder of each split, the training split first; ``{"train": ""}`` if the root has no splits."""

    class_folders: Mapping[Split, tuple[str, ...]]
    """The names of the class folders in each split."""


def find_layout(root: Path, tally: Tally) -> FolderLayout:
    """Find the splits and the class folders below ``root``, and count all other entries.

    Raises:
        DataSourceError: If splits and classes cannot be distinguished.
    """
    folders = _list_folders(root, "", tally)
    named: dict[Split, list[str]] = {split: [] for split in get_args(Split)}
    for name in folders:
        split = split_of(name)
        if split is not None:
            named[split].append(name)
    # A data set of vehicles may have a class called train, so only a folder that contains folders is a split.
    nested = {name for names in named.values() for name in names if _has_folders(root / name)}
    if not nested.intersection(named["train"]):
        return _unsplit(root, folders, named, nested, tally)
    for split, candidates in named.items():
        if len(candidates) > 1:
            raise DataSourceError(
                f"data.path: {_shown(root)} must contain one folder for the {split} split, it contains "
                f"{listed(candidates)}; move all but one of them elsewhere."
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
    return FolderLayout(splits, class_folders)


def _unsplit(
    root: Path, folders: tuple[str, ...], named: Mapping[Split, list[str]], nested: set[str], tally: Tally
) -> FolderLayout:
    """Return the layout of a root folder that has no splits, so that its folders are the classes.

    Args:
        root: The root of the data set.
        folders: The names of the folders in the root.
        named: The names among ``folders`` that are also names of a split, by split.
        nested: The names in ``named`` whose folders contain folders.
        tally: The count of skipped entries.

    Raises:
        DataSourceError: If a folder has the name of a split and contains folders, or the root contains no classes.
    """
    if nested:
        raise DataSourceError(
            f"data.path: {_shown(root)} contains {listed(sorted(nested))}, which is the name of a split, but no "
            "train folder with one folder per class; add one, or rename the folder if it is a class."
        )
    roles = [split for split, names in named.items() if names]
    if len(roles) > 1 and all(split_of(name) for name in folders):
        raise DataSourceError(
            f"data.path: {_shown(root)} contains {listed(folders)}, each of which must contain one folder per class; "
            "they contain none."
        )
    if not folders:
        raise DataSourceError(
            f"data.path: {_shown(root)} must contain one folder per class, it contains none; move the images of each "
            "class into a folder with the name of the class."
        )
    if len(folders) == 1 and _has_folders(root / folders[0]) and not _has_images(root / folders[0]):
        inner = _shown(root / folders[0])
        raise DataSourceError(
            f"data.path: {_shown(root)} must contain one folder per class, it contains only {inner}; if that folder "
            f"contains the classes, set data.path={inner}."
        )
    return FolderLayout({"train": ""}, {"train": folders})


def list_class(root: Path, relative_folder: str, tally: Tally) -> list[str]:
    """List the images in a class folder and its subfolders, sorted by path.

    An image is recognised by the suffix of its name alone. A pipe or a broken link with the name of an image is thus
    refused when images are read, and not silently skipped.

    Args:
        root: Root of the data set.
        relative_folder: The folder of one class, such as ``train/cat``.
        tally: The count of skipped entries. The entries that are not images are added to this count.

    Returns:
        Paths relative to ``root``.

    Raises:
        DataSourceError: If a folder cannot be listed, or two of its subfolders have the names of splits.
    """
    return sorted(_images_below(root, relative_folder, tally, refuse_splits=True))


def _images_below(root: Path, relative_folder: str, tally: Tally, *, refuse_splits: bool) -> list[str]:
    suffixes = image_suffixes()
    paths: list[str] = []
    folder = root / relative_folder
    # The root and the split are included, so that a link to one of them does not add other classes and splits.
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
                f"data.path: {_shown(current)} is the folder of a class and contains the splits "
                f"{listed(list(inner_splits.values()))}; splits must contain classes, as in train/<class>. "
                "If it is the folder of a peer, set data.source=peers, and name the folder of each peer as its data in "
                "peers.given."
            )
    return paths


def _list_folders(folder: Path, prefix: str, tally: Tally) -> tuple[str, ...]:
    """Return the names of the folders in a folder, and count its other entries."""
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
                    f"data.path: {_shown(folder / entry.name)} must be a folder or a file, it is a broken link; "
                    "repair or remove it."
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
