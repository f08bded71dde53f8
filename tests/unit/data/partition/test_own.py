"""A user's own function divides the samples, and its result is checked."""

from typing import Any

import numpy as np
import pytest

from peerkd.artifacts import keys
from peerkd.config.experiment import ExperimentConfig
from peerkd.data.partition.checks import check_partition
from peerkd.data.partition.own import partition_by_own_function
from peerkd.data.partition.quantity import equal_sizes

LABELS = np.arange(60) % 10


def divide(function: str, **options: Any) -> Any:
    sizes = equal_sizes(len(LABELS), num_peers=4)
    return partition_by_own_function(
        LABELS, sizes=sizes, rng=np.random.default_rng(0), function=f"tests.own_functions:{function}", options=options
    )


def skewed(function: str, **others: Any) -> ExperimentConfig:
    skew = {"kind": "own", "function": f"tests.own_functions:{function}", **others}
    return ExperimentConfig.from_mapping({"partition": {"label_skew": skew}})


def test_the_function_decides_who_has_which_samples() -> None:
    parts = divide("by_parity", first=1)
    check_partition(parts, num_samples=len(LABELS))
    assert [set(LABELS[part] % 2) for part in parts] == [{1}, {1}, {0}, {0}]
    assert all((np.diff(part) > 0).all() for part in parts)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            "raises",
            "function must divide 60 samples among 4 peers, and tests.own_functions:raises raised "
            "KeyError: 'hospital'.",
        ),
        ("one_peer_less", "function must return an array for each of the 4 peers, got 3."),
        ("all_for_all", "parts must be disjoint, got 60 indices more than once, the first 0."),
        ("shares", "function must return vectors of whole numbers, got shape () and type float64 for peer 0."),
    ],
)
def test_a_result_that_is_no_partition_is_refused_in_a_sentence(function: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^(function|parts) must ") as caught:
        divide(function)
    assert str(caught.value) == message


def test_keys_contain_the_path_the_digest_and_the_options() -> None:
    found = keys.differences(skewed("by_parity", options={"first": 1}), fields=("partition",))
    (skew,) = found["partition"].values()
    assert skew["function"].startswith("tests.own_functions:by_parity@")
    assert skew["options"] == {"first": 1}
    assert skewed("by_parity") == ExperimentConfig.from_json(skewed("by_parity").to_json())


def test_a_config_that_names_no_function_is_refused() -> None:
    with pytest.raises(
        ValueError,
        match=r"^partition\.label_skew\.function must name a function, which int objects are not, got .*not_a_function",
    ):
        skewed("not_a_function")
