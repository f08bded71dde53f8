"""Folders of image files, one folder per class.

    <class>/<image>         without splits
    train/<class>/<image>   with splits; validation/<class>/<image> and test/<class>/<image> are optional

Images may be nested: ``<class>/<any folder>/<image>`` belongs to the class. The names and uses of splits are defined in
``peerkd.data.sources.splits``.

Shape suffixes: N = samples, C = channels, H W = image size, K = classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from peerkd.data.dataset import RawDataset
from peerkd.data.skipped import SkippedEntries, Tally, describe
from peerkd.data.sources.columns_file import Columns, read_columns
from peerkd.data.sources.decode_pool import (
    Survey,
    decode_readable,
    list_unreadable,
    survey_images,
)
from peerkd.data.sources.folders import FolderId, folder_id
from peerkd.data.sources.layout import EMPTY_CLASSES, FolderLayout, find_layout, list_class
from peerkd.data.sources.pixel_rules import PixelRules, ReportProgress
from peerkd.data.sources.splits import Split, split_of, split_remarks, validation_is_for_choices
from peerkd.data.wording import WARNING, listed, printable, without_form
from peerkd.errors import DataSourceError

UNREADABLE: Final = "images that cannot be read"

_NUM_UNREADABLE_KEPT: Final = 1_000


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ImageFiles:
    """The N image files below a root: the training, validation and test split, each sorted by class and name."""

    relative_paths: tuple[str, ...]
    """The paths relative to the root, with ``/`` as separator."""
    labels_N: npt.NDArray[np.int64]
    num_train: int
    num_validation: int = 0
    class_names: tuple[str, ...]
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Further values of each file, of shape (N,), by name of the column."""
    remarks: tuple[str, ...] = ()
    skipped: tuple[SkippedEntries, ...] = ()


class ReadableFiles(NamedTuple):
    """The image files that can be read, and their digests."""

    files: ImageFiles
    digests_N32: npt.NDArray[np.uint8]
    """The SHA-256 of each file, of shape (N, 32)."""


def read_image_folder(
    root: Path,
    rules: PixelRules,
    *,
    skip_damaged: bool = False,
    columns_path: Path | None = None,
    progress: ReportProgress | None = None,
) -> RawDataset:
    """Decode all images below ``root`` to RGB.

    Args:
        root: A folder in one of the layouts of the module's docstring.
        rules: How the content of a file becomes RGB. Without ``image_size_pixels`` all images must have one size.
        skip_damaged: Whether to omit images that cannot be read. Otherwise they are refused.
        columns_path: A CSV file with further values of each image; see ``peerkd.data.sources.columns_file``.
        progress: Called with the number of images that have been read.

    Raises:
        ValueError: If the images differ in size and the rules do not set a size, or pixels need a ``pixel_range``.
        DataSourceError: If the folder has another layout, or an image cannot be read and ``skip_damaged`` is False.
    """
    found = list_image_files(root, columns_path=columns_path)
    paths = [root / path for path in found.relative_paths]
    images_NCHW, survey = decode_readable(paths, rules, progress=progress)
    files, kept = _without_unreadable(root, found, survey, rules, skip_damaged=skip_damaged)
    if survey.unreadable:
        # The images are moved in place, because a second array of this size may not fit into memory.
        for target, index in enumerate(kept):
            images_NCHW[target] = images_NCHW[index]
    return RawDataset(
        images_NCHW=images_NCHW[: len(kept)],
        labels_N=files.labels_N,
        num_train=files.num_train,
        num_validation=files.num_validation,
        class_names=files.class_names,
        columns=files.columns,
        name=printable(root.resolve().name),
        remarks=files.remarks,
        skipped=files.skipped,
    )


def survey_image_folder(
    root: Path,
    rules: PixelRules,
    *,
    skip_damaged: bool = False,
    columns_path: Path | None = None,
    progress: ReportProgress | None = None,
) -> ReadableFiles:
    """Decode all images below ``root`` to detect damaged ones, without keeping their pixels.

    Raises:
        ValueError: If the images differ in size and the rules do not set a size, or pixels need a ``pixel_range``.
        DataSourceError: If the folder has another layout, or an image cannot be read and ``skip_damaged`` is False.
    """
    found = list_image_files(root, columns_path=columns_path)
    paths = [root / path for path in found.relative_paths]
    survey = survey_images(paths, rules, with_digests=True, progress=progress)
    files, kept = _without_unreadable(root, found, survey, rules, skip_damaged=skip_damaged)
    digests = b"".join(facts.digest for facts in survey.facts if facts is not None)
    return ReadableFiles(files, np.frombuffer(digests, np.uint8).reshape(len(kept), -1))


