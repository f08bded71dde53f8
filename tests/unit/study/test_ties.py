import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerkd.study.defaults import UntunedDefault
from peerkd.study.ties import SAME_ACCURACY, best, is_above, is_at_least, ranks, rounded
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
def test_ranks_go_by_the_number_of_changes_and_then_by_loss_and_target(name: str) -> None:
    weight = 0.5 if TRANSFER_SETS[name].uses_labels else 1.0
    columns = {
        "transfer_set": [name] * 6,
        "temperature": [1.0, 4.0, None, 4.0, 1.0, 1.0],
        "distillation_weight": [weight, weight, 0.0, 0.9, weight, weight],
        "learning_rate": [0.02, 0.02, 0.02, 0.1, 0.1, 0.02],
        "loss": ["kl", "kl", None, "kl", "kl", "dkd"],
        "target": ["mean", "mean", None, "mean", "mean", "teacher"],
    }
    found = ranks(columns, default=UntunedDefault(name, learning_rate=0.02, loss="kl", target="mean"))
    # 3 for each value that differs from the default, and 1 more if the value is a loss or a target.
    assert found.tolist() == [0, 3, 6, 9, 3, 8]


def test_a_tie_between_equally_many_changes_goes_to_the_loss_and_the_target_of_the_default() -> None:
    settings = {
        "another loss": ("dkd", "teacher", 1.0),
        "another target": ("kl", "mean", 1.0),
        "another temperature": ("kl", "teacher", 2.0),
        "another loss and temperature": ("dkd", "teacher", 2.0),
    }
    columns: dict[str, list[object]] = {
        "transfer_set": ["student"] * 4,
        "temperature": [each[2] for each in settings.values()],
        "distillation_weight": [0.5] * 4,
        "learning_rate": [None] * 4,
        "loss": [each[0] for each in settings.values()],
        "target": [each[1] for each in settings.values()],
    }
    found = ranks(columns, default=UntunedDefault("student", loss="kl", target="teacher"))
    assert [*settings][int(best(np.full(4, 0.5), found))] == "another temperature"
    assert found.argmax() == 3


def test_values_of_which_there_is_only_one_do_not_count() -> None:
    columns: dict[str, list[object]] = {
        "transfer_set": ["student", "both"],
        "temperature": [1.0, 1.0],
        "distillation_weight": [0.5, 0.5],
        **{name: [None, None] for name in ("learning_rate", "loss", "target")},
    }
    assert ranks(columns, default=UntunedDefault("student")).tolist() == [0, 3]
    assert ranks(columns, default=UntunedDefault(None)).tolist() == [0, 0]
