"""Folders of image files, one folder per class.

    <class>/<image>         without splits
    train/<class>/<image>   with splits; validation/<class>/<image> and test/<class>/<image> are optional

An image may lie deeper: ``<class>/<any folder>/<image>`` belongs to the class. ``peerkd.data.sources.splits`` says by
which names a split is known and what it is used for.

N samples, C channels, H W height and width, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from peerkd.data.dataset import RawDataset
from peerkd.data.passed_over import PassedOver, Tally, describe, printable
from peerkd.data.sources.decode_pool import (
    ReportProgress,
    Survey,
    decode_readable,
    list_unreadable,
    survey_images,
)
from peerkd.data.sources.decoding import PixelRules
from peerkd.data.sources.folders import FolderId, folder_id
from peerkd.data.sources.layout import EMPTY_CLASSES, Layout, find_layout, list_class
from peerkd.data.sources.splits import Split, split_of, split_remarks, validation_is_for_choices
from peerkd.data.wording import listed
from peerkd.errors import DataSourceError

UNREADABLE: Final = "images that cannot be read"

_NUM_UNREADABLE_KEPT: Final = 1_000


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ImageFiles:
    """The N image files below a root: training, validation and test split, each sorted by class and name."""

    relative_paths: tuple[str, ...]
    """Paths relative to the root, with ``/``."""
    labels_N: npt.NDArray[np.int64]
    num_train: int
    num_validation: int = 0
    class_names: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()


class Surveyed(NamedTuple):
    """The image files that can be read, and their digests."""

    files: ImageFiles
    digests_N32: npt.NDArray[np.uint8]
    """(N, 32): SHA-256 of each file."""


def read_image_folder(
    root: Path, rules: PixelRules, *, skip_damaged: bool = False, progress: ReportProgress | None = None
) -> RawDataset:
    """Decode all images below ``root`` to RGB.

    Args:
        root: A folder in one of the layouts above.
        rules: How the content of a file becomes RGB. Without ``image_size_pixels`` all images must have one size.
        skip_damaged: Whether images that cannot be read are left out. They are refused otherwise.
        progress: Called with the number of images that are done.

    Raises:
        ValueError: If the images differ in size and the rules name none, or pixels need a ``pixel_range``.
        DataSourceError: If the folder has another layout, or an image cannot be read and ``skip_damaged`` is False.
    """
    found = list_image_files(root)
    paths = [root / path for path in found.relative_paths]
    images_NCHW, survey = decode_readable(paths, rules, progress=progress)
    files, kept = _without_unreadable(root, found, survey, rules, skip_damaged=skip_damaged)
    if survey.unreadable:
        # Moved up in place: a second array of this size may not fit into memory.
        for target, index in enumerate(kept):
            images_NCHW[target] = images_NCHW[index]
    return RawDataset(
        images_NCHW=images_NCHW[: len(kept)],
        labels_N=files.labels_N,
        num_train=files.num_train,
        num_validation=files.num_validation,
        class_names=files.class_names,
        columns={},
        name=printable(root.resolve().name),
        remarks=files.remarks,
        passed_over=files.passed_over,
    )


def survey_image_folder(
    root: Path, rules: PixelRules, *, skip_damaged: bool = False, progress: ReportProgress | None = None
) -> Surveyed:
    """Decode all images below ``root`` as ``read_image_folder`` would, but keep none of their pixels.

    Raises:
        ValueError: As ``read_image_folder``.
        DataSourceError: As ``read_image_folder``.
    """
    found = list_image_files(root)
    paths = [root / path for path in found.relative_paths]
    survey = survey_images(paths, rules, with_digests=True, progress=progress)
    files, kept = _without_unreadable(root, found, survey, rules, skip_damaged=skip_damaged)
    digests = b"".join(facts.digest for facts in survey.facts if facts is not None)
    return Surveyed(files, np.frombuffer(digests, np.uint8).reshape(len(kept), -1))


def list_image_files(root: Path) -> ImageFiles:
    """List the image files below ``root`` without opening them, and count all other entries.

    Raises:
        DataSourceError: If the folder has another layout, a class has no image in one of the splits, the name of a
            class is not printable UTF-8, or links make one folder two classes.
    """
    tally = Tally()
    layout = find_layout(root, tally)
    paths: dict[tuple[Split, str], list[str]] = {}
    places: dict[FolderId, str] = {}
    for split, class_folders in layout.class_folders.items():
        prefix = f"{layout.splits[split]}/" if layout.splits[split] else ""
        for name in class_folders:
            place = f"{prefix}{name}"
            other = places.setdefault(folder_id(root / place), place)
            if other != place:
                raise DataSourceError(
                    f"data.path: {listed([other, place])} below {printable(str(root))} must be two folders, but "
                    "are links to the same one: its images would have two labels or be in two splits."
                )
            paths[split, name] = list_class(root, place, tally)
    class_names = _class_names(root, layout, paths, tally)

    relative_paths: list[str] = []
    labels: list[int] = []
    num_of: dict[Split, int] = {}
    for split in layout.splits:
        for label, name in enumerate(class_names):
            relative_paths += paths[split, name]
            labels += [label] * len(paths[split, name])
        num_of[split] = len(labels) - sum(num_of.values())
    return ImageFiles(
        relative_paths=tuple(relative_paths),
        labels_N=np.array(labels, np.int64),
        num_train=num_of["train"],
        num_validation=num_of["validation"] if validation_is_for_choices(num_of) else 0,
        class_names=class_names,
        remarks=_layout_remarks(layout, class_names, relative_paths),
        passed_over=tally.passed_over(),
    )


def _class_names(
    root: Path, layout: Layout, paths: dict[tuple[Split, str], list[str]], tally: Tally
) -> tuple[str, ...]:
    """Return the classes, which must have images in every split."""
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
            f"decodes, such as .jpg or .tif; found {describe(tally.passed_over())}."
        )
    for split in layout.splits:
        missing = sorted(every_class - with_images[split])
        if missing:
            raise DataSourceError(
                "data.path: all splits must have images of the same classes, but "
                f"{printable(str(root / layout.splits[split]))} has none of {listed(missing)}"
                f"{_near_miss(missing, with_images[split])}."
            )
    for name in sorted(every_class):
        if printable(name) != name:
            raise DataSourceError(
                f"data.path: the name of a class must be printable text in UTF-8, got {printable(name)}; rename the "
                "folder."
            )
    return tuple(sorted(every_class))


def _near_miss(missing: Sequence[str], present: set[str]) -> str:
    """Return a hint if a missing name differs from one that exists only in the case of its letters."""
    folded = {name.casefold(): name for name in present}
    near = [f"{name} and {folded[name.casefold()]}" for name in missing if name.casefold() in folded]
    return f" ({near[0]} differ in the case of their letters)" if near else ""


def _layout_remarks(layout: Layout, class_names: Sequence[str], relative_paths: Sequence[str]) -> tuple[str, ...]:
    """Return what a user may not expect about how the folders were read."""
    remarks = [*split_remarks({split: f"the folder {printable(name)}" for split, name in layout.splits.items()})]
    if not layout.splits["train"]:
        split_like = [name for name in class_names if split_of(name)]
        if split_like:
            remarks.append(
                f"folders that are classes and not splits, because they hold no folders: {listed(split_like)}"
            )
    folded: dict[str, str] = {}
    for name in class_names:
        other = folded.setdefault(name.casefold(), name)
        if other != name:
            remarks.append(f"{other} and {name} are two classes, although only the case of their letters differs")
    depth = 1 + bool(layout.splits["train"])
    num_deep = sum(path.count("/") > depth for path in relative_paths)
    if num_deep:
        remarks.append(f"images in folders inside class folders, which belong to these classes: {num_deep:,}")
    return tuple(remarks)


def _without_unreadable(
    root: Path, files: ImageFiles, survey: Survey, rules: PixelRules, *, skip_damaged: bool
) -> tuple[ImageFiles, npt.NDArray[np.int64]]:
    """Return the files that can be read, with all remarks on them, and their indices.

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
        # The remedy comes before the list, which may be long and then cut.
        raise DataSourceError(
            f"data.path: {count}; repair or remove them, or set data.skip_damaged=true to leave them out: {reasons}."
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
            num_train=sizes[0],
            num_validation=sizes[1],
            remarks=tuple(remarks),
            passed_over=(*files.passed_over, *tally.passed_over()),
        ),
        kept,
    )


def _pixel_remarks(survey: Survey, rules: PixelRules) -> list[str]:
    """Return what a user may not expect about how the pixels were read."""
    seen = [facts for facts in survey.facts if facts is not None]
    remarks = []
    num_animated = sum(facts.has_more_frames for facts in seen)
    if num_animated:
        remarks.append(f"images with several frames or pages, of which the first is read: {num_animated:,}")
    deep = [facts.brightest for facts in seen if facts.brightest is not None]
    if deep and rules.pixel_range is None:
        remarks.append(
            f"images of 12 or 16 bits a channel, scaled from the full range to 0..255: {len(deep):,}, with "
            f"{max(deep):,.0f} as their highest value (data.pixel_range sets another range)"
        )
    elif deep and rules.pixel_range is not None:
        low, high = rules.pixel_range
        num_clipped = sum(facts.is_clipped for facts in seen)
        remarks.append(
            f"images of more than 8 bits a channel, scaled from {low:g}..{high:g} to 0..255: {len(deep):,}, of which "
            f"{num_clipped:,} have values outside that range, which become 0 or 255"
        )
    return remarks
