import numpy as np

from peerkd.tuning.space import NO_SETTING
from peerkd.tuning.validation import ValidationResult, best_epochs, better, only_measured, without_forbidden

SEEN = {
    (0, 1): ValidationResult(0.2),
    (1, 1): ValidationResult(-0.01, False),
    (1, 0): ValidationResult(0.03),
    (1, 2): ValidationResult(0.05),
    (1, 3): ValidationResult(0.05),
    (2, 1): ValidationResult(-0.01, False),
    (2, 0): ValidationResult(-0.02),
    (2, 2): ValidationResult(-0.03, False),
}


def test_a_forbidden_choice_is_replaced_by_the_best_allowed_observation() -> None:
    choices = np.array([1, 1, 1, 1, NO_SETTING])
    assert without_forbidden(choices, SEEN).tolist() == [1, 2, NO_SETTING, 1, NO_SETTING]


def test_choices_without_an_observation_can_be_omitted() -> None:
    choices = np.array([1, 0, NO_SETTING, 1, 3])
    assert only_measured(choices, SEEN).tolist() == [1, 0, NO_SETTING, NO_SETTING, NO_SETTING]


def test_the_best_epoch_so_far_is_the_first_of_the_best_allowed_ones() -> None:
    worth = np.array([[0.1, 0.3, 0.3, 0.2, 0.4], [-0.1, -0.3, -0.2, 0.0, -0.5]])
    is_allowed = np.ones((2, 5), dtype=np.bool_)
    assert best_epochs(worth, is_allowed).tolist() == [[0, 1, 1, 1, 4], [0, 0, 0, 3, 3]]
    is_allowed[0, 1] = is_allowed[0, 4] = is_allowed[1, 0] = False
    assert best_epochs(worth, is_allowed).tolist() == [[0, 0, 2, 2, 2], [0, 1, 2, 3, 3]]


def test_two_parts_of_a_trial_are_compared_like_its_epochs() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        worth, is_allowed = rng.integers(-3, 4, size=6) / 100, rng.random(6) < 0.6
        stops = best_epochs(worth, is_allowed)
        first, second = (
            ValidationResult(worth[start:end][stop], is_allowed[start:end][stop], start + stop + 1)
            for start, end in ((0, 2), (2, 6))
            for stop in [int(best_epochs(worth[start:end], is_allowed[start:end])[-1])]
        )
        assert better(first, second).num_epochs == stops[-1] + 1
