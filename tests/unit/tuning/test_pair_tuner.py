"""The tuner on networks of peers whose gains are known."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from peerkd.arrays import FloatArray
from peerkd.tuning.acquisition import knowledge_gradients
from peerkd.tuning.experience import shipped
from peerkd.tuning.pair_posterior import PairPosterior
from peerkd.tuning.pair_tuner import PairTuner
from peerkd.tuning.posterior import Posterior
from peerkd.tuning.protocol import EarlierSweep, Observation, Suggestion
from peerkd.tuning.settings_prior import expand
from peerkd.tuning.space import NO_SETTING, SettingOnSet, Space

SETTINGS = tuple(
    SettingOnSet(transfer_set, temperature, alpha, alpha)
    for transfer_set in ("student", "teacher", "both")
    for temperature in (1.0, 4.0)
    for alpha in (0.1, 0.5, 0.9)
)
EPOCHS = 3


def network(num_peers: int = 5, seed: int = 0) -> tuple[Space, np.ndarray]:
    """Return pairs whose gain depends on one feature, and their gains (Q, S, E). Gains after early epochs are noisy."""
    rng = np.random.default_rng(seed)
    students, teachers = np.nonzero(~np.eye(num_peers, dtype=bool))
    feature = rng.uniform(size=len(students))
    alphas = np.array([setting.alpha for setting in SETTINGS])
    is_both = np.array([setting.transfer_set == "both" for setting in SETTINGS])
    whole = 0.1 * np.outer(feature - 0.4, is_both) - 0.05 * alphas + rng.normal(scale=0.005, size=(len(students), 18))
    left = 1 - np.arange(1, EPOCHS + 1) / EPOCHS
    gains = whole[:, :, None] + rng.normal(scale=0.02, size=(*whole.shape, EPOCHS)) * left
    sizes = np.where(is_both, 200, 100)
    return Space(
        students_Q=students,
        teachers_Q=teachers,
        settings=SETTINGS,
        default_setting=1,
        num_samples_QS=np.tile(sizes, (len(students), 1)),
        num_epochs=EPOCHS,
        feature_names=("only_teacher_right",),
        features_QF=feature[:, None],
    ), gains


def spend(tuner: PairTuner, space: Space, gains: np.ndarray, *, share: float, batch: int = 1) -> list[Suggestion]:
    budget = share * space.num_samples_QS.sum() * EPOCHS
    done: dict[tuple[int, int], int] = {}
    made: list[Suggestion] = []
    while asks := tuner.ask(batch):
        for ask in asks:
            budget -= space.num_samples_QS[ask.pair, ask.setting] * (ask.num_epochs - done.get(ask[:2], 0))
            if budget < 0:
                return made
            done[ask[:2]] = ask.num_epochs
            made.append(ask)
            tuner.tell(Observation(ask, float(gains[ask.pair, ask.setting, ask.num_epochs - 1])))
    return made


def mean_gain(tuner: PairTuner, gains: np.ndarray) -> float:
    choices = tuner.choices()
    return float(np.where(choices == NO_SETTING, 0, gains[np.arange(len(gains)), choices, -1]).mean())


def best(gains: np.ndarray) -> float:
    return float(np.maximum(gains[:, :, -1].max(1), 0).mean())


def test_a_tenth_of_the_cost_finds_most_of_the_gain() -> None:
    space, gains = network()
    tuner = PairTuner(space)
    spend(tuner, space, gains, share=0.1)
    assert mean_gain(tuner, gains) > 0.85 * best(gains)


def test_pairs_without_a_gain_stay_unchanged() -> None:
    space, gains = network()
    gains = gains - 0.2
    tuner = PairTuner(space)
    made = spend(tuner, space, gains, share=0.1)
    assert set(tuner.choices().tolist()) == {NO_SETTING}
    assert len({ask.pair for ask in made}) < space.num_pairs
    assert not tuner.predicted().any()


def test_few_observations_do_not_cause_a_full_pass_over_many_pairs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    space, gains = network(num_peers=20)
    looked_at: set[int] = set()
    of_pairs = Posterior.of_pairs

    def noting(posterior: Posterior, pairs: Sequence[int]) -> Iterator[PairPosterior]:
        looked_at.update(pairs)
        return of_pairs(posterior, pairs)

    monkeypatch.setattr(Posterior, "of_pairs", noting)
    tuner = PairTuner(space)
    looks_at_all: list[int] = []
    for number in range(150):
        looked_at.clear()
        (ask,) = tuner.ask(1)
        tuner.tell(Observation(ask, float(gains[ask.pair, ask.setting, ask.num_epochs - 1])))
        if len(looked_at) == space.num_pairs:
            looks_at_all.append(number)
    assert len(looks_at_all) >= 2
    assert min(np.diff(looks_at_all)) >= space.num_pairs / 6


def test_a_full_pass_considers_pending_suggestions(monkeypatch: pytest.MonkeyPatch) -> None:
    space, gains = network()
    looked_at: set[int] = set()
    counted_on: list[int] = []
    of_pairs, given_pending = Posterior.of_pairs, PairPosterior.given_pending

    def noting(posterior: Posterior, pairs: Sequence[int]) -> Iterator[PairPosterior]:
        looked_at.update(pairs)
        return of_pairs(posterior, pairs)

    def noting_too(believed: PairPosterior, place: int, *, noise_variance: float) -> PairPosterior:
        counted_on.append(place)
        return given_pending(believed, place, noise_variance=noise_variance)

    monkeypatch.setattr(Posterior, "of_pairs", noting)
    monkeypatch.setattr(PairPosterior, "given_pending", noting_too)
    tuner = PairTuner(space)
    (under_way,) = tuner.ask(1)
    num_looks_at_all = 0
    for _ in range(50):
        looked_at.clear()
        counted_on.clear()
        (ask,) = tuner.ask(1)
        if len(looked_at) == space.num_pairs:
            num_looks_at_all += 1
            assert counted_on == [under_way.setting]
        tuner.tell(Observation(ask, float(gains[ask.pair, ask.setting, ask.num_epochs - 1])))
    assert num_looks_at_all >= 2


def test_earlier_experiments_help_before_the_first_observation() -> None:
    space, gains = network(seed=1)
    theirs, known = network(seed=2)
    tuner = PairTuner(space, earlier_sweeps=[EarlierSweep(space=theirs, gains_QS=known[:, :, -1])])
    assert mean_gain(tuner, gains) > 0.6 * best(gains) > mean_gain(PairTuner(space), gains)


def test_settings_that_earlier_experiments_lacked_can_be_tuned() -> None:
    space, _ = network(seed=1)
    theirs, known = network(seed=2)
    fewer = Space(
        **{name: getattr(theirs, name) for name in theirs.__slots__ if name not in ("settings", "num_samples_QS")},
        settings=(*SETTINGS[:7], SettingOnSet("public", 1.0, 0.5, 0.5)),
        num_samples_QS=theirs.num_samples_QS[:, :8],
    )
    gains_QS = known[:, :8, -1].copy()
    gains_QS[3] = np.nan
    assert len(PairTuner(space, earlier_sweeps=[EarlierSweep(space=fewer, gains_QS=gains_QS)]).ask(3)) == 3


@pytest.mark.parametrize("batch", [1, 7])
def test_no_suggestion_is_repeated_and_the_suggestions_end(batch: int) -> None:
    space, gains = network(num_peers=3)
    made = spend(PairTuner(space), space, gains, share=10, batch=batch)
    assert len(set(made)) == len(made)
    last: dict[tuple[int, int], int] = {}
    for ask in made:
        assert ask.num_epochs > last.get(ask[:2], 0)
        last[ask[:2]] = ask.num_epochs


def test_pending_suggestions_are_considered() -> None:
    space, _ = network()
    asks = PairTuner(space).ask(60)
    assert len(set(asks)) == 60
    assert len({ask[:2] for ask in asks}) > 50


def test_a_restarted_tuner_continues_after_the_same_observations() -> None:
    space, gains = network()
    first, second = PairTuner(space), PairTuner(space)
    told = [Observation(ask, float(gains[ask.pair, ask.setting, ask.num_epochs - 1])) for ask in first.ask(40)]
    for observation in told:
        first.tell(observation)
        second.tell(observation)
    assert first.ask(10) == second.ask(10)
    assert first.choices().tolist() == second.choices().tolist()


def test_predictions_agree_with_gains_within_their_deviations() -> None:
    space, gains = network(num_peers=8)
    tuner = PairTuner(space)
    spend(tuner, space, gains, share=0.1)
    predicted, deviations, choices = tuner.predicted(), tuner.deviations(), tuner.choices()
    chosen = np.flatnonzero(choices != NO_SETTING)
    errors = gains[chosen, choices[chosen], -1] - predicted[chosen]
    assert abs(errors.mean()) < 0.01
    assert np.mean(np.abs(errors) < 2 * deviations[chosen] + 0.01) > 0.85


def test_deviations_belong_to_the_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    space, gains = network()
    tuner = PairTuner(space)
    spend(tuner, space, gains, share=0.05)
    choices = tuner.choices()
    of_pairs = Posterior.of_pairs

    def told_apart(posterior: Posterior, pairs: Sequence[int]) -> Iterator[PairPosterior]:
        return (replace(each, variance_S=np.arange(len(SETTINGS)) * 1.0) for each in of_pairs(posterior, pairs))

    monkeypatch.setattr(Posterior, "of_pairs", told_apart)
    expected = expand(np.sqrt(np.where(choices == NO_SETTING, 0.0, choices)))
    assert choices.max() > 0
    np.testing.assert_allclose(tuner.deviations(), expected)


def test_only_whole_trials_can_be_chosen_although_parts_are_observed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    space, _ = network()
    names = shipped()[0].feature_names
    features_QF = np.random.default_rng(0).uniform(size=(space.num_pairs, len(names)))
    measured: set[tuple[int, int]] = set()

    def noting(posteriors: Sequence[PairPosterior], *arguments: Any, num_choices: int, **named: Any) -> FloatArray:
        measured.update((len(each.mean_S), num_choices) for each in posteriors)
        return knowledge_gradients(posteriors, *arguments, num_choices=num_choices, **named)

    monkeypatch.setattr("peerkd.tuning.pair_tuner.knowledge_gradients", noting)
    known = replace(space, feature_names=names, features_QF=features_QF)
    PairTuner(known, experience=shipped()[0]).ask(1)
    assert measured == {(len(SETTINGS) * EPOCHS, len(SETTINGS))}


def test_a_network_of_a_hundred_peers_is_planned() -> None:
    num_peers = 100
    students, teachers = np.nonzero(~np.eye(num_peers, dtype=bool))
    rng = np.random.default_rng(0)
    space = Space(
        students_Q=students,
        teachers_Q=teachers,
        settings=SETTINGS,
        default_setting=1,
        num_samples_QS=np.full((len(students), len(SETTINGS)), 100),
        num_epochs=EPOCHS,
        feature_names=("only_teacher_right",),
        features_QF=rng.uniform(size=(len(students), 1)),
    )
    assert len(PairTuner(space).ask(1000)) == 1000


def at_rates(space: Space, gains: np.ndarray) -> tuple[Space, np.ndarray]:
    """Return the same network with three rates. The lowest brings no gain, and the highest harms the student."""
    rates = {0.005: (0.1, -0.01), 0.02: (1.0, 0.0), 0.1: (1.0, -0.06)}
    settings = [each._replace(learning_rate=rate) for rate in rates for each in SETTINGS]
    spread = replace(space, settings=tuple(settings), num_samples_QS=np.tile(space.num_samples_QS, (1, 3)))
    return spread, np.concatenate([factor * gains + lost for factor, lost in rates.values()], axis=1)


def test_good_learning_rates_are_learned_from_all_pairs_together() -> None:
    space, gains = at_rates(*network())
    tuner = PairTuner(space, experience=shipped()[0])
    spend(tuner, space, gains, share=0.1)
    chosen = [space.settings[place].learning_rate for place in tuner.choices() if place != NO_SETTING]
    assert chosen.count(0.02) > 0.8 * len(chosen) > 0
    assert mean_gain(tuner, gains) > 0.6 * np.maximum(gains[:, :, -1].max(axis=1), 0).mean()


def test_trials_at_a_named_rate_do_not_inform_settings_without_a_rate() -> None:
    space, gains = network(seed=1)
    rated, rated_gains = at_rates(space, gains)
    plain, told = (
        PairTuner(space),
        PairTuner(space, earlier_sweeps=[EarlierSweep(space=rated, gains_QS=rated_gains[:, :, -1])]),
    )
    assert np.array_equal(told.choices(), plain.choices())


RATES = (0.02, 1e6)


def beside_an_absurd_rate() -> tuple[Space, np.ndarray, np.ndarray]:
    """Return the network with a second learning rate, at which every trial diverges, and which trials are finite."""
    space, gains = network()
    settings = tuple(setting._replace(learning_rate=rate) for rate in RATES for setting in space.settings)
    both = replace(space, settings=settings, num_samples_QS=np.tile(space.num_samples_QS, 2))
    is_finite_QS = np.arange(2 * len(SETTINGS)) < len(SETTINGS)
    return both, np.tile(gains, (1, 2, 1)), np.broadcast_to(is_finite_QS, (space.num_pairs, len(settings)))


def answer(tuner: PairTuner, gains: np.ndarray, is_finite_QS: np.ndarray, *, num: int) -> list[Suggestion]:
    made: list[Suggestion] = []
    while len(made) < num and (asks := tuner.ask(1)):
        (ask,) = asks
        made.append(ask)
        if is_finite_QS[ask.pair, ask.setting]:
            tuner.tell(Observation(ask, float(gains[ask.pair, ask.setting, ask.num_epochs - 1])))
        else:
            tuner.tell(Observation(ask, -1.0, is_finite=False))
    return made


def test_a_rate_at_which_trials_diverge_is_soon_abandoned_and_never_chosen() -> None:
    space, gains, is_finite_QS = beside_an_absurd_rate()
    tuner, again = PairTuner(space), PairTuner(space)
    made = answer(tuner, gains, is_finite_QS, num=80)
    assert answer(again, gains, is_finite_QS, num=80) == made
    num_diverged = sum(not is_finite_QS[ask.pair, ask.setting] for ask in made)
    assert 0 < num_diverged <= 8
    chosen = tuner.choices()
    assert (chosen < len(SETTINGS)).all()
    assert np.isfinite(tuner.predicted()).all()
    assert np.isfinite(tuner.deviations()).all()
    calm = PairTuner(network()[0])
    answer(calm, gains, is_finite_QS, num=80 - num_diverged)
    assert tuner._posterior.scale < 1.3 * calm._posterior.scale
    assert mean_gain(tuner, gains) > 0.7 * mean_gain(calm, gains) > 0


def test_a_diverged_trial_is_not_suggested_again_and_not_in_the_posterior() -> None:
    space, gains = network()
    tuner = PairTuner(space)
    for ask in tuner.ask(10):
        tuner.tell(Observation(ask, float(gains[ask.pair, ask.setting, ask.num_epochs - 1])))
    tuner.choices()
    means, scale = tuner._posterior.means(), tuner._posterior.scale
    (ask,) = tuner.ask(1)
    early = ask._replace(num_epochs=1)
    tuner.tell(Observation(early, -1.0, is_finite=False))
    tuner.choices()
    assert np.array_equal(tuner._posterior.means(), means)
    assert tuner._posterior.scale == scale
    later = [each for _ in range(200) for each in tuner.ask(1)]
    assert (ask.pair, ask.setting) not in {each[:2] for each in later}
    assert tuner.choices()[ask.pair] != ask.setting


def test_the_tuner_stops_and_changes_nothing_if_every_trial_diverges() -> None:
    space, gains = network()
    tuner = PairTuner(space)
    made = answer(tuner, gains, np.zeros((space.num_pairs, len(SETTINGS)), dtype=bool), num=1000)
    assert len(made) < space.num_pairs * len(SETTINGS) / 2
    assert set(tuner.choices().tolist()) == {NO_SETTING}
    assert not tuner.predicted().any()
