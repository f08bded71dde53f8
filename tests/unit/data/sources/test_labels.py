from typing import Any

import numpy as np
import pytest

from peerkd.data.sources.labels import read_classes


def classes(labels: Any, class_names: Any = None) -> tuple[list[int], tuple[str, ...], tuple[Any, ...]]:
    read = read_classes({"labels": np.array(labels)}, None if class_names is None else np.array(class_names))
    return read.labels_of_split["labels"].tolist(), read.class_names, read.label_values


@pytest.mark.parametrize(
    ("labels", "expected", "names", "values"),
    [
        ([1, 2, 4, 1, 3], [0, 1, 3, 0, 2], ("1", "2", "3", "4"), (1, 2, 3, 4)),
        ([90, 0, 7, 5, 0], [3, 0, 2, 1, 0], ("0", "5", "7", "90"), (0, 5, 7, 90)),
        ([1, -1, 1], [1, 0, 1], ("-1", "1"), (-1, 1)),
        ([10**8, 0], [1, 0], ("0", "100000000"), (0, 10**8)),
        (np.array([2**64 - 1, 3], np.uint64), [1, 0], ("3", str(2**64 - 1)), (3, 2**64 - 1)),
        (np.array([2, 1], ">i2"), [1, 0], ("1", "2"), (1, 2)),
        ([2.0, 1.0, 2.0], [1, 0, 1], ("1", "2"), (1, 2)),
        (np.array([2, 1], np.longdouble), [1, 0], ("1", "2"), (1, 2)),
        ([True, False], [1, 0], ("False", "True"), ()),
        (["dog", "cat", "dog"], [1, 0, 1], ("cat", "dog"), ("cat", "dog")),
        ([b"dog", "été".encode()], [0, 1], ("dog", "été"), ("dog", "été")),
        ([[3], [1], [3]], [1, 0, 1], ("1", "3"), (1, 3)),
        ([[0, 0, 1], [1, 0, 0]], [1, 0], ("0", "2"), (0, 2)),
        ([[False, True], [True, False]], [1, 0], ("0", "1"), ()),
        ([2, 0, 1], [2, 0, 1], ("0", "1", "2"), ()),
    ],
)
def test_the_classes_are_the_labels_that_occur(labels, expected, names, values) -> None:
    assert classes(labels) == (expected, names, values)


@pytest.mark.parametrize(
    ("labels", "given", "expected", "values"),
    [
        # As many names as labels: the names follow the order of the labels.
        ([1, 2, 3], "abc", [0, 1, 2], (1, 2, 3)),
        ([0, 7, 90], "abc", [0, 1, 2], (0, 7, 90)),
        # More names than labels: the label 0 or the label that equals the number of names occurs.
        ([0, 2], "abcd", [0, 2], ()),
        ([1, 4], "abcd", [0, 3], (1, 2, 3, 4)),
        # Labels that are names: the classes follow the order of the names.
        (["fox", "cat"], ["fox", "cat"], [0, 1], ("fox", "cat")),
        (["b", "c"], "cba", [1, 0], ("c", "b", "a")),
        (["b", "c"], ["cat", "fox"], [0, 1], ("b", "c")),
    ],
)
def test_class_names_name_labels(labels, given, expected, values) -> None:
    assert classes(labels, list(given)) == (expected, tuple(given), values)


@pytest.mark.parametrize(
    ("labels", "class_names", "message"),
    [
        ([0.5, 1, 0.5], None, "labels must contain whole numbers, got 2 other values, the first 0.5 for sample 0"),
        ([1, np.nan], None, "labels must contain whole numbers, got 1 other value, the first nan for sample 1."),
        ([1, np.inf], None, "labels must contain whole numbers, got 1 other value, the first inf for sample 1."),
        ([1j, 2], None, "labels must contain whole numbers, truth values or text, got complex128"),
        (["cat", ""], None, "labels must name a class for every sample, got '' for sample 1"),
        (["nan", "cat"], None, "labels must name a class for every sample, got 'nan' for sample 0"),
        ([b"\xff", b"a"], None, "labels must be text that can be written as UTF-8"),
        (["\ud800", "a"], None, "labels must be text that can be written as UTF-8"),
        ([[1, 1], [0, 1]], None, "every row must be one-hot.* 1 rows are not; the first is row 0 with 2 values"),
        ([[0.5, 0.5], [0, 1]], None, "every row must be one-hot"),
        ([[0, 0], [0, 1]], None, "every row must be one-hot"),
        ([["a", "b"]], None, r"labels must have one label per sample, got <U1 of shape \(1, 2\)"),
        ([[[1]]], None, r"labels must have one label per sample, .* got shape \(1, 1, 1\)"),
        ([0, 1, 2], ["a", "b"], "class_names must name every class, got 2 names for the 3 labels 0, 1, 2"),
        (
            [1, 2],
            ["a", "b", "c"],
            "class_names must identify the label of each name, got 3 names for the 2 labels 1, 2",
        ),
        ([1, 3], ["a", "b", "c", "d"], "class_names must identify the label of each name"),
        (
            [-1, 0, 1, -1],
            ["a", "b", "c"],
            "^labels must be at least 0 if there are class_names, got -1 for 2 samples; remove the samples if they ",
        ),
        (["cat", "dog"], ["a", "b", "c"], "class_names must identify the label of each name"),
        ([0, 1], ["a", "a"], "class_names must differ from each other, got 'a' 2 times"),
        ([0, 1], ["a", " "], "class_names must name every class, got ' ' for class 1"),
        ([0, 1], [["a", "b"]], r"class_names must be text or numbers of shape \(K,\), got <U1 \(1, 2\)"),
        ([0, 1], [b"\xff", b"a"], "class_names must be text that can be written as UTF-8"),
    ],
)
def test_labels_and_names_of_another_kind_are_refused(labels, class_names, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classes(labels, class_names)


def test_all_splits_share_the_classes() -> None:
    splits = {"train_labels": np.array([5, 9], np.uint64), "test_labels": np.array([[-1], [9]], np.int8)}
    read = read_classes(splits, None)
    assert read.label_values == (-1, 5, 9)
    assert {name: labels.tolist() for name, labels in read.labels_of_split.items()} == {
        "train_labels": [1, 2],
        "test_labels": [0, 2],
    }
    with pytest.raises(ValueError, match="of one kind, got numbers and text in train_labels, test_labels"):
        read_classes({**splits, "test_labels": np.array(["9"])}, None)


def test_unexpected_conversions_are_remarked() -> None:
    def remarks(labels: Any, names: Any = None) -> tuple[str, ...]:
        return read_classes({"labels": np.array(labels)}, None if names is None else np.array(names)).remarks

    assert remarks([0, 1, 2]) == ()
    assert remarks([1, 2]) == ("2 classes: label 1 is class 0; label 2 is class 1",)
    assert remarks([1, 2], ["cat", "dog"]) == ("2 classes: label 1 is class 0, cat; label 2 is class 1, dog",)
    assert remarks([0, 1], ["cat", "dog", "fox"]) == ("1 of 3 classes have no sample: fox",)
    assert remarks(["a\nb", "c"]) == (r"2 classes: label a\nb is class 0; label c is class 1",)
    assert remarks(["a" * 90, "c"]) == (f"2 classes: label {'a' * 77}... is class 0; label c is class 1",)
    assert remarks(np.arange(1, 13))[0].endswith("label 10 is class 9 and 2 more")
