from typing import Any

import pytest

from peerkd.config.experiment import ExperimentConfig


def refusal(values: dict[str, Any]) -> str:
    with pytest.raises(ValueError, match=r"^.+\.$") as caught:
        ExperimentConfig.from_mapping(values)
    return str(caught.value)


@pytest.mark.parametrize("name", ["ab", "digits-2", "a" * 40])
def test_a_valid_name_can_be_part_of_the_name_of_a_job(name: str) -> None:
    assert ExperimentConfig.from_mapping({"name": name}).name == name


@pytest.mark.parametrize("name", ["", "a", "Digits", "2digits", "digits-", "a_b", "a b", "a" * 41, "ab\n"])
def test_another_name_is_refused(name: str) -> None:
    assert refusal({"name": name}).startswith("name must be 2 to 40 lower-case letters, digits and hyphens")


@pytest.mark.parametrize(("seed", "rule"), [(-1, "must be at least 0"), (2**32, "must be below 4294967296")])
def test_a_seed_has_thirty_two_bits(seed: int, rule: str) -> None:
    assert refusal({"seed": seed}) == f"seed {rule}, got {seed}."
    assert ExperimentConfig.from_mapping({"seed": 2**32 - 1}).seed == 2**32 - 1


def test_one_architecture_applies_to_all_peers() -> None:
    config = ExperimentConfig.from_mapping({"partition": {"num_peers": 3}, "peers": {"architectures": ["mlp"]}})
    assert config.architectures == ("mlp", "mlp", "mlp")


def test_each_peer_may_have_an_architecture_of_its_own() -> None:
    names = ["mlp", "small_cnn", "mlp"]
    config = ExperimentConfig.from_mapping({"partition": {"num_peers": 3}, "peers": {"architectures": names}})
    assert config.architectures == tuple(names)


@pytest.mark.parametrize("num", [2, 4])
def test_there_is_one_architecture_or_one_for_each_peer(num: int) -> None:
    assert refusal({"partition": {"num_peers": 3}, "peers": {"architectures": ["mlp"] * num}}) == (
        f"peers.architectures must have 1 entry or one for each of the 3 peers, got {num}."
    )


@pytest.mark.parametrize("transfer_set", ["public", "public_unlabelled"])
def test_a_public_transfer_set_needs_a_public_share(transfer_set: str) -> None:
    values = {"sweep": {"transfer_sets": ["student", transfer_set]}}
    assert refusal(values) == (
        f"partition.public_fraction must be above 0 when sweep.transfer_sets contains {transfer_set}, got 0."
    )
    config = ExperimentConfig.from_mapping({**values, "partition": {"public_fraction": 0.1}})
    assert config.sweep.transfer_sets == ("student", transfer_set)


def test_at_least_one_worker() -> None:
    assert refusal({"compute": {"num_workers": 0}}) == ("compute.num_workers must be at least 1, got 0.")


def test_pcl_before_the_distillation_needs_a_branch_point_in_every_network() -> None:
    values = {"pretrain": {"collaboration": {"branch_point": "stage3"}}, "peers": {"architectures": ["small_cnn"]}}
    assert ExperimentConfig.from_mapping(values).pretrain.method == "cross_entropy"
    values["pretrain"]["method"] = "pcl"
    assert refusal(values) == ("pretrain.collaboration.branch_point must be stage2 for small_cnn, got stage3.")
    values["peers"]["architectures"] = ["resnet20"]
    assert ExperimentConfig.from_mapping(values).pretrain.collaboration.branch_point == "stage3"
