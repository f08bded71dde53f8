"""Groups of studies, with every mean, interval and difference worked out by hand."""

import math

import numpy as np
import pytest
from scipy.stats import t as student_t

from peerkd.results.compared_studies import MeasuredStudy, Quantity, compare_studies
from peerkd.results.intervals import mean_over_pairs

GAIN = Quantity("gain", is_accuracy=False)
OTHER = Quantity("accuracy", is_accuracy=True)


def study(seed=0, values=0.0, *, run="", peers="", quantity=GAIN, **settings):
    return MeasuredStudy(
        run=run or f"run-{seed}",
        seed=seed,
        settings={"name": "value", **settings},
        peers=peers,
        values={quantity: np.array(values)},
    )


def of_pairs(num_peers=5, *, shift=0.0):
    values_PP = np.random.default_rng(0).normal(size=(num_peers, num_peers)) + shift
    np.fill_diagonal(values_PP, np.nan)
    return values_PP


def t_interval(values):
    half = student_t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
    return np.mean(values) - half, np.mean(values) + half


def test_studies_that_differ_by_seed_alone_are_one_group_with_an_interval_over_seeds():
    comparison = compare_studies([study(2, [[np.nan, 0.3], [0.5, np.nan]]), study(0, 0.1), study(1, 0.2)])
    (group,) = comparison.groups
    assert group.seeds == (0, 1, 2)
    assert comparison.fields == ()
    assert group.by_seed(GAIN) == {0: 0.1, 1: 0.2, 2: 0.4}
    estimate = group.estimate(GAIN)
    assert (estimate.value, estimate.num) == (pytest.approx(0.7 / 3), 3)
    assert (estimate.low, estimate.high) == pytest.approx(t_interval([0.1, 0.2, 0.4]))
    assert group.unit(GAIN) == "seed"


def test_only_fields_that_differ_are_named_and_a_missing_one_is_empty():
    comparison = compare_studies([study(skew="iid"), study(skew="dirichlet", concentration="0.3")])
    assert comparison.fields == ("skew", "concentration")
    assert [dict(group.settings) for group in comparison.groups] == [
        {"skew": "iid", "concentration": ""},
        {"skew": "dirichlet", "concentration": "0.3"},
    ]
    assert comparison.groups[1].label == "skew=dirichlet, concentration=0.3"


def test_a_difference_is_paired_by_the_seeds_that_two_groups_have_in_common():
    first = [study(seed, value, loss="kl") for seed, value in enumerate((0.1, 0.5, 0.9))]
    second = [study(seed, value, loss="dkd") for seed, value in enumerate((0.2, 0.8, 1.0, 7.0))]
    difference = compare_studies([*first, *second]).difference(1, GAIN)
    assert difference.basis == "seeds"
    assert difference.estimate.value == pytest.approx((0.1 + 0.3 + 0.1) / 3)
    assert (difference.estimate.low, difference.estimate.high) == pytest.approx(t_interval([0.1, 0.3, 0.1]))


def test_with_the_same_peers_pairs_that_one_study_lacks_are_omitted():
    first = [study(seed, [[np.nan, 0.1], [0.4, np.nan]], peers=f"p{seed}", loss="kl") for seed in (0, 1)]
    second = [study(seed, [[np.nan, np.nan], [0.5 + seed, np.nan]], peers=f"p{seed}", loss="x") for seed in (0, 1)]
    difference = compare_studies([*first, *second]).difference(1, GAIN)
    assert difference.estimate.value == pytest.approx((0.1 + 1.1) / 2)
    other = [study(seed, each.values[GAIN], peers="other", loss="x") for seed, each in enumerate(second)]
    assert compare_studies([*first, *other]).difference(1, GAIN).estimate.value == pytest.approx((0.25 + 1.25) / 2)


def test_with_one_seed_and_the_same_peers_a_difference_is_paired_by_pairs():
    values_PP, others_PP = of_pairs(), of_pairs(shift=1.0) ** 2
    comparison = compare_studies([study(0, values_PP, peers="p", loss="kl"), study(0, others_PP, peers="p", loss="x")])
    difference = comparison.difference(1, GAIN)
    assert difference == (mean_over_pairs(others_PP - values_PP), "peers")
    assert comparison.groups[0].estimate(GAIN) == mean_over_pairs(values_PP)
    assert comparison.groups[0].unit(GAIN) == "pair"


def test_values_of_peers_have_an_interval_over_peers_if_there_are_enough():
    (group,) = compare_studies([study(0, [0.1, 0.2, np.nan, 0.3, 0.6])]).groups
    assert (group.estimate(GAIN).low, group.estimate(GAIN).num) == (
        pytest.approx(t_interval([0.1, 0.2, 0.3, 0.6])[0]),
        4,
    )
    (group,) = compare_studies([study(0, [0.1, 0.2, 0.3])]).groups
    assert not group.estimate(GAIN).has_interval
    (group,) = compare_studies([study(0, 0.1)]).groups
    assert (group.estimate(GAIN).value, group.unit(GAIN)) == (0.1, "run")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (study(0, [0.1] * 4, peers="p", loss="kl"), study(0, [0.3] * 4, peers="q", loss="x")),
        (study(0, [0.1] * 4, peers="p", loss="kl"), study(1, [0.3] * 4, peers="p", loss="x")),
        (study(0, 0.1, loss="kl"), study(0, 0.3, loss="x")),
    ],
    ids=["other peers", "other seeds", "single numbers"],
)
def test_a_difference_without_a_pairing_has_no_interval(first, second):
    difference = compare_studies([first, second]).difference(1, GAIN)
    assert difference.basis == "none"
    assert difference.estimate.value == pytest.approx(0.2)
    assert not difference.estimate.has_interval


def test_a_seed_without_a_value_is_not_part_of_a_mean():
    comparison = compare_studies([study(0, np.nan), study(1, 0.2), study(2, 0.4)])
    assert comparison.groups[0].estimate(GAIN).value == pytest.approx(0.3)
    assert comparison.groups[0].estimate(GAIN).num == 2


def test_two_equal_studies_are_refused():
    with pytest.raises(ValueError, match=r"got a and b, which are equal in both \(seed 0\)\.$"):
        compare_studies([study(run="a"), study(run="b")])


def test_studies_without_a_common_quantity_are_refused():
    with pytest.raises(ValueError, match=r"a common quantity, got none \(a: gain; b: accuracy\)\.$"):
        compare_studies([study(run="a", loss="kl"), study(run="b", loss="x", quantity=OTHER)])
