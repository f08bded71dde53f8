import numpy as np

from peerkd.tuning.seen import Seen, only_seen, without_forbidden
from peerkd.tuning.space import NO_SETTING

SEEN = {
    (0, 1): Seen(0.2),
    (1, 1): Seen(-0.01, False),
    (1, 0): Seen(0.03),
    (1, 2): Seen(0.05),
    (1, 3): Seen(0.05),
    (2, 1): Seen(-0.01, False),
    (2, 0): Seen(-0.02),
    (2, 2): Seen(-0.03, False),
}


def test_in_place_of_what_is_forbidden_comes_the_best_that_was_seen_to_be_allowed() -> None:
    choices = np.array([1, 1, 1, 1, NO_SETTING])
    assert without_forbidden(choices, SEEN).tolist() == [1, 2, NO_SETTING, 1, NO_SETTING]


def test_what_nobody_has_seen_can_be_left_out() -> None:
    choices = np.array([1, 0, NO_SETTING, 1, 3])
    assert only_seen(choices, SEEN).tolist() == [1, 0, NO_SETTING, NO_SETTING, NO_SETTING]