def list_image_files(root: Path, *, columns_path: Path | None = None) -> ImageFiles:
    """List the image files below ``root`` without opening them, and count all other entries.

    Args:
        root: A folder in one of the layouts of the module's docstring.
        columns_path: A CSV file with further values of each image; see ``peerkd.data.sources.columns_file``.

    Raises:
        DataSourceError: If the CSV file does not describe the images, the folder has another layout, a class has no
            image in one of the splits, the name of a class is not printable UTF-8, or two classes or splits are links
            to the same folder.
    """
    tally = Tally()
    layout = find_layout(root, tally)
    paths: dict[tuple[Split, str], list[str]] = {}
    path_of: dict[FolderId, str] = {}
    for split, class_folders in layout.class_folders.items():
        prefix = f"{layout.splits[split]}/" if layout.splits[split] else ""
        for name in class_folders:
            path = f"{prefix}{name}"
            other = path_of.setdefault(folder_id(root / path), path)
            if other != path:
                raise DataSourceError(
                    f"data.path: {listed([other, path])} below {printable(str(root))} must be different folders, but "
                    "are links to the same one, so its images would have two labels or be in two splits."
                )
            paths[split, name] = list_class(root, path, tally)
    class_names = _class_names(root, layout, paths, tally)

    relative_paths: list[str] = []
    labels: list[int] = []
    num_of: dict[Split, int] = {}
    for split in layout.splits:
        for label, name in enumerate(class_names):
            relative_paths += paths[split, name]
            labels += [label] * len(paths[split, name])
        num_of[split] = len(labels) - sum(num_of.values())
    further = Columns({}, (), ()) if columns_path is None else read_columns(columns_path, relative_paths)
    return ImageFiles(
        relative_paths=tuple(relative_paths),
        labels_N=np.array(labels, np.int64),
        num_train=num_of["train"],
        num_validation=num_of["validation"] if validation_is_for_choices(num_of) else 0,
        class_names=class_names,
        columns=further.columns,
        remarks=(*_layout_remarks(layout, class_names, relative_paths), *further.remarks),
        skipped=(*tally.skipped(), *further.skipped),
    )


def _class_names(
    root: Path, layout: FolderLayout, paths: dict[tuple[Split, str], list[str]], tally: Tally
) -> tuple[str, ...]:
    """Return the sorted names of the classes that have images, and count the class folders without images.

    A ``DataSourceError`` is raised if there are no images, if a class has images in some splits only, or if the name of
    a class is not printable.
    """
    with_images = {
        split: {name for name in class_folders if paths[split, name]}
        for split, class_folders in layout.class_folders.items()
    }
    every_class = set[str]().union(*with_images.values())
    for split, class_folders in layout.class_folders.items():
        for name in class_folders:
            if name not in every_class:
                tally.add(EMPTY_CLASSES, f"{layout.splits[split]}/{name}".lstrip("/"))
    if not every_class:
        raise DataSourceError(
            f"data.path: {printable(str(root))} must contain images, but its class folders "
            f"{listed(layout.class_folders['train'])} contain no file with the suffix of a format that Pillow "
            f"decodes, such as .jpg or .tif; found {describe(tally.skipped())}."
        )
    for split in layout.splits:
        missing = sorted(every_class - with_images[split])
        if missing:
            raise DataSourceError(
                "data.path: all splits must have images of the same classes, but "
                f"{printable(str(root / layout.splits[split]))} has none of {listed(missing)}"
                f"{_near_miss(missing, with_images[split])}; add images of these classes, or merge the folders of the "
                "splits, and samples are held out in their place."
            )
    for name in sorted(every_class):
        if printable(name) != name:
            raise DataSourceError(
                f"data.path: the name of a class must be printable text in UTF-8, got {printable(name)}; rename the "
                "folder."
            )
    return tuple(sorted(every_class))


def _near_miss(missing: Sequence[str], present: set[str]) -> str:
    """Return a hint if a missing name looks like an existing name, and otherwise an empty text."""
    folded = {without_form(name): name for name in present}
    near = [(name, folded[without_form(name)]) for name in missing if without_form(name) in folded]
    if not near:
        return ""
    one, other = near[0]
    form = "case" if one.casefold() == other.casefold() else "spaces, leading zeros or Unicode form"
    return f" ({one} and {other} differ only in {form})"


def _layout_remarks(layout: FolderLayout, class_names: Sequence[str], relative_paths: Sequence[str]) -> tuple[str, ...]:
    """Return phrases that tell the user how folders were interpreted, where the interpretation may be unexpected."""
    remarks = [*split_remarks({split: f"the folder {printable(name)}" for split, name in layout.splits.items()})]
    if not layout.splits["train"]:
        split_like = [name for name in class_names if split_of(name)]
        if split_like:
            remarks.append(
                f"folders that are classes and not splits, because they contain no folders: {listed(split_like)}"
            )
    folded: dict[str, str] = {}
    for name in class_names:
        other = folded.setdefault(name.casefold(), name)
        if other != name:
            remarks.append(f"{other} and {name} are different classes, although their names differ only in case")
    depth = 1 + bool(layout.splits["train"])
    deep = [path for path in relative_paths if path.count("/") > depth]
    inner = _repeated_folders(relative_paths, depth=depth)
    if inner:
        remarks.append(
            f"{WARNING}Each of the classes {listed(class_names)} has the folders {listed(inner)} and no image of its "
            f"own. If {listed(inner)} are the classes, and {class_names[0]} is a peer such as a hospital, set "
            "data.source=peers, and name the folder of each peer as its data in peers.given."
        )
    elif deep:
        names = listed(sorted({path.split("/")[depth - 1] for path in deep}))
        remarks.append(
            f"images in folders inside class folders ({names}), which belong to these classes: {len(deep):,}"
        )
    return tuple(remarks)


