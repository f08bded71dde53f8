"""Conversion of labels to classes: numbers, truth values, text or one-hot rows become ``0`` to ``K - 1``.

The classes are all labels that occur in any split, in ascending order.

Shape suffixes: N = samples, K = classes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from peerkd.data.wording import listed
from peerkd.excerpt import plain
from peerkd.wording import plural

LabelValue: TypeAlias = bool | int | str

# Texts that numpy and pandas write for a missing value.
_MISSING: Final = frozenset(("", "nan", "NaN", "<NA>", "NaT"))

_KINDS: Final = {"b": "truth values", "i": "numbers", "u": "numbers", "f": "numbers", "U": "text", "S": "text"}
_NUM_NAMED: Final = 10


class Classes(NamedTuple):
    """The classes of all samples."""

    labels_of_split: Mapping[str, npt.NDArray[np.int64]]
    """The class of each sample, in ``[0, K)``: an array of shape (N,) for each split."""

    class_names: tuple[str, ...]
    label_values: tuple[LabelValue, ...]
    """The label of each class in the file; empty if the labels are already ``0`` to ``K - 1``."""

    remarks: tuple[str, ...]
    """Phrases about the conversion that a user may not expect."""


def read_classes(labels_of_split: Mapping[str, np.ndarray], class_names: np.ndarray | None) -> Classes:
    """Convert labels to classes.

    Labels are whole numbers, truth values or text of shape (N,) or (N, 1), or one-hot rows of shape (N, K) with K above
    1. The type of whole numbers may be a floating-point type.

    ``class_names`` contains the name of every class. The names are matched with the labels by the first rule that
    applies:

    1. The labels are text and all of them are names: the classes have the order of the names.
    2. There are as many names as distinct labels: the names belong to the labels in ascending order.
    3. There are more names than distinct labels, and the smallest label is 0: the names belong to the labels 0, 1, 2
       and so on.
    4. There are more names than distinct labels, and the largest label is the number of names: the names belong to the
       labels 1, 2, 3 and so on.

    Negative labels beside names are refused: -1 often marks a sample without a class, and would take the first name.

    If there are more names than labels, classes without a sample are kept and mentioned in a remark.

    Args:
        labels_of_split: At least one array of labels, keyed by the name of the array in messages.
        class_names: (K,) text or numbers; None names each class after its label.

    Raises:
        ValueError: If the labels are of none of these kinds, or no rule matches the names with the labels.
    """
    found = {name: _values(name, labels) for name, labels in labels_of_split.items()}
    kinds = {_KINDS[labels.dtype.kind] for labels in labels_of_split.values()}
    if len(kinds) > 1:
        raise ValueError(
            f"the labels of all splits must be of one kind, got {' and '.join(sorted(kinds))} in "
            f"{', '.join(labels_of_split)}."
        )
    # Python compares numbers exactly, while numpy would convert uint64 and int64 to floating point.
    occurring = sorted({value for values, _ in found.values() for value in values})
    given = None if class_names is None else _names(class_names)
    if given is not None:
        _check_not_negative(found)
    classes = occurring if given is None else _named_values(occurring, given)
    index_of = {value: k for k, value in enumerate(classes)}
    names = tuple(str(value) for value in classes) if given is None else given
    is_identity = classes == list(range(len(classes)))
    remarks = []
    if not is_identity:
        remarks.append(f"{len(classes):,} classes: {_mapping(classes, names)}")
    absent = set(classes).difference(occurring)
    if absent:
        absent_names = [name for value, name in zip(classes, names, strict=True) if value in absent]
        remarks.append(f"{len(absent):,} of {len(classes):,} classes have no sample: {listed(absent_names)}")
    return Classes(
        labels_of_split={
            name: np.array([index_of[value] for value in values], np.int64)[inverse]
            for name, (values, inverse) in found.items()
        },
        class_names=names,
        label_values=() if is_identity else tuple(classes),
        remarks=tuple(remarks),
    )


def _values(name: str, labels: np.ndarray) -> tuple[list[LabelValue], npt.NDArray[np.int64]]:
    """Return the distinct labels in ascending order, and for each sample the index of its label among them."""
    if labels.dtype.kind not in _KINDS:
        raise ValueError(f"{name} must contain whole numbers, truth values or text, got {labels.dtype}.")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    elif labels.ndim == 2:
        labels = _positions(name, labels)
    if labels.ndim != 1:
        raise ValueError(
            f"{name} must have one label per sample, of shape (N,) or (N, 1), or be one-hot rows, "
            f"got shape {labels.shape}."
        )
    if labels.dtype.kind == "f":
        is_wrong = ~np.isfinite(labels) | (labels != np.floor(labels))
        if is_wrong.any():
            raise ValueError(
                f"{name} must contain whole numbers, got {plural(int(is_wrong.sum()), 'other value')}, the first "
                f"{labels[is_wrong][0]} for sample {is_wrong.argmax()}."
            )
    distinct, inverse = np.unique(labels, return_inverse=True)
    values = [_value(name, value, is_bool=labels.dtype.kind == "b") for value in distinct.tolist()]
    missing = [value for value in values if isinstance(value, str) and value.strip() in _MISSING]
    if missing:
        sample = int(np.flatnonzero(inverse == values.index(missing[0]))[0])
        raise ValueError(f"{name} must name a class for every sample, got {missing[0]!r} for sample {sample}.")
    return values, inverse


def _value(name: str, value: Any, *, is_bool: bool = False) -> LabelValue:
    if isinstance(value, bytes | str):
        return _text(name, value)
    return bool(value) if is_bool else int(value)


def _text(name: str, value: bytes | str) -> str:
    try:
        # Text in numpy may contain lone surrogates, which cannot be written to a report.
        return value.decode() if isinstance(value, bytes) else value.encode().decode()
    except UnicodeError as error:
        raise ValueError(f"{name} must be text that can be written as UTF-8, got {value[:40]!r}.") from error


def _positions(name: str, rows_NK: np.ndarray) -> npt.NDArray[np.int64]:
    """Return the position of the 1 in each one-hot row."""
    if rows_NK.dtype.kind in "US" or rows_NK.shape[1] == 0:
        raise ValueError(f"{name} must have one label per sample, got {rows_NK.dtype} of shape {rows_NK.shape}.")
    is_one = rows_NK == 1
    is_wrong = (is_one.sum(axis=1) != 1) | ((rows_NK != 0) & ~is_one).any(axis=1)
    if is_wrong.any():
        row = int(is_wrong.argmax())
        raise ValueError(
            f"{name} has shape {rows_NK.shape}, so every row must be one-hot: a single 1, and 0 elsewhere. "
            f"{np.count_nonzero(is_wrong):,} rows are not; the first is row {row} with "
            f"{np.count_nonzero(rows_NK[row])} values other than 0. Samples with several labels or with soft labels "
            "are not supported; keep one label per sample."
        )
    positions: npt.NDArray[np.int64] = is_one.argmax(axis=1)
    return positions


def _names(class_names: np.ndarray) -> tuple[str, ...]:
    if class_names.ndim != 1 or class_names.dtype.kind not in _KINDS or not class_names.size:
        raise ValueError(
            f"class_names must be text or numbers of shape (K,), got {class_names.dtype} {class_names.shape}."
        )
    given = class_names.tolist()
    names = tuple(_text("class_names", name) if isinstance(name, bytes | str) else str(name) for name in given)
    for name, count in Counter(names).items():
        if not name.strip():
            raise ValueError(f"class_names must name every class, got {name!r} for class {names.index(name)}.")
        if count > 1:
            raise ValueError(f"class_names must differ from each other, got {name!r} {count} times.")
    return names


def _check_not_negative(found: Mapping[str, tuple[list[LabelValue], npt.NDArray[np.int64]]]) -> None:
    for name, (values, inverse) in found.items():
        if not isinstance(values[0], str) and values[0] < 0:
            num_samples = int((inverse == 0).sum())
            raise ValueError(
                f"{name} must be at least 0 if there are class_names, got {values[0]} for "
                f"{plural(num_samples, 'sample')}; remove the samples if they have no class, or number the classes "
                "from 0."
            )


def _named_values(occurring: Sequence[LabelValue], names: tuple[str, ...]) -> list[LabelValue]:
    """Return the label of each class name, by the rules of ``read_classes``."""
    num_names = len(names)
    is_text = isinstance(occurring[0], str)
    if is_text and not set(occurring).difference(names):
        return list(names)
    if num_names == len(occurring):
        return list(occurring)
    if num_names < len(occurring):
        raise ValueError(
            f"class_names must name every class, got {plural(num_names, 'name')} for the "
            f"{plural(len(occurring), 'label')} {listed(occurring)}."
        )
    if not is_text:
        least, largest = int(occurring[0]), int(occurring[-1])
        if least == 0 and largest < num_names:
            return list(range(num_names))
        if least >= 1 and largest == num_names:
            return list(range(1, num_names + 1))
    raise ValueError(
        f"class_names must identify the label of each name, got {plural(num_names, 'name')} for the "
        f"{plural(len(occurring), 'label')} {listed(occurring)}. Omit the names of classes without a sample."
    )


def _mapping(values: Sequence[LabelValue], names: tuple[str, ...]) -> str:
    """Return a phrase with the label, number and name of each of the first classes: ``label 3 is class 0, cat``."""
    pairs = [
        f"label {plain(value)} is class {k}" + ("" if str(value) == name else f", {plain(name)}")
        for k, (value, name) in enumerate(zip(values, names, strict=True))
    ]
    return listed(pairs, num_named=_NUM_NAMED, separator="; ")
