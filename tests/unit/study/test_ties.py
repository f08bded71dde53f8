import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerkd.study.defaults import UntunedDefault
from peerkd.study.ties import SAME_ACCURACY, best, is_above, is_at_least, num_changes, rounded
from peerkd.study.transfer_sets import TRANSFER_SETS

ROUNDING = 1e-16


def test_the_best_value_wins_whatever_it_changes() -> None:
    assert best(np.array([0.5, 0.75]), np.array([0, 4])) == 1


def test_a_tie_goes_to_the_fewest_changes_and_then_to_the_first() -> None:
    assert best(np.array([0.5, 0.5, 0.5, 0.4]), np.array([2, 1, 1, 0])) == 1


@given(
    counts=st.lists(st.integers(0, 5), min_size=1, max_size=12),
    changes=st.lists(st.integers(0, 4), min_size=12, max_size=12),
)
def test_the_rule_agrees_with_a_loop_over_whole_counts(counts: list[int], changes: list[int]) -> None:
    # The same count may differ in its last bit if it is divided in two ways.
    values = np.array([count / 360 + ROUNDING * (place % 3) for place, count in enumerate(counts)])
    kept = np.array(changes[: len(counts)])
    wanted = max(range(len(counts)), key=lambda place: (counts[place], -kept[place], -place))
    assert best(values, kept) == wanted
    assert best(np.stack([values, values]), kept).tolist() == [wanted, wanted]


def test_equal_counts_are_neither_above_nor_below_one_another() -> None:
    third = np.array([0.1 + 0.2, 0.3 + 2 * SAME_ACCURACY, 0.3 - 2 * SAME_ACCURACY])
    assert is_above(third, 0.3).tolist() == [False, True, False]
    assert is_at_least(third, 0.3).tolist() == [True, True, False]
    assert rounded(third)[0] == 0.3


@pytest.mark.parametrize("name", TRANSFER_SETS)
def test_each_hyper_parameter_that_differs_from_the_default_counts_once(name: str) -> None:
    weight = 0.5 if TRANSFER_SETS[name].uses_labels else 1.0
    columns = {
        "transfer_set": [name] * 6,
        "temperature": [1.0, 4.0, None, 4.0, 1.0, 1.0],
        "distillation_weight": [weight, weight, 0.0, 0.9, weight, weight],
        "learning_rate": [0.02, 0.02, 0.02, 0.1, 0.1, 0.02],
        "loss": ["kl", "kl", None, "kl", "kl", "dkd"],
        "target": ["mean", "mean", None, "mean", "mean", "teacher"],
    }
    changes = num_changes(columns, default=UntunedDefault(name, learning_rate=0.02, loss="kl", target="mean"))
    assert changes.tolist() == [0, 1, 2, 3, 1, 2]


def test_values_of_which_there_is_only_one_do_not_count() -> None:
    columns: dict[str, list[object]] = {
        "transfer_set": ["student", "both"],
        "temperature": [1.0, 1.0],
        "distillation_weight": [0.5, 0.5],
        **{name: [None, None] for name in ("learning_rate", "loss", "target")},
    }
    assert num_changes(columns, default=UntunedDefault("student")).tolist() == [0, 1]
    assert num_changes(columns, default=UntunedDefault(None)).tolist() == [0, 0]
