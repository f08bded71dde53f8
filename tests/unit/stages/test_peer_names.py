"""Peers are called by the names or the origins that the user knows."""

import numpy as np
import pytest

from peerkd.artifacts.store import Manifest
from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.data.dataset import RawDataset
from peerkd.data.partition.assignment import Assignment
from peerkd.stages.peer_names import find_peer, names_of_origins, names_of_peers, peer_names, shared_origins

NATURAL = (
    "partition.num_peers=3 partition.own_evaluation=held_out partition.label_skew.kind=natural "
    "partition.label_skew.column=site"
)
NONE = np.array([], dtype=int)


def divided(overrides, sites, train):
    config = resolve(JOINTKD, preset="digits", overrides=overrides)
    dataset = RawDataset(
        images_NCHW=np.zeros((len(sites), 1, 4, 4), dtype=np.uint8),
        labels_N=np.arange(len(sites)) % 2,
        num_train=len(sites),
        class_names=("a", "b"),
        columns={"site": np.array(sites)},
        name="sites",
    )
    parts = tuple(map(np.array, train))
    empty = (NONE,) * len(train)
    assignment = Assignment(train=parts, own_validation=empty, own_test=empty, validation=NONE, test=NONE, public=NONE)
    return config, dataset, assignment


def names(overrides, sites, train):
    return names_of_origins(*divided(overrides, sites, train))


@pytest.mark.parametrize(
    ("sites", "train", "expected"),
    [
        (["north", "<b>south</b>", "x" * 50], [[0], [1], [2]], ["north", "<b>south</b>", f"{'x' * 37}..."]),
        ([17, 4, 17, 9], [[0, 2], [1], [3]], ["site 17", "site 4", "site 9"]),
        (["a", "b", "c", "d"], [[0, 1], [2], [3]], []),
        (["x" * 50, f"{'x' * 50}y", "z"], [[0], [1], [2]], []),
    ],
    ids=["names", "numbers", "a peer with two sites", "names that are equal once shortened"],
)
def test_peers_are_called_by_the_column_that_divides_them(sites, train, expected):
    assert names(NATURAL, sites, train) == expected


def test_values_that_share_a_peer_are_listed():
    shared = divided(NATURAL, ["a", "b", "c", "d"], [[0, 1], [2], [3]])
    assert shared_origins(*shared) == [
        "the 4 values of site are divided among 3 peers (partition.num_peers): peer 0 has a, b; peer 1 has c; peer 2 "
        "has d"
    ]
    assert names_of_peers(*shared) == ["0", "1", "2"]
    alone = divided(NATURAL, ["a", "b", "c"], [[0], [1], [2]])
    assert shared_origins(*alone) == []
    assert names_of_peers(*alone) == ["a", "b", "c"]


def test_peers_are_called_by_the_files_that_list_them():
    files = '["lists/st-mary.txt","lists/7.npy"]'
    overrides = f"partition.label_skew.kind=indices partition.label_skew.files={files}"
    assert names(overrides, ["a", "b"], [[0], [1]]) == ["st-mary", "file 7"]


def test_other_peers_have_numbers():
    config = resolve(JOINTKD, preset="digits", overrides="partition.num_peers=3")
    assert peer_names(config, Manifest(key="partition_data/0", files={}, metadata={})) == ("0", "1", "2")
    named = Manifest(key="partition_data/0", files={}, metadata={"peer_names": ["a", "b", "c"]})
    assert peer_names(config, named) == ("a", "b", "c")


def test_a_user_names_a_peer_by_its_name_or_its_number():
    hospitals = ("hospital-a", "hospital-b", "0")
    for peer, number in ((1, 1), ("1", 1), ("hospital-b", 1), ("0", 2), ("-1", -1), ("7", 7)):
        assert find_peer("student", peer, hospitals) == number
    message = r"^teacher must be the name or the number .* got hospitl-b \(did you mean hospital-b\?\)\.$"
    with pytest.raises(ValueError, match=message):
        find_peer("teacher", "hospitl-b", hospitals)
