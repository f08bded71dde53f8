"""A data set is divided as the config specifies, with all kinds of skew."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.data.dataset import RawDataset
from peerkd.data.partition.assignment import Assignment
from peerkd.stages.division import divide, division_warnings, evaluation_sets

NUM_CLASSES = 5


def dataset(num_train=1000, num_test=0, num_validation=0) -> RawDataset:
    labels = np.arange(num_train + num_validation + num_test) % NUM_CLASSES
    return RawDataset(
        images_NCHW=np.zeros((len(labels), 1, 4, 4), dtype=np.uint8),
        labels_N=labels,
        num_train=num_train,
        class_names=tuple("abcde"),
        columns={"writer": np.arange(len(labels)) // 20},
        name="grid",
        num_validation=num_validation,
    )


def divided(overrides: str, source: RawDataset) -> Assignment:
    return divide(resolve(JOINTKD, preset="digits", overrides=f"partition.num_peers=4 {overrides}"), source)


SKEWS = [
    "partition.label_skew.kind=iid",
    "partition.label_skew.concentration=0.05",
    "partition.label_skew.kind=classes partition.label_skew.classes_per_peer=2",
    "partition.label_skew.kind=shards partition.label_skew.shards_per_peer=3",
    "partition.label_skew.kind=natural partition.label_skew.column=writer partition.own_evaluation=held_out",
    "partition.label_skew.kind=iid partition.quantity_skew.kind=dirichlet",
    "partition.label_skew.concentration=0.1 partition.quantity_skew.kind=dirichlet",
]


@pytest.mark.parametrize("num_test", [0, 200])
@pytest.mark.parametrize("own_evaluation", ["matched", "held_out"])
@pytest.mark.parametrize("public_fraction", [0, 0.2])
@pytest.mark.parametrize("skew", SKEWS)
def test_no_training_sample_is_lost_shared_or_used_for_evaluation(skew, public_fraction, own_evaluation, num_test):
    if "natural" in skew:
        own_evaluation = "held_out"
    source = dataset(num_test=num_test)
    got = divided(
        f"{skew} partition.own_evaluation={own_evaluation} partition.public_fraction={public_fraction}", source
    )
    own = [*got.own_validation, *got.own_test] if own_evaluation == "held_out" else []
    everything = np.concatenate([*got.train, *own, got.validation, got.test, got.public])
    assert sorted(everything) == list(range(len(source.labels_N)))
    if num_test:
        assert got.test.tolist() == list(range(1000, 1200))
    assert len(got.public) == pytest.approx(public_fraction * (1000 if num_test else 750), abs=5)


@pytest.mark.parametrize("num_test", [0, 200])
@pytest.mark.parametrize("public_fraction", [0, 0.2])
@pytest.mark.parametrize("skew", SKEWS)
def test_the_validation_split_of_a_data_set_is_the_whole_validation_set(skew, public_fraction, num_test):
    own_evaluation = "held_out" if "natural" in skew else "matched"
    source = dataset(num_test=num_test, num_validation=150)
    got = divided(
        f"{skew} partition.own_evaluation={own_evaluation} partition.public_fraction={public_fraction}", source
    )
    assert got.validation.tolist() == list(range(1000, 1150))
    own = [*got.own_validation, *got.own_test] if own_evaluation == "held_out" else []
    everything = np.concatenate([*got.train, *own, got.validation, got.test, got.public])
    assert sorted(everything) == list(range(len(source.labels_N)))
    if num_test:
        assert got.test.tolist() == list(range(1150, 1350))
    if own_evaluation == "matched":
        assert all(set(own) <= set(got.validation.tolist()) for own in got.own_validation)
    assert len(got.public) == pytest.approx(public_fraction * (1000 if num_test else 750), abs=5)


def test_the_validation_fraction_is_ignored_if_the_data_set_has_a_validation_split():
    source = dataset(num_validation=150)
    parts = [divided(f"data.validation_fraction={fraction}", source).fingerprint for fraction in (0.1, 0.4)]
    assert parts[0] == parts[1]
    with pytest.raises(ValueError, match=r"at least 10 samples, got|must be at most"):
        divided("partition.public_fraction=0.99", source)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_seed_determines_the_whole_division(seed):
    source = dataset()
    one, other = (divided(f"seed={seed}", source) for _ in range(2))
    assert one.fingerprint == other.fingerprint
    assert one.fingerprint != divided(f"seed={(seed + 1) % 2**32}", source).fingerprint


def test_matched_own_sets_have_the_class_shares_of_the_peer_and_are_subsets_of_the_global_sets():
    source = dataset(4000, 1000)
    got = divided("partition.label_skew.concentration=0.5 data.validation_fraction=0.25", source)
    for peer in range(4):
        shares = np.bincount(source.labels_N[got.train[peer]], minlength=NUM_CLASSES) / len(got.train[peer])
        for own, everyone in ((got.own_validation[peer], got.validation), (got.own_test[peer], got.test)):
            assert set(own) <= set(everyone)
            got_shares = np.bincount(source.labels_N[own], minlength=NUM_CLASSES) / len(own)
            np.testing.assert_allclose(got_shares, shares, atol=0.01)


def test_natural_peers_never_share_an_id():
    source = dataset()
    got = divided(SKEWS[4], source)
    owners = [set(source.columns["writer"][part]) for part in got.train]
    assert len(set.union(*owners)) == sum(len(ids) for ids in owners)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("partition.num_peers=500", r"partition.num_peers must be at most \d+, so that each has 10 .*, got 500"),
        (
            "partition.label_skew.kind=natural partition.label_skew.column=city partition.own_evaluation=held_out",
            r"partition.label_skew.column must be one of \['writer'\], got 'city'",
        ),
        ("partition.public_fraction=0.9", "must be less than 1 together, .*, got 0.2 and 0.9"),
        (
            "partition.quantity_skew.kind=dirichlet partition.quantity_skew.concentration=0.001",
            "None of 100 draws gave every peer at least 10 samples",
        ),
        ("partition.label_skew.kind=classes partition.label_skew.classes_per_peer=9", "classes_per_peer"),
        (
            "partition.own_evaluation=held_out partition.held_out_fraction=0.99",
            r"partition.min_samples_per_peer must be met by every peer, got 4 peers with fewer than 10 .*; "
            r"peer \d has the fewest, \d. Possible fixes: .*lower partition.held_out_fraction, choose a milder "
            "partition.label_skew",
        ),
        (
            "partition.label_skew.kind=shards partition.label_skew.shards_per_peer=2000",
            r"partition.label_skew: num_peers \* shards_per_peer must be at most the 600 samples",
        ),
        (
            "partition.min_samples_per_peer=400",
            "partition.min_samples_per_peer must be at most 150, so that 4 peers can share the 600 training samples",
        ),
        (
            "partition.num_peers=1000 partition.min_samples_per_peer=400",
            r"data.path must have at least 400,000 training samples for 1,000 peers .*, got 600",
        ),
        (f"{SKEWS[4]} partition.num_peers=60", "a value for each of the 60 peers .* got 50 distinct values"),
    ],
)
def test_a_partition_that_cannot_exist_is_refused(overrides, message):
    with pytest.raises(ValueError, match=message):
        divided(overrides, dataset())


@pytest.mark.parametrize("seed", [0, 1])
def test_a_natural_partition_needs_a_value_for_held_out_samples_too(seed: int) -> None:
    source = dataset(num_test=200)
    writers = np.array([f"writer {number:02}" for number in source.columns["writer"]])
    skew = f"{SKEWS[4]} seed={seed}"
    # No sample of a test split of its own can become a training sample.
    writers[1_100] = ""
    accepted = divided(skew, replace(source, columns={"writer": writers}))
    held_out = int(accepted.validation[0])
    writers[held_out] = " "
    message = r"those held out for evaluation included, got 1 of 1,000 without one in writer, the first ' ' for sample "
    with pytest.raises(ValueError, match=rf"{message}{held_out}\.$"):
        divided(skew, replace(source, columns={"writer": writers}))


def of_labels(labels, columns=None, **splits) -> RawDataset:
    labels = np.array(labels)
    return RawDataset(
        images_NCHW=np.zeros((len(labels), 1, 4, 4), dtype=np.uint8),
        labels_N=labels,
        class_names=("cat", "dog", "fox"),
        columns=columns or {},
        name="pets",
        **{"num_train": len(labels), **splits},
    )


@pytest.mark.parametrize(
    ("labels", "splits", "message"),
    [
        (
            [1] * 50,
            {},
            "the training samples must be of at least 2 classes, got 50 samples of class dog; add images of ",
        ),
        ([0] * 50 + [1] * 9, {"num_train": 50}, "got 50 samples of class cat"),
        (
            [0, 1, 2],
            {},
            "data.validation_fraction must hold out at least one .* and leave one .*, got 0.2 of 2; add images",
        ),
        ([0, 1], {}, "data.test_fraction must leave at least one sample to train on and one to test on, got 0.25 of 2"),
        ([0, 1, 2] * 3, {"num_train": 3}, "data.path: some class must have training and validation samples"),
        ([0, 1] * 20 + [2], {"num_train": 40}, "got no test sample of a class that is trained on"),
        ([0, 1] * 20 + [2], {"num_train": 40, "num_validation": 1}, "got no validation sample of a class"),
    ],
)
def test_labels_from_which_nothing_can_be_learned_are_refused(labels, splits, message):
    with pytest.raises(ValueError, match=message):
        divided("partition.num_peers=2 partition.min_samples_per_peer=2", of_labels(labels, **splits))


def test_a_class_that_is_completely_held_out_leaves_one_class_for_training():
    fractions = "partition.num_peers=2 data.test_fraction=0.9 data.validation_fraction=0.9"
    with pytest.raises(ValueError, match="the training samples must be of at least 2 classes, got 1 sample of class"):
        divided(fractions, of_labels([0] * 50 + [2]))


def test_a_peer_whose_classes_are_in_no_evaluation_set_is_refused():
    # Two peers have one class each. The test set has only one of the classes.
    source = of_labels([0, 1] * 40 + [0] * 10, num_train=80)
    two_classes = "partition.num_peers=2 partition.label_skew.kind=classes partition.label_skew.classes_per_peer=1"
    with pytest.raises(ValueError, match=r"own_evaluation must be held_out if the test set .* has only dog\."):
        divided(two_classes, source)
    assert divided(f"{two_classes} partition.own_evaluation=held_out", source).num_peers == 2


def test_a_peer_too_small_to_hold_samples_out_is_refused():
    with pytest.raises(ValueError, match=r"held_out_fraction must give every peer .*, got 0.2 of the 4 samples of"):
        divided(
            "partition.num_peers=7 partition.own_evaluation=held_out partition.min_samples_per_peer=2",
            of_labels([0, 1, 2] * 14),
        )


@pytest.mark.parametrize(
    ("missing", "told"),
    [(np.nan, "nan"), (np.inf, "inf"), ("", "''"), ("  ", "'  '"), ("nan", "'nan'"), ("None", "'None'"), (b"", "b''")],
)
def test_a_missing_id_is_refused(missing, told):
    like = {float: 1.0, str: "ab", bytes: b"ab"}[type(missing)]
    ids = np.array([missing, *[like] * 80, missing, *[like * 2] * 18])
    # The test split is not divided, so the second missing id does not matter.
    source = of_labels([0, 1] * 50, {"writer": ids}, num_train=81)
    with pytest.raises(ValueError, match=rf"column must have a value .*, got 1 of \d\d .* {told} for sample 0"):
        divided(f"{SKEWS[4]} partition.num_peers=2 seed=1", source)


def test_missing_and_scarce_samples_are_reported_and_nothing_else():
    config = resolve(JOINTKD, preset="digits", overrides="partition.num_peers=2 partition.label_skew.kind=iid")
    assert division_warnings(config, dataset(), divide(config, dataset())) == []
    source = of_labels([0, 1] * 100 + [2])
    assert division_warnings(config, source, divide(config, source)) == [
        "1 class without a validation sample, so no choice considers it: fox (1 sample in all).",
        "1 class without a test sample, so no reported accuracy counts it: fox (1 sample in all).",
    ]


@pytest.mark.parametrize(
    ("overrides", "num_validation", "field"),
    [
        ("", 0, "data.validation_fraction"),
        (
            "partition.own_evaluation=held_out partition.held_out_fraction=0.4 partition.min_samples_per_peer=2",
            0,
            "partition.held_out_fraction",
        ),
        ("", 10, None),
    ],
    ids=["held out", "held out from each peer", "a split of the data set"],
)
def test_small_own_validation_sets_name_the_field_that_holds_them_out(overrides, num_validation, field):
    config = resolve(JOINTKD, preset="digits", overrides=f"partition.num_peers=4 {overrides}")
    source = of_labels([0, 1] * 50, num_train=80, num_validation=num_validation)
    (warning,) = (
        each for each in division_warnings(config, source, divide(config, source)) if "validation samples of" in each
    )
    assert warning.endswith(f" To hold out more, raise {field}.") if field else "raise" not in warning


def test_class_counts_of_evaluation_sets_count_only_if_both_sets_have_the_same_proportions():
    sizes = {"num_validation": 80, "num_test": 133, "num_own_validation": [9, 8], "num_own_test": [7, 6]}
    counts = {"validation_class_counts": [27, 27, 26], "test_class_counts": [44, 45, 44]}
    stratified = evaluation_sets(sizes | counts)
    assert [each.validation for each in stratified] == [(80, 9, (27, 27, 26)), (80, 8, (27, 27, 26))]
    assert stratified[0].test == (133, 7, (44, 45, 44))
    for others in ({}, counts | {"test_class_counts": [100, 20, 13]}):
        assert [each.validation for each in evaluation_sets(sizes | others)] == [(80, 9, None), (80, 8, None)]
