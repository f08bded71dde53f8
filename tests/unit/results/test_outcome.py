import numpy as np
import pytest

from peerkd.results.outcome import accuracy, class_accuracies, compare
from peerkd.results.schema import BY_EPOCH_COLUMNS, TRIALS_SCHEMA
from peerkd.results.table import DERIVED_COLUMNS

LABELS = np.array([0, 0, 0, 1, 1, 3])
BEFORE = np.array([0, 0, 1, 0, 1, 0])
AFTER = np.array([0, 1, 0, 1, 1, 0])
# Right before: yes yes no  no  yes no
# Right after:  yes no  yes yes yes no


def columns(split: str, *, global_positions: list[int], own_positions: list[int]) -> dict[str, object]:
    return compare(
        split,
        labels_N=LABELS,
        before_N=BEFORE,
        after_N=AFTER,
        global_positions=np.array(global_positions),
        own_positions=np.array(own_positions),
        num_classes=4,
    )


def test_accuracy_is_the_fraction_of_correct_predictions() -> None:
    assert accuracy(LABELS, BEFORE) == 3 / 6
    assert accuracy(LABELS, AFTER) == 4 / 6


def test_a_class_without_samples_has_no_accuracy() -> None:
    assert class_accuracies(LABELS, BEFORE, num_classes=5) == [2 / 3, 1 / 2, None, 0.0, None]


def test_a_validation_split_by_hand() -> None:
    assert columns("validation", global_positions=[0, 1, 2, 3, 4, 5], own_positions=[0, 1, 1, 4]) == {
        "validation_positive_flips": 2 / 6,
        "validation_negative_flips": 1 / 6,
        "validation_global_accuracy_before": 3 / 6,
        "validation_own_accuracy_before": 4 / 4,
        "validation_class_accuracy_before": [2 / 3, 1 / 2, None, 0.0],
        "validation_global_accuracy_after": 4 / 6,
        "validation_own_accuracy_after": 2 / 4,
        "validation_class_accuracy_after": [2 / 3, 1.0, None, 0.0],
        "validation_correct_bits": f"{0b10111000:02x}",
    }


def test_flips_classes_and_bits_cover_only_the_global_set() -> None:
    found = columns("test", global_positions=[5, 4, 2], own_positions=[0, 1, 3])
    assert found["test_positive_flips"] == 1 / 3
    assert found["test_negative_flips"] == 0.0
    assert found["test_class_accuracy_after"] == [1.0, 1.0, None, 0.0]
    # Wrong, right, right and five bits of padding.
    assert found["test_correct_bits"] == f"{0b01100000:02x}"


def test_each_bit_states_whether_a_test_sample_is_correct_after_distillation() -> None:
    found = columns("test", global_positions=[0, 1, 2, 3, 4, 5, 0, 1, 2], own_positions=[0])
    assert found["test_correct_bits"] == f"{0b10111010:02x}{0b10000000:02x}"


def test_the_difference_of_flips_is_the_change_of_accuracy() -> None:
    found = columns("test", global_positions=[0, 1, 2, 3, 4, 5], own_positions=[0])
    gain = found["test_global_accuracy_after"] - found["test_global_accuracy_before"]
    assert found["test_positive_flips"] - found["test_negative_flips"] == pytest.approx(gain)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_outcome_has_the_columns_of_the_table(split: str) -> None:
    expected = {name for name in TRIALS_SCHEMA.names if name.startswith(f"{split}_")} - DERIVED_COLUMNS
    expected -= set(BY_EPOCH_COLUMNS.values())
    assert columns(split, global_positions=[0], own_positions=[0]).keys() == expected
