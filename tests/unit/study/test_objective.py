import numpy as np
import pytest

from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.study.objective import Objective

GAINS = {"global": np.array([0.10, 0.04, -0.02, 0.01]), "own": np.array([-0.20, -0.05, 0.08, 0.0])}


def test_a_mixed_objective_is_the_weighted_mean_of_both_gains() -> None:
    for weight in (0.0, 0.3, 1.0):
        expected = [(1 - weight) * g + weight * o for g, o in zip(GAINS["global"], GAINS["own"], strict=True)]
        np.testing.assert_allclose(Objective(own_weight=weight).gains(GAINS), expected, atol=1e-15)


def test_a_single_accuracy_is_returned_unchanged() -> None:
    assert Objective().gains(GAINS) is GAINS["global"]
    assert Objective(own_weight=1.0).penalised_gains(GAINS) is GAINS["own"]


@pytest.mark.parametrize(
    ("objective", "scopes"),
    [
        (Objective(), ("global",)),
        (Objective(own_weight=1), ("own",)),
        (Objective(own_weight=0.5), ("global", "own")),
        (Objective(max_own_drop=0.1), ("global", "own")),
        (Objective(own_weight=1, max_own_drop=0.1), ("own",)),
    ],
)
def test_the_objective_reads_only_its_accuracies(objective: Objective, scopes: tuple[str, ...]) -> None:
    assert objective.scopes == scopes
    objective.penalised_gains({scope: GAINS[scope] for scope in scopes})


def test_a_loss_as_large_as_the_limit_is_allowed_and_a_larger_one_is_not() -> None:
    gains = {"global": np.full(3, 0.1), "own": np.array([0.5 - 0.55, -0.05 - 1e-6, 0.5 - 0.54])}
    assert Objective(max_own_drop=0.05).allows(gains).tolist() == [True, False, True]
    assert Objective().allows(gains).all()


def test_a_trial_that_breaks_the_limit_is_observed_as_a_loss() -> None:
    objective = Objective(own_weight=0.25, max_own_drop=0.05)
    mean = [0.75 * g + 0.25 * o for g, o in zip(GAINS["global"], GAINS["own"], strict=True)]
    np.testing.assert_allclose(objective.penalised_gains(GAINS), [-0.20, *mean[1:]], atol=1e-15)
    worse = {"global": np.array([-0.9]), "own": np.array([-0.1])}
    assert objective.penalised_gains(worse).tolist() == [0.75 * -0.9 + 0.25 * -0.1]


@pytest.mark.parametrize(("name", "value"), [("own_weight", 1.5), ("own_weight", float("nan")), ("max_own_drop", -0.1)])
def test_a_value_that_is_not_a_fraction_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must be from 0 to 1, got {value}\.$"):
        Objective(**{name: value})


@pytest.mark.parametrize(
    ("overrides", "objective", "words"),
    [
        ("", Objective(), "global accuracy"),
        ("sweep.selection_metric=own_accuracy", Objective(own_weight=1.0), "own accuracy"),
        (
            "sweep.selection_metric=own_accuracy tune.own_weight=0.3 tune.max_own_drop=0.02",
            Objective(own_weight=0.3, max_own_drop=0.02),
            "accuracy (70 % global, 30 % own)",
        ),
    ],
)
def test_a_study_has_the_objective_of_its_config(overrides: str, objective: Objective, words: str) -> None:
    found = resolve(JOINTKD, preset="digits", overrides=overrides).objective
    assert found == objective
    assert found.accuracy_in_words == words
    assert ("at most 2 points of its own accuracy" in found.limit_in_words) == found.is_limited
