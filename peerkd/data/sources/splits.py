"""Splits of a data set: their names, and what each of them is used for."""

import re
from collections.abc import Collection, Mapping
from typing import Final, Literal

Split = Literal["train", "validation", "test"]
"""In the order in which a data set holds them."""

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
    """Return the split that a name stands for, in any case of its letters; None if it stands for none."""
    return _SPLIT_NAMES.get(re.sub(r"[ ._-]?(set|split|data|images)$", "", name.casefold()))


def validation_is_for_choices(splits: Collection[Split]) -> bool:
    """Return whether a data set has a validation split that settings are chosen on.

    Results must be reported on samples that no choice depends on. A data set with a training and a validation split
    alone, such as ImageNet, is reported on the latter everywhere, so it is the test split here too, and the samples
    for choices are cut from the training split.
    """
    return "validation" in splits and "test" in splits


def split_remarks(names: Mapping[Split, str]) -> tuple[str, ...]:
    """Return what a user should know of how the splits are used.

    Args:
        names: What the source calls each of its splits, such as ``the folder val``.
    """
    if "validation" not in names:
        return ()
    if validation_is_for_choices(names):
        return (f"{names['validation']} is the validation split, by which every choice is made",)
    return (f"{names['validation']} is the test split, because the data set has no other",)
