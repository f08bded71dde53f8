import numpy as np

from peerkd.config.experiment import ExperimentConfig
from peerkd.data.partition.example_blocks import partition_example_blocks
from peerkd.data.partition.checks import check_partition
from peerkd.data.sources import read_source
from peerkd.stages.division import divide

LABELS = np.array([2, 0, 1, 0, 1, 2, 0, 2])


def test_each_peer_has_the_next_samples_in_the_order_of_the_classes() -> None:
    parts = partition_example_blocks(LABELS, sizes=np.array([3, 2, 3]), rng=np.random.default_rng(0))
    check_partition(parts, num_samples=8)
    assert [LABELS[part].tolist() for part in parts] == [[0, 0, 0], [1, 1], [2, 2, 2]]


def test_the_seed_decides_who_has_which_sample_of_a_class_that_is_shared() -> None:
    def first(seed: int) -> list[int]:
        return partition_example_blocks(np.zeros(40, int), sizes=np.array([20, 20]), rng=np.random.default_rng(seed))[
            0
        ].tolist()

    assert first(0) == first(0)
    assert first(0) != first(1)


def test_a_config_divides_a_data_set_by_it() -> None:
    values = {"num_peers": 5, "label_skew": {"kind": "example_blocks"}, "min_samples_per_peer": 2}
    raw = read_source("digits", path=None)
    assignment = divide(ExperimentConfig.model_validate({"partition": values}), raw)
    assert [len(np.unique(raw.labels_N[part])) <= 3 for part in assignment.train] == [True] * 5
