"""Splits of a data set: their names and their uses."""

import re
from collections.abc import Collection, Mapping
from typing import Final, Literal

Split = Literal["train", "validation", "test"]
"""The name of a split. The names are in the order in which a data set stores its splits."""

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


def split_of(name: str) -> Split | None:
    """Return the split that a name stands for, ignoring case. Return None if the name stands for no split."""
    return _SPLIT_NAMES.get(re.sub(r"[ ._-]?(set|split|data|images)$", "", name.casefold()))


def validation_is_for_choices(splits: Collection[Split]) -> bool:
    """Return whether choices, such as the choice of a setting, are made on the validation split of a data set.

    Results must be reported on samples that no choice depends on. If a data set has only a training and a validation
    split, as ImageNet does, the literature reports results on the validation split. The validation split therefore
    becomes the test split, and choices are made on a part of the training split.
    """
    return "validation" in splits and "test" in splits


def split_remarks(names: Mapping[Split, str]) -> tuple[str, ...]:
    """Return phrases that tell a user how the splits are used.

    Args:
        names: Name of each split in the source, such as ``the folder val``.
    """
    if "validation" not in names:
        return ()
    if validation_is_for_choices(names):
        return (f"{names['validation']} is the validation split, on which every choice is made",)
    return (f"{names['validation']} is the test split, because the data set has no other",)
