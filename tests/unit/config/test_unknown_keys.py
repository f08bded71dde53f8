"""What people type instead of a key, and the key that the message suggests."""

import pytest

from peerkd.config.collaborate import CollaborateConfig
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.pcl import PclConfig
from peerkd.config.pipelines import COLLABORATE, JOINTKD, PCL
from peerkd.config.resolve import override
from peerkd.config.unknown_keys import all_fields, suggested_fields

SCHEMAS = {
    JOINTKD.name: ExperimentConfig.model_json_schema(),
    PCL.name: PclConfig.model_json_schema(),
    COLLABORATE.name: CollaborateConfig.model_json_schema(),
}

MISTYPED = {
    "sweep.alpha": ["sweep.alphas"],
    "sweep.temperature": ["sweep.temperatures"],
    "sweep.temps": ["sweep.temperatures"],
    "sweep.alphas[0]": ["sweep.alphas"],
    "sweep.transfer_set": ["sweep.transfer_sets"],
    "sweep.learning_rate": ["sweep.learning_rates"],
    "distill.alpha": ["sweep.alphas", "distill.conventions.alpha_weighs"],
    "num_peers": ["partition.num_peers", "num_seeds"],
    "partition.peers": ["partition.num_peers"],
    "partition.concentration": ["partition.label_skew.concentration", "partition.quantity_skew.concentration"],
    "pretrain.lr": ["pretrain.learning_rate"],
    "pretrain.Epochs": ["pretrain.epochs"],
    "pretrain.num_epochs": ["pretrain.epochs"],
    "pretrain.batch-size": ["pretrain.batch_size"],
    "pretrain.weightdecay": ["pretrain.weight_decay"],
    "pretrain.milestones": ["pretrain.milestone_fractions"],
    "epochs": ["pretrain.epochs", "distill.epochs"],
    "lr": ["pretrain.learning_rate", "distill.learning_rate", "sweep.learning_rates"],
    "architecture": ["peers.architectures"],
    "peers.arch": ["peers.architectures"],
    "seeds": ["seed"],
    "device": ["compute.device"],
    "compute.workers": ["compute.num_workers"],
    "tune.budget": ["tune.budget_fraction"],
    "data.pth": ["data.path"],
    "augmentation.flip": ["augmentation.horizontal_flip"],
    "distill.conventions.alpha_weigh": ["distill.conventions.alpha_weighs"],
    "peers.given[1].netwrk": ["peers.given[1].network"],
    "colour": [],
    "data.colour": [],
}


@pytest.mark.parametrize(("field", "meant"), MISTYPED.items())
def test_the_field_that_a_person_has_meant_is_suggested(field: str, meant: list[str]) -> None:
    assert suggested_fields(field, 3, SCHEMAS["jointkd"]) == meant


def test_a_field_of_the_same_section_comes_before_fields_of_others() -> None:
    assert suggested_fields("rounds.method", ["fedavg"], SCHEMAS["collaborate"]) == ["rounds.methods"]
    assert suggested_fields("method", ["pcl"], SCHEMAS["pcl"]) == ["methods"]


def test_sections_are_suggested_for_mappings_and_for_names_of_kinds() -> None:
    jointkd = SCHEMAS["jointkd"]
    assert suggested_fields("partiton", {"num_peers": 3}, jointkd) == ["partition"]
    assert suggested_fields("partition.skew", "iid", jointkd) == ["partition.label_skew", "partition.quantity_skew"]
    assert suggested_fields("partition.skew", 3, jointkd) == []


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("optimizer.lr=1", "optimizer.lr is not a key of the config (did you mean pretrain.learning_rate, "),
        (
            "partiton.num_peers=3",
            'partiton is not a key of the config (did you mean partition?), got {"num_peers": 3}.',
        ),
        ("optimizer={lr: 1, eps: 2}", 'optimizer is not a key of the config, got {"lr": 1, "eps": 2}.'),
    ],
)
def test_an_unknown_section_is_named_by_its_only_field_unless_its_own_name_is_misspelled(
    pair: str, message: str
) -> None:
    with pytest.raises(ValueError, match=r"\.$") as caught:
        override(ExperimentConfig(), [pair])
    assert str(caught.value).startswith(message)


def test_the_fields_are_those_of_all_sections_and_kinds() -> None:
    names = set(all_fields(SCHEMAS["jointkd"]))
    assert {"seed", "distill.loss.kind", "partition.label_skew.shards_per_peer", "peers.given.network"} <= names
