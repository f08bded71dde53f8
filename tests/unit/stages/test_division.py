"""Dividing a data set as a config says, whatever the kinds of skew."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.data.dataset import RawDataset
from peerkd.data.partition.assignment import Assignment
from peerkd.errors import ArtifactCorruptError
from peerkd.stages.division import divide

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
def test_no_training_sample_is_lost_shared_or_judged_on(skew, public_fraction, own_evaluation, num_test):
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
def test_a_validation_split_of_its_own_is_the_validation_set_and_nothing_else(skew, public_fraction, num_test):
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


def test_a_validation_fraction_plays_no_part_where_the_data_set_has_a_validation_split():
    source = dataset(num_validation=150)
    parts = [divided(f"data.validation_fraction={fraction}", source).fingerprint for fraction in (0.1, 0.4)]
    assert parts[0] == parts[1]
    with pytest.raises(ValueError, match=r"at least 10 samples, got|must be at most"):
        divided("partition.public_fraction=0.99", source)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_seed_decides_everything(seed):
    source = dataset()
    one, other = (divided(f"seed={seed}", source) for _ in range(2))
    assert one.fingerprint == other.fingerprint
    assert one.fingerprint != divided(f"seed={(seed + 1) % 2**32}", source).fingerprint


def test_matched_own_sets_have_the_peers_class_shares_and_lie_in_the_global_sets():
    source = dataset(4000, 1000)
    got = divided("partition.label_skew.concentration=0.5 data.validation_fraction=0.25", source)
    for peer in range(4):
        shares = np.bincount(source.labels_N[got.train[peer]], minlength=NUM_CLASSES) / len(got.train[peer])
        for own, everyone in ((got.own_validation[peer], got.validation), (got.own_test[peer], got.test)):
            assert set(own) <= set(everyone)
            got_shares = np.bincount(source.labels_N[own], minlength=NUM_CLASSES) / len(own)
            np.testing.assert_allclose(got_shares, shares, atol=0.01)


def test_a_natural_peer_never_shares_an_id():
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
        ("partition.public_fraction=0.9", "must leave something to train on, got 0.2 and 0.9"),
        (
            "partition.quantity_skew.kind=dirichlet partition.quantity_skew.concentration=0.001",
            "No draw in 100 gave every peer at least 10 samples",
        ),
        ("partition.label_skew.kind=classes partition.label_skew.classes_per_peer=9", "classes_per_peer"),
        ("partition.own_evaluation=held_out partition.held_out_fraction=0.99", "at least 10"),
    ],
)
def test_a_partition_that_cannot_exist_is_refused(overrides, message):
    with pytest.raises(ValueError, match=message):
        divided(overrides, dataset())


def test_an_assignment_comes_back_from_disk_and_a_damaged_one_does_not(tmp_path):
    got = divided("", dataset())
    got.save(tmp_path)
    loaded = Assignment.load(tmp_path)
    assert loaded.fingerprint == got.fingerprint
    for one, other in zip(loaded.train, got.train, strict=True):
        np.testing.assert_array_equal(one, other)
    path = tmp_path / "assignment.npz"
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    with pytest.raises(ArtifactCorruptError, match="does not hold a partition"):
        Assignment.load(tmp_path)
    path.unlink()
    with pytest.raises(ArtifactCorruptError, match="does not hold a partition"):
        Assignment.load(tmp_path)


def test_indices_that_were_changed_are_noticed(tmp_path):
    got = divided("", dataset())
    got.save(tmp_path)
    with np.load(tmp_path / "assignment.npz") as file:
        arrays = dict(file)
    arrays["train_0"] = arrays["train_0"][1:]
    np.savez(tmp_path / "assignment.npz", **arrays)
    with pytest.raises(ArtifactCorruptError, match="must have the fingerprint"):
        Assignment.load(tmp_path)
