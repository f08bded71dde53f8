"""The sampling noise of gains on validation, against the samples themselves."""

import numpy as np
import pytest

from peerkd.results.validation_noise import COLUMNS, gain_covariance
from peerkd.study.objective import Objective
from peerkd.study.splits import NumSamples
from tests.tables import answered, record


def columns_of(rows):
    return {name: [row[name] for row in rows] for name in COLUMNS}


GLOBAL = Objective()


def noise(rows, *, num=4, num_own=10, objective=GLOBAL, wanted=None):
    return gain_covariance(columns_of(rows), objective, validation=NumSamples(num, num_own), wanted=wanted)


def test_two_trials_by_hand():
    before = np.array([True, True, False, False])
    first = answered(record(), before, np.array([True, True, True, False]))
    second = answered(record(), before, np.array([True, False, True, True]))
    # The changes of the samples are 0 0 1 0, with mean 1/4 and variance 1/4 - 1/16, and 0 -1 1 1, with mean 1/4 and
    # variance 3/4 - 1/16. The mean of their products is 1/4, so the covariance is 1/4 - 1/16. Half a sample of
    # disagreement adds 2 / 8 to a variance and 1 / 8 to a covariance. The mean of four samples divides by 4.
    expected = np.array([[3 / 16 + 1 / 4, 3 / 16 + 1 / 8], [3 / 16 + 1 / 8, 11 / 16 + 1 / 4]]) / 4
    assert noise([first, second]) == pytest.approx(expected)


def test_the_noise_is_that_of_the_samples():
    rng = np.random.default_rng(0)
    before = rng.random(203) < 0.6
    answers = [before ^ (rng.random(203) < share) for share in (0.1, 0.3, 0.5)]
    changes = np.array([after.astype(float) - before for after in answers])
    expected = (np.cov(changes, bias=True) + (np.eye(3) + 1) / (2 * 203)) / 203
    assert noise([answered(record(), before, after) for after in answers], num=203) == pytest.approx(expected)


def test_a_set_with_given_class_proportions_has_the_noise_within_classes():
    """The noise of many sets that are drawn class by class, against the formula on one of them."""
    rng = np.random.default_rng(0)
    shares_K, num_K = np.array([0.1, 0.5, 0.9]), np.array([40, 60, 100])
    labels = np.repeat(np.arange(3), num_K)

    def draw():
        before = rng.random(200) < 0.5
        return before, [np.where(rng.random(200) < shares_K[labels], place == 1, before) for place in (0, 1)]

    before, afters = draw()
    rows = [
        answered(record(), before, after)
        | {
            f"validation_class_accuracy_{moment}": [values[labels == k].mean() for k in range(3)]
            for moment, values in (("before", before), ("after", after))
        }
        for after in afters
    ]
    found = gain_covariance(columns_of(rows), GLOBAL, validation=NumSamples(200, 10, tuple(num_K.tolist())))
    drawn = [[after.mean() - before.mean() for after in afters] for before, afters in (draw() for _ in range(4000))]
    unseen = (np.eye(2) + 1) / (2 * 200) / 200
    assert found - unseen == pytest.approx(np.cov(np.transpose(drawn)), rel=0.25)
    # Without the counts, the differences between the classes count as noise.
    assert noise(rows, num=200)[0, 0] > 1.1 * found[0, 0]


def test_bits_of_a_journal_are_read_too():
    before, after = np.array([True, True, False, False]), np.array([True, False, True, True])
    row = answered(record(), before, after)
    as_hex = {**row, "validation_correct_bits": row["validation_correct_bits"].hex()}
    assert noise([as_hex]) == pytest.approx(noise([row]))


def test_a_test_set_of_another_size_has_its_own_noise():
    row = answered(record(), np.array([True, True, False, False]), np.array([True, False, True, True]))
    assert noise([row], wanted=NumSamples(16, 10)) == pytest.approx(noise([row]) / 4)


def test_networks_that_agree_on_every_sample_are_not_without_noise():
    same = np.array([True, True, False, False])
    assert noise([answered(record(), same, same)]) == pytest.approx(np.array([[1 / 4 / 4]]))


def test_own_accuracy_has_the_noise_of_independent_answers():
    row = record(validation_own_accuracy_before=0.5, validation_own_accuracy_after=0.8)
    own = noise([row], objective=Objective(own_weight=1.0))
    assert own == pytest.approx(np.array([[(0.25 + 0.16) / 10]]))


def test_a_mean_of_both_accuracies_has_at_most_the_noise_of_samples_in_common():
    row = answered(record(), np.array([True, True, False, False]), np.array([True, False, True, True]))
    of_global, of_own = (noise([row], objective=Objective(own_weight=weight)) for weight in (0.0, 1.0))
    mixed = noise([row], objective=Objective(own_weight=0.25))
    assert mixed == pytest.approx(2 * (0.75**2 * of_global + 0.25**2 * of_own))


def test_without_bits_the_changes_of_two_trials_count_as_independent():
    before = np.array([True, True, False, False])
    rows = [answered(record(), before, np.array([True, True, True, False]))] * 2
    known, unknown = noise(rows), noise([{**row, "validation_correct_bits": None} for row in rows])
    assert unknown.diagonal() == pytest.approx(known.diagonal())
    # The two trials are the same, so their difference has only the noise of samples that were not seen.
    assert known[0, 0] - known[0, 1] == pytest.approx(1 / 8 / 4)
    assert unknown[0, 0] - unknown[0, 1] == pytest.approx((3 / 16 + 1 / 8) / 4)
