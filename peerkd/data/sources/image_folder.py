"""Folders of image files, one folder per class.

    train/<class>/<image>   and, where they exist, validation/<class>/<image> and test/<class>/<image>
    <class>/<image>         without splits

An image may lie deeper: ``<class>/<any folder>/<image>`` belongs to the class. ``peerkd.data.sources.layout`` says by
which names a folder is a split. Beside a training and a validation split without a test split, the latter is the test
split, as ImageNet's users expect, and the validation split is cut from the training split.

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
    decode_images,
    decode_readable,
    list_unreadable,
    survey_images,
)
from peerkd.data.sources.decoding import PixelRules
from peerkd.data.sources.folders import FolderId, folder_id
from peerkd.data.sources.layout import EMPTY_CLASSES, Layout, Split, enumerate_some, find_layout, list_class, split_of
from peerkd.errors import DataSourceError

__all__ = ["ImageFiles", "decode_images", "list_image_files", "read_image_folder", "survey_image_folder"]

UNREADABLE: Final = "images that cannot be read"

_NUM_UNREADABLE_KEPT: Final = 1_000


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ImageFiles:
    """The image files below a root: training, validation and test split, each sorted by class and name."""

    relative_paths: tuple[str, ...]
    """N of them, with ``/``."""
    labels_N: npt.NDArray[np.int64]
    num_train: int
    num_validation: int = 0
    class_names: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()


class Surveyed(NamedTuple):
    """The image files that can be read, and what was seen of them."""

    files: ImageFiles
    digests_N32: npt.NDArray[np.uint8]
    """(N, 32): SHA-256 of each file."""


def read_image_folder(
    root: Path,
    *,
    image_size_pixels: int | None,
    rules: PixelRules | None = None,
    skip_damaged: bool = False,
    progress: ReportProgress | None = None,
) -> RawDataset:
    """Decode all images below ``root`` to RGB.

    Args:
        root: In one of the layouts above.
        image_size_pixels: H and W: the shorter side is resized to it and the centre is cut out. None
            leaves the pixels as they are; then all images must have one size.
        rules: How the content of a file becomes RGB; ``image_size_pixels`` is taken from the argument above.
        skip_damaged: Whether images that cannot be read are left out. They are refused otherwise.
        progress: Told how far it is.

    Raises:
        ValueError: If the images differ in size and ``image_size_pixels`` is None, or pixels need a range.
        DataSourceError: If the layout is another one or a file is not a readable image.
    """
    rules = (rules or PixelRules())._replace(image_size_pixels=image_size_pixels)
    listed = list_image_files(root)
    paths = [root / path for path in listed.relative_paths]
    images_NCHW, survey = decode_readable(paths, rules, progress=progress)
    files, kept = _settle(root, listed, survey, rules, skip_damaged=skip_damaged)
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
    listed = list_image_files(root)
    paths = [root / path for path in listed.relative_paths]
    survey = survey_images(paths, rules, with_digests=True, progress=progress)
    files, kept = _settle(root, listed, survey, rules, skip_damaged=skip_damaged)
    digests = b"".join(facts.digest for facts in survey.facts if facts is not None)
    return Surveyed(files, np.frombuffer(digests, np.uint8).reshape(len(kept), -1))


def list_image_files(root: Path) -> ImageFiles:
    """List the image files below ``root`` without opening them, and count what else is there.

    Raises:
        DataSourceError: If the layout is none of the above, a class has no image in one of the splits, the name of a
            class is not UTF-8, or two classes are one folder.
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
                    f"data.path: {enumerate_some([other, place])} below {printable(str(root))} must be two folders, "
                    "links lead from both to the same one: its images would have two labels or be in two splits."
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
        # A lone validation split is the test split.
        num_validation=num_of.get("validation", 0) if "test" in num_of else 0,
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
            f"data.path: {printable(str(root))} must contain images, its class folders "
            f"{enumerate_some(layout.class_folders['train'])} contain no file with the suffix of a format that Pillow "
            f"decodes, such as .jpg or .tif; what was found is {describe(tally.passed_over())}."
        )
    for split in layout.splits:
        missing = sorted(every_class - with_images[split])
        if missing:
            raise DataSourceError(
                "data.path: the splits must have images of the same classes, "
                f"{printable(str(root / layout.splits[split]))} has none of {enumerate_some(missing)}"
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
    """Return a hint where a name differs from another only in the case of its letters."""
    folded = {name.casefold(): name for name in present}
    near = [f"{name} and {folded[name.casefold()]}" for name in missing if name.casefold() in folded]
    return f" ({near[0]} differ in the case of their letters)" if near else ""


def _layout_remarks(layout: Layout, class_names: Sequence[str], relative_paths: Sequence[str]) -> tuple[str, ...]:
    """Return what a user may not expect of how the folders were understood."""
    remarks = []
    if "validation" in layout.splits:
        name = printable(layout.splits["validation"])
        if "test" in layout.splits:
            remarks.append(f"the folder {name} is the validation split, by which every choice is made")
        else:
            remarks.append(f"the folder {name} is the test split, since there is no folder for that")
    if not layout.splits["train"]:
        split_like = [name for name in class_names if split_of(name)]
        if split_like:
            remarks.append(
                f"folders that are classes and not splits, since they hold no folders: {enumerate_some(split_like)}"
            )
    folded: dict[str, str] = {}
    for name in class_names:
        other = folded.setdefault(name.casefold(), name)
        if other != name:
            remarks.append(f"{other} and {name} are two classes, though they differ only in the case of their letters")
    depth = 1 + bool(layout.splits["train"])
    num_deep = sum(path.count("/") > depth for path in relative_paths)
    if num_deep:
        remarks.append(f"images in folders inside of class folders, which belong to those classes: {num_deep:,}")
    return tuple(remarks)


def _settle(
    root: Path, files: ImageFiles, survey: Survey, rules: PixelRules, *, skip_damaged: bool
) -> tuple[ImageFiles, npt.NDArray[np.int64]]:
    """Return the files without those that cannot be read, with all that is to be said of them, and their indices.

    Raises:
        DataSourceError: If a file cannot be read and that is not allowed, or a class would have no image left.
    """
    kept = np.flatnonzero([facts is not None for facts in survey.facts])
    remarks = [*files.remarks, *_pixel_remarks(survey, rules)]
    if not survey.unreadable:
        return replace(files, remarks=tuple(remarks)), kept
    listed = list_unreadable(files.relative_paths, survey.unreadable)
    count = f"{len(survey.unreadable):,} of {len(survey.facts):,} images below {printable(str(root))} cannot be read"
    if not skip_damaged:
        # What to do comes before the list, which may be long.
        raise DataSourceError(
            f"data.path: {count}; repair or remove them, or set data.skip_damaged=true to leave them out: {listed}."
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
                f"be read; {count}: {listed}."
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
    """Return what a user may not expect of how the pixels were understood."""
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
            f"{num_clipped:,} have values outside of that range, which become its ends"
        )
    return remarks