def _repeated_folders(relative_paths: Sequence[str], *, depth: int) -> tuple[str, ...]:
    """Return the names of the folders in the class folders if these names look like the true classes, else nothing.

    They do if there are at least two such names, the folders in every class folder have exactly these names, and all
    images are in these folders. The class folders are then probably those of several owners.

    Args:
        relative_paths: The paths of the images.
        depth: The number of folders above the images of a class.
    """
    folders_of: dict[str, set[str]] = {}
    for path in relative_paths:
        parts = path.split("/")
        # An image of its own has an empty name here.
        folders_of.setdefault(parts[depth - 1], set()).add(parts[depth] if len(parts) > depth + 1 else "")
    first, *others = folders_of.values()
    is_repeated = len(first) > 1 and "" not in first and bool(others) and all(each == first for each in others)
    return tuple(sorted(first)) if is_repeated else ()


def _without_unreadable(
    root: Path, files: ImageFiles, survey: Survey, rules: PixelRules, *, skip_damaged: bool
) -> tuple[ImageFiles, npt.NDArray[np.int64]]:
    """Return the files that can be read, and the indices of these files among all files.

    Remarks on the conversion of pixels and on omitted files are added to the result.

    Raises:
        DataSourceError: If an image cannot be read and ``skip_damaged`` is False, or a class has no image left.
    """
    kept = np.flatnonzero([facts is not None for facts in survey.facts])
    remarks = [*files.remarks, *_pixel_remarks(survey, rules)]
    if not survey.unreadable:
        return replace(files, remarks=tuple(remarks)), kept
    reasons = list_unreadable(files.relative_paths, survey.unreadable)
    count = f"{len(survey.unreadable):,} of {len(survey.facts):,} images below {printable(str(root))} cannot be read"
    if not skip_damaged:
        # The remedy comes before the list, because long messages are truncated.
        raise DataSourceError(
            f"data.path: {count}; repair or remove them, or set data.skip_damaged=true to omit them: {reasons}."
        )
    bounds = (0, files.num_train, files.num_train + files.num_validation, len(files.labels_N))
    sizes = []
    for start, stop in pairwise(bounds):
        kept_labels = files.labels_N[kept[(kept >= start) & (kept < stop)]]
        sizes.append(len(kept_labels))
        emptied = np.setdiff1d(files.labels_N[start:stop], kept_labels)
        if emptied.size:
            first = int(emptied[0])
            folder = files.relative_paths[start + int(np.argmax(files.labels_N[start:stop] == first))]
            raise DataSourceError(
                f"data.path: no image of the class {files.class_names[first]} in the split of {printable(folder)} can "
                f"be read; {count}: {reasons}."
            )
    tally = Tally(num_examples=_NUM_UNREADABLE_KEPT)
    for index, reason in survey.unreadable.items():
        tally.add(UNREADABLE, f"{files.relative_paths[index]}: {reason}")
    return (
        replace(
            files,
            relative_paths=tuple(files.relative_paths[index] for index in kept),
            labels_N=files.labels_N[kept],
            columns={name: column_N[kept] for name, column_N in files.columns.items()},
            num_train=sizes[0],
            num_validation=sizes[1],
            remarks=tuple(remarks),
            skipped=(*files.skipped, *tally.skipped()),
        ),
        kept,
    )


def _pixel_remarks(survey: Survey, rules: PixelRules) -> list[str]:
    """Return a phrase for each conversion of pixels that might surprise a user, with the number of images."""
    readable = [facts for facts in survey.facts if facts is not None]
    remarks = []
    num_animated = sum(facts.has_more_frames for facts in readable)
    if num_animated:
        remarks.append(f"images with several frames or pages, of which the first is read: {num_animated:,}")
    deep = [facts.brightest for facts in readable if facts.brightest is not None]
    if deep and rules.pixel_range is None:
        remarks.append(
            f"images of 12 or 16 bits per channel, scaled from the full range to 0..255: {len(deep):,}, with "
            f"{max(deep):,.0f} as their highest value (data.pixel_range sets another range)"
        )
    elif deep and rules.pixel_range is not None:
        low, high = rules.pixel_range
        num_clipped = sum(facts.is_clipped for facts in readable)
        remarks.append(
            f"images of more than 8 bits per channel, scaled from {low:g}..{high:g} to 0..255: {len(deep):,}, of which "
            f"{num_clipped:,} have values outside that range, which become 0 or 255"
        )
    return remarks
