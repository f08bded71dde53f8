import numpy as np
import pytest
from scipy.stats import binomtest

from peerkd.results.intervals import Estimate
from peerkd.results.pair_rows import NO_ROW
from peerkd.results.pairs import at, compare, compare_on_test, mcnemar_p_values, ratio_of_gains
from peerkd.results.selection import candidates, choose
from peerkd.results.table import assemble
from tests.tables import NUM_TEST_SAMPLES, record

PAIR_ROWS = np.array([[NO_ROW, 0], [NO_ROW, NO_ROW]])


def bits(*right):
    return np.packbits(right).tobytes()


def two_trials(first_bits, second_bits):
    """Return a table whose row 0 is the trial with T=1 and whose row 1 is the one with T=2."""
    return assemble([record(test_correct_bits=first_bits), record(temperature=2.0, test_correct_bits=second_bits)])


def test_values_are_found_at_the_rows_of_pairs():
    table = assemble([record(test_global_accuracy_after=0.75), record(temperature=2.0)])
    assert at(table, "test_global_gain", PAIR_ROWS)[0, 1] == 0.25
    assert np.isnan(at(table, "test_global_gain", PAIR_ROWS)[1, 0])
    assert np.isnan(at(table, "test_global_gain_from_data", PAIR_ROWS)[0, 1])


def test_the_paired_difference_counts_samples_that_only_one_side_predicts_correctly():
    table = two_trials(bits(1, 1, 1, 1, 0, 0, 1, 0), bits(1, 0, 0, 0, 1, 0, 1, 0))  # 3 against 1
    paired = compare_on_test(table, PAIR_ROWS, np.where(PAIR_ROWS == 0, 1, NO_ROW), num_test_samples=8)
    assert paired.difference[0, 1] == 2 / 8
    assert paired.standard_error[0, 1] == pytest.approx(np.sqrt(4 - 4 / 8) / 8)
    assert paired.p_value[0, 1] == pytest.approx(2 * (1 + 4) / 16)
    assert not paired.is_win[0, 1]
    assert np.isnan(paired.difference[1, 0])


def test_a_trial_does_not_beat_itself():
    table = two_trials(bits(*[1] * 8), bits(*[1] * 8))
    paired = compare_on_test(table, PAIR_ROWS, PAIR_ROWS, num_test_samples=8)
    assert (paired.difference[0, 1], paired.standard_error[0, 1], paired.p_value[0, 1]) == (0, 0, 1)
    assert not paired.is_win[0, 1]


def test_padding_bits_are_not_samples():
    table = two_trials(b"\xff", b"\xe0")
    paired = compare_on_test(table, PAIR_ROWS, np.where(PAIR_ROWS == 0, 1, NO_ROW), num_test_samples=3)
    assert paired.difference[0, 1] == 0


def test_bits_of_another_test_set_are_refused():
    with pytest.raises(ValueError, match="must have 2 bytes for 9 test samples, got 1"):
        compare_on_test(two_trials(b"\xff", b"\xff"), PAIR_ROWS, PAIR_ROWS, num_test_samples=9)


def test_the_exact_test_is_the_binomial_test():
    first = np.array([0, 5, 1, 9, 7, 2000, 3, 8, 1, 0])
    second = np.array([0, 0, 9, 1, 7, 2300, 4, 3, 0, 60])
    found = mcnemar_p_values(first, second)
    assert found[:5] == pytest.approx([1, 2 / 32, 2 * 11 / 1024, 2 * 11 / 1024, 1])
    for p_value, wins, losses in zip(found[1:], first[1:], second[1:], strict=True):
        assert p_value == binomtest(int(wins), int(wins + losses)).pvalue


def test_chosen_and_default_are_compared_on_test():
    """There are four peers. Only student 0 has a chosen setting with T=4, which wins by all eight samples."""
    records = []
    for student in range(4):
        for teacher in range(4):
            if student == teacher:
                continue
            pair = {"student": student, "teacher": teacher, "test_correct_bits": b"\x00"}
            records.append(record(**pair))
            better = {"validation_global_accuracy_after": 0.9, "test_global_accuracy_after": 1.0}
            bits_after = {"test_correct_bits": b"\xff"}
            records.append(record(**(pair | {"temperature": 4.0} | (better | bits_after if student == 0 else {}))))
    table = assemble(records)
    trials = candidates(table, metric="global_accuracy")
    choice = choose(trials, default_transfer_set="student")
    comparison = compare(table, trials, choice, scope="global", num_test_samples=NUM_TEST_SAMPLES)
    assert comparison.chosen.value == pytest.approx(0.5 * 3 / 12)
    assert comparison.default.value == 0
    assert comparison.tuned_over_default.value == pytest.approx(0.125)
    assert comparison.share_not_default.value == pytest.approx(3 / 12)
    assert comparison.share_wins.value == pytest.approx(3 / 12)
    assert comparison.ratio.value is None


@pytest.mark.parametrize(
    ("default", "reason"),
    [
        (Estimate(0.01, -0.01, 0.03, 90), "interval of the default's mean gain includes 0"),
        (Estimate(-0.02, -0.03, -0.01, 90), "is negative"),
        (Estimate(0.02, np.nan, np.nan, 6), "too few peers"),
    ],
)
def test_no_ratio_is_given_for_a_gain_within_noise(default, reason):
    ratio = ratio_of_gains(Estimate(0.1, 0.05, 0.15, 90), default)
    assert ratio.value is None
    assert reason in ratio.reason


def test_a_ratio_is_given_for_a_gain_above_noise():
    assert ratio_of_gains(Estimate(0.1, 0, 0.2, 90), Estimate(0.02, 0.01, 0.03, 90)).value == pytest.approx(5)
