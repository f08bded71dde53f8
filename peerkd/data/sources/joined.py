"""Data sets of several owners, joined by the names of their classes.

Shape suffixes: N = samples, K = classes.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np

from peerkd.data.dataset import RawDataset
from peerkd.data.skipped import SkippedEntries
from peerkd.data.wording import listed, without_form
from peerkd.errors import DataSourceError

OWNER_COLUMN: Final = "owner"
"""The column of a joined data set with the number of each sample's owner."""

_ALIKE: Final = "are different classes, although their names differ only in case, spaces, leading zeros or Unicode form"
_ALONE: Final = "classes that only one data set has, perhaps under a name of its own: "

COMMON: Final = -1
"""The owner of samples that belong to no peer."""


class OwnedDataset(NamedTuple):
    """The data set of one owner."""

    owner: int
    """The number of the peer, or ``COMMON``."""

    name: str
    """The name of the owner in messages."""

    raw: RawDataset


def join_datasets(parts: Sequence[OwnedDataset]) -> RawDataset:
    """Return one data set with the samples of all owners.

    Each split contains the samples of the first part, then those of the second, and so on. The classes are those of all
    parts, sorted: by value if all names are numbers, and as text otherwise. Columns of the parts are omitted, and
    ``OWNER_COLUMN`` is added.

    Args:
        parts: The data sets, at least one.

    Raises:
        DataSourceError: If the images of two parts differ in shape.
    """
    first = parts[0]
    for part in parts:
        if part.raw.image_shape != first.raw.image_shape:
            shapes = ["x".join(map(str, each.raw.image_shape)) for each in (first, part)]
            has_channels = part.raw.image_shape[0] == first.raw.image_shape[0]
            remedy = (
                "data.image_size_pixels resizes images in folders"
                if has_channels
                else "images in folders have 3 channels, so arrays beside them need 3 channels too"
            )
            raise DataSourceError(
                f"peers.given: the images of all data sets must have the same shape, got {shapes[0]} of {first.name} "
                f"and {shapes[1]} of {part.name}; {remedy}."
            )
    class_names = _sorted({name for part in parts for name in part.raw.class_names})
    index_of = {name: k for k, name in enumerate(class_names)}
    splits = [[_bounds(part.raw)[number] for part in parts] for number in range(3)]
    labels = [
        np.array([index_of[name] for name in part.raw.class_names], np.int64)[part.raw.labels_N] for part in parts
    ]
    pieces = [(part, bounds, own) for split in splits for part, bounds, own in zip(parts, split, labels, strict=True)]
    num_of_split = [sum(stop - start for start, stop in split) for split in splits]
    return RawDataset(
        images_NCHW=np.concatenate([part.raw.images_NCHW[start:stop] for part, (start, stop), _ in pieces]),
        labels_N=np.concatenate([own[start:stop] for _, (start, stop), own in pieces]),
        num_train=num_of_split[0],
        num_validation=num_of_split[1],
        class_names=class_names,
        columns={
            OWNER_COLUMN: np.concatenate(
                [np.full(stop - start, part.owner, np.int64) for part, (start, stop), _ in pieces]
            )
        },
        name=f"data of {len([part for part in parts if part.owner != COMMON])} peers",
        remarks=tuple(_remarks(parts, class_names)),
        skipped=tuple(
            SkippedEntries(f"{kind} of {part.name}", num, examples)
            for part in parts
            for kind, num, examples in part.raw.skipped
        ),
    )


def _bounds(raw: RawDataset) -> tuple[tuple[int, int], ...]:
    """Return where each split of a data set starts and stops."""
    first_test = raw.num_train + raw.num_validation
    return (0, raw.num_train), (raw.num_train, first_test), (first_test, len(raw.labels_N))


def _sorted(names: set[str]) -> tuple[str, ...]:
    # Names such as 1 and 01 have one value, so the text decides between them.
    is_numbers = all(name.isdecimal() for name in names)
    return tuple(sorted(names, key=lambda name: (int(name) if is_numbers else 0, name)))


def _remarks(parts: Sequence[OwnedDataset], class_names: Sequence[str]) -> Iterable[str]:
    for part in parts:
        raw = part.raw
        present = [raw.class_names[k] for k in np.unique(raw.labels_N).tolist()]
        num_train, num_validation, num_test = (stop - start for start, stop in _bounds(raw))
        samples = f"{num_train:,} training, {num_validation:,} validation and {num_test:,} test samples"
        if not num_validation + num_test:
            samples = f"{num_train:,} samples that are not divided into splits"
        yield f"{part.name} has {samples}, of {len(present)} of the {len(class_names)} classes"
        yield from (f"{part.name}: {remark}" for remark in raw.remarks)
        if raw.columns:
            yield f"{part.name}: columns that are not used: {listed(sorted(raw.columns))}"
    owners: dict[str, list[str]] = {}
    for part in parts:
        for name in part.raw.class_names:
            owners.setdefault(name, []).append(part.name)
    alike: dict[str, list[str]] = {}
    for name in class_names:
        alike.setdefault(without_form(name), []).append(name)
    for names in alike.values():
        # What one data set has is among its own remarks.
        if len({owners[name][0] for name in names}) > 1:
            shown = [f"{name} ({owners[name][0]})" for name in names]
            yield f"{listed(shown)} {_ALIKE}"
    alone = [f"{name} ({names[0]})" for name, names in sorted(owners.items()) if len(names) == 1]
    if alone and len(parts) > 1:
        yield f"{_ALONE}{listed(alone)}"


def doubtful_names(remarks: Iterable[str]) -> str:
    """Return the first remark on a joined data set that says which classes may be one class under two names.

    Names that differ only in form come before names that only one data set has. The text is empty if there are neither.
    """
    doubts = [remark for remark in remarks if remark.endswith(_ALIKE) or remark.startswith(_ALONE)]
    return min(doubts, key=lambda remark: remark.startswith(_ALONE), default="")
