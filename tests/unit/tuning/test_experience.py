"""Experience from full sweeps is stored, interpolated, not used outside its range, and corrected by observations."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.tuning.learn_experience import learn
from benchmarks.tuning.replay import Replay
from benchmarks.tuning.scoring import GainsOnTest
from peerkd.arrays import IntArray
from peerkd.losses.pairs import PAIR_LOSSES
from peerkd.losses.pairs.term import HINTON, distillation_term
from peerkd.tuning.experience import Experience, load, rung_epochs, save, shipped, shipped_for, why_unused
from peerkd.tuning.experience_grid import ExperienceGrid
from peerkd.tuning.pair_tuner import PairTuner
from peerkd.tuning.space import SettingOnSet, Space
from tests.unit.tuning.test_pair_tuner import EPOCHS, SETTINGS, best, mean_gain, network, spend

NUM_SETTINGS = len(SETTINGS)


def simulated(seed: int, *, sign: float = 1.0) -> Replay:
    space, gains = network(seed=seed)
    gains = sign * gains
    return Replay(name=str(seed), space=space, gains_QSE=gains, test_gains=GainsOnTest(gains[:, :, -1]))


@pytest.fixture(scope="module")
def experience() -> Experience:
    return learn([simulated(seed) for seed in (2, 3, 4)])


def with_settings(space: Space, *settings: SettingOnSet) -> Space:
    return replace(space, settings=settings, num_samples_QS=space.num_samples_QS[:, : len(settings)], default_setting=0)


def rungs(space: Space) -> IntArray:
    return rung_epochs(space, num_rungs=3)


def test_on_the_grid_experience_equals_the_regression(experience: Experience) -> None:
    space, _ = network(seed=1)
    values_QA = experience.basis.values(space)
    grid = (experience.mean_G + values_QA @ experience.regression_AG).reshape(len(values_QA), 3, 3, 2, EPOCHS)
    expected = experience.expected(space, rungs(space)).reshape(len(values_QA), EPOCHS, NUM_SETTINGS)
    for place, (transfer_set, temperature, alpha, *_) in enumerate(SETTINGS):
        of_setting = grid[
            :,
            experience.grid.transfer_sets.index(transfer_set),
            experience.grid.weights.tolist().index(alpha),
            experience.grid.temperatures.tolist().index(temperature),
        ]
        # The last epoch comes first.
        np.testing.assert_allclose(expected[:, :, place], of_setting[:, ::-1], atol=1e-12)


def test_a_pair_outside_the_observed_range_is_treated_like_the_nearest(experience: Experience) -> None:
    space, _ = network(seed=1)
    largest_F = (experience.limits_2F[1] * experience.lengths_F)[: len(space.feature_names)]
    assert experience.feature_names == space.feature_names
    at_the_end, beyond = (
        replace(space, features_QF=np.tile(largest_F * factor, (space.num_pairs, 1))) for factor in (1.0, 3.0)
    )
    np.testing.assert_allclose(
        experience.expected(beyond, rungs(space)), experience.expected(at_the_end, rungs(space)), atol=1e-9
    )
    np.testing.assert_allclose(experience.spread(beyond), experience.spread(at_the_end))


def test_between_points_of_the_grid_experience_is_interpolated(experience: Experience) -> None:
    space, _ = network(seed=1)
    ends = [SettingOnSet("both", temperature, 0.5, 0.5) for temperature in (1.0, 4.0)]
    between = with_settings(space, *ends, SettingOnSet("both", 2.0, 0.5, 0.5), SettingOnSet("both", 8.0, 0.5, 0.5))
    expected = experience.expected(between, rungs(between))[:, :4]
    np.testing.assert_allclose(expected[:, 2], expected[:, :2].mean(axis=1))
    np.testing.assert_allclose(expected[:, 3], expected[:, 1])


def test_the_residual_covariance_consists_of_functions_and_luck(experience: Experience) -> None:
    space, _ = network(seed=1)
    prior = experience.prior(space, rungs(space))
    total = prior.own_SS + prior.across_SS + prior.shared_SU @ prior.shared_SU.T
    first = np.arange(EPOCHS)
    # These are the whole trial, two epochs and one epoch of the first setting, which is also first on the grid.
    places = first * NUM_SETTINGS
    functions = experience.factors_GL[first[::-1]] @ experience.factors_GL[first[::-1]].T
    values, vectors = np.linalg.eigh(experience.luck_KEE[0] - 0.6**2 * np.eye(EPOCHS))
    luck = (vectors * np.maximum(values, 0)) @ vectors.T
    np.testing.assert_allclose(total[np.ix_(places, places)], functions + luck[::-1, ::-1], atol=1e-9)
    assert np.linalg.eigvalsh(prior.own_SS).min() > -1e-9


def test_no_pair_is_so_predictable_that_nothing_is_tried(experience: Experience) -> None:
    sure = replace(experience, spread_A=np.full_like(experience.spread_A, -100.0))
    space, _ = network(seed=1)
    np.testing.assert_allclose(sure.spread(space), np.exp(-1.0))


def test_experience_covers_the_swept_grid_and_little_more(experience: Experience) -> None:
    space, _ = network(seed=1)
    assert experience.covers(space)
    assert experience.covers(with_settings(space, SettingOnSet("both", 8.0, 0.95, 0.95)))
    assert not experience.covers(with_settings(space, SettingOnSet("both", 16.0, 0.5, 0.5)))
    assert not experience.covers(with_settings(space, SettingOnSet("public", 1.0, 0.5, 0.5)))
    assert not experience.covers(replace(space, feature_names=("agreement",)))
    assert not experience.covers(replace(space, has_global_gains=False))


OTHER_LOSS = distillation_term(PAIR_LOSSES["reverse_kl"])


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"term": OTHER_LOSS}, "the loss is the reverse KL divergence, which is unknown to it"),
        ({"term": HINTON._replace(reduction="mean")}, "the reduction is mean, not batchmean"),
        ({"term": HINTON._replace(scale_by_temperature_squared=False)}, "the loss is not multiplied by T^2"),
        ({"teacher_mode": "train"}, "the teacher is in train mode, not in eval mode"),
        ({"target": "mean+prior_adjusted"}, "the target mean+prior_adjusted is unknown to it"),
        ({"has_global_gains": False}, "the objective is not global accuracy alone"),
        ({"feature_names": ("agreement",)}, "the study lacks 1 feature of pairs (only_teacher_right)"),
    ],
)
def test_it_covers_one_loss_with_its_conventions(
    experience: Experience, change: dict[str, object], difference: str
) -> None:
    other = replace(network(seed=1)[0], **change)
    assert experience.differences(other) == [difference]
    assert not experience.covers(other)
    # A tuner that has the experience then suggests what a tuner without it does.
    assert PairTuner(other, experience=experience).ask(9) == PairTuner(other).ask(9)


def test_every_difference_in_settings_is_named(experience: Experience) -> None:
    strange = SettingOnSet("public", 16.0, 0.5, 0.5), SettingOnSet("both", 1.0, 0.0, 0.0, 0.1)
    narrow = replace(
        experience,
        grid=ExperienceGrid.full(
            experience.grid.combinations,
            weights=np.array([0.5, 0.9]),
            temperatures=experience.grid.temperatures,
            epoch_shares=experience.grid.epoch_shares,
        ),
    )
    assert narrow.differences(with_settings(network(seed=1)[0], *strange)) == [
        "several learning rates are tried",
        "the transfer set public is unknown to it",
        "the temperature 16 is too far from its range, 1 to 4",
        "the distillation weight 0 is too far from its range, 0.5 to 0.9",
    ]


def test_a_study_learns_why_it_starts_without_experience() -> None:
    space = replace(network(seed=1)[0], feature_names=())
    names = shipped()[0].feature_names
    known = replace(space, feature_names=names, features_QF=np.zeros((space.num_pairs, len(names))))
    assert why_unused(known, is_wanted=True) is None
    assert "lacks 39 features of pairs (" in why_unused(space, is_wanted=True)
    assert why_unused(known, is_wanted=False) == "tune.experience is false"
    both = replace(known, term=OTHER_LOSS, teacher_mode="train")
    assert why_unused(both, is_wanted=True) == (
        "the loss is the reverse KL divergence, which is unknown to it; the teacher is in train mode, not in eval mode"
    )


def test_experience_covers_only_one_learning_rate(experience: Experience) -> None:
    space, _ = network(seed=1)
    slow, fast = (SettingOnSet("both", 4.0, 0.5, 0.5, rate) for rate in (0.02, 0.1))
    assert experience.covers(with_settings(space, slow, slow._replace(alpha=0.1, distillation_weight=0.1)))
    assert not experience.covers(with_settings(space, slow, fast))
    spread = replace(simulated(2), space=with_settings(simulated(2).space, *_at_two_rates()))
    with pytest.raises(ValueError, match=r"All tables must have one learning rate, got several in "):
        learn([spread, spread], provenance="")


def _at_two_rates() -> list[SettingOnSet]:
    return [each._replace(learning_rate=0.02 * (1 + place % 2)) for place, each in enumerate(SETTINGS)]


def test_experience_is_read_back_as_written(experience: Experience, tmp_path: Path) -> None:
    space, _ = network(seed=1)
    for name in ("one.npz", "two.npz"):
        save(replace(experience, provenance="of a test"), tmp_path / name)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    found = load(tmp_path / "one.npz")
    assert found.provenance == "of a test"
    np.testing.assert_allclose(
        found.expected(space, rungs(space)), experience.expected(space, rungs(space)), rtol=0.02, atol=0.02
    )


@pytest.mark.parametrize("content", [b"", b"PK nothing", b"PK\x03\x04 nothing"])
def test_a_file_that_is_not_an_experience_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"experience must be an archive that peerkd\.tuning\.experience\.save wrote"):
        load(path)


def test_experience_helps_before_the_first_observation(experience: Experience) -> None:
    space, gains = network(seed=1)
    assert mean_gain(PairTuner(space, experience=experience), gains) > 0.6 * best(gains)


def test_a_wrong_experience_is_overruled() -> None:
    # With ten peers, ninety pairs share what is learned.
    space, gains = network(num_peers=10, seed=1)
    wrong = learn([simulated(seed, sign=-1.0) for seed in (2, 3, 4)])
    tuner = PairTuner(space, experience=wrong)
    before = mean_gain(tuner, gains)
    spend(tuner, space, gains, share=0.1)
    assert before < 0.1 * best(gains)
    assert mean_gain(tuner, gains) > 0.8 * best(gains)


def test_the_shipped_experience_comes_from_digits_and_is_small() -> None:
    known = shipped()[0]
    assert known.grid.transfer_sets == ("student", "teacher", "both")
    assert len(known.provenance.splitlines()) == 31
    assert all("digits" in line for line in known.provenance.splitlines())
    assert len(known.feature_names) == 39


def test_the_shipped_experience_of_losses_and_targets_covers_data_that_stay_at_home() -> None:
    known = shipped()[1]
    assert len(known.provenance.splitlines()) == 3
    tried = [
        SettingOnSet(name, temperature, weight, weight, None, loss, target)
        for name, weight in (("student_and_public", 0.5), ("public_unlabelled", 1.0))
        for temperature in (1.0, 2.0)
        for loss in ("kl", "standardised_kl")
        for target in ("class_counts+prior_adjusted", "masks")
    ]
    names = known.feature_names
    space = with_settings(network(seed=1)[0], *tried)
    space = replace(space, feature_names=names, features_QF=np.zeros((space.num_pairs, len(names))))
    assert shipped_for(space) is known
    assert why_unused(space, is_wanted=True) is None
    assert shipped_for(replace(space, has_global_gains=False)) is None
