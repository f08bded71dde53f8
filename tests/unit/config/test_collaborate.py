import json
from typing import Any

import pytest

from peerkd.config.collaborate import CollaborateConfig
from peerkd.config.collaborate_presets import COLLABORATE_PRESETS
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.pipelines import COLLABORATE, read_peer_experiment
from peerkd.config.resolve import resolve

PUBLIC = {"partition": {"num_peers": 3, "public_fraction": 0.1}}


def config(**rounds: Any) -> CollaborateConfig:
    return CollaborateConfig.from_mapping({**PUBLIC, "rounds": rounds})


@pytest.mark.parametrize(
    ("rounds", "sentence"),
    [
        (
            {"topology": {"kind": "edges", "edges": [[0, 1]]}},
            "rounds.topology.edges must give every peer a partner, got none for peer 2.",
        ),
        (
            {"topology": {"kind": "edges", "edges": [[0, 1], [1, 3]]}},
            "rounds.topology.edges must join peers from 0 to 2, got 3 in [1, 3].",
        ),
        (
            {"topology": {"kind": "random", "num_partners": 3}},
            "rounds.topology.num_partners must be at most 2 for 3 peers, got 3.",
        ),
        (
            {"topology": {"kind": "random", "num_partners": 1}},
            "rounds.topology.num_partners must be even for an odd number of peers, because each edge has two ends, got "
            "1 for 3 peers.",
        ),
        (
            {"topology": {"kind": "small_world", "num_partners": 4}},
            "rounds.topology.num_partners must be even and from 2 to 2 for 3 peers, got 4.",
        ),
        (
            {"target": {"kind": "teacher"}},
            "rounds.target.kind must be one of mean, class_counts, entropy, masks, which join any number of peers, got "
            "teacher.",
        ),
        (
            {"loss": {"kind": "dkd"}},
            "rounds.loss.kind must be a loss without labels, because public samples have none, got dkd.",
        ),
        (
            {"conventions": {"teacher_mode": "train"}},
            "rounds.conventions.teacher_mode must be eval, because all peers predict the public set once a round, got "
            "train.",
        ),
        (
            {"unreliable": [{"kind": "absent", "peer": 3}]},
            "rounds.unreliable must name peers from 0 to 2, got 3.",
        ),
        (
            {"unreliable": [{"kind": "absent", "peer": 1, "first_round": 3, "last_round": 2}]},
            "rounds.unreliable must have a last_round that is not before first_round, 3, got 2 for peer 1.",
        ),
        (
            {"num_rounds": 4, "unreliable": [{"kind": "absent", "peer": 1, "first_round": 5}]},
            "rounds.unreliable must have a first_round that is at most rounds.num_rounds, 4, got 5 for peer 1.",
        ),
        (
            {"methods": ["fedavg", "pooled"], "unreliable": [{"kind": "absent", "peer": 1}]},
            "rounds.unreliable must not contain absent when rounds.methods contains pooled, which trains one network "
            "for all peers, got absent for peer 1.",
        ),
        (
            {"unreliable": [{"kind": "flipped_labels", "peer": 1}]},
            "rounds.unreliable must not contain flipped_labels when rounds.methods contains fedavg, which sends "
            "weights: lies are about predictions.",
        ),
        (
            {"unreliable": [{"kind": "absent", "peer": 0, "last_round": 1}, {"kind": "absent", "peer": 1}]},
            "rounds.unreliable must leave at least 2 peers that are never absent, got 1.",
        ),
        (
            {"num_rounds": 2, "epochs": 3, "tune": {"enabled": True, "portfolio": [{}, {"epochs": 7}]}},
            "rounds.tune.portfolio[1].epochs must be at most num_rounds times epochs, 6, which is the budget of a "
            "peer, got 7.",
        ),
        (
            {
                "topology": {"kind": "edges", "edges": [[0, 1], [1, 2]]},
                "tune": {"enabled": True, "portfolio": [{"num_left_out": 1}, {"num_left_out": 2}]},
            },
            "rounds.tune.portfolio[1].num_left_out must be below the number of partners of a peer, 2, because one "
            "partner is always kept, got 2.",
        ),
        ({"methods": ["alone", "alone"]}, 'rounds.methods must not repeat a value, got ["alone", "alone"].'),
    ],
)
def test_a_mistake_in_the_rounds_is_refused_in_one_sentence(rounds: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=r"\.$") as caught:
        config(**rounds)
    assert str(caught.value).replace("'", '"') == sentence


def test_one_peer_alone_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^partition\.num_peers must be at least 2, got 1\.$"):
        CollaborateConfig.from_mapping({"partition": {"num_peers": 1, "public_fraction": 0.1}})


def test_a_method_with_public_samples_needs_a_public_set() -> None:
    with pytest.raises(
        ValueError,
        match=r"^partition\.public_fraction must be above 0 when rounds\.methods contains predictions, whose peers "
        r"predict public samples, got 0\.$",
    ):
        CollaborateConfig.from_mapping({"rounds": {"methods": ["alone", "predictions"]}})
    assert CollaborateConfig().rounds.methods == ("fedavg", "alone")


def test_weights_of_different_networks_are_not_exchanged() -> None:
    mixed = {**PUBLIC, "peers": {"architectures": ["mlp", "mlp", "small_cnn"]}}
    assert CollaborateConfig.from_mapping({**mixed, "rounds": {"methods": ["predictions", "fedmd", "pairwise"]}})
    with pytest.raises(
        ValueError,
        match=r"^rounds\.methods must not contain fedavg, which shares one network, when peers have different "
        r"networks, got mlp for peer 0 and small_cnn for peer 2\.$",
    ):
        CollaborateConfig.from_mapping({**mixed, "rounds": {"methods": ["predictions", "fedavg"]}})


def test_the_weight_of_the_divergence_rises_over_the_first_rounds() -> None:
    rising = config(rampup_rounds=2).rounds
    assert [rising.distillation_weight(r, alpha=0.6) for r in (1, 2, 3, 4)] == pytest.approx([0.2, 0.4, 0.6, 0.6])
    assert config().rounds.distillation_weight(1, alpha=0.6) == 0.6
    other = config(conventions={"alpha_weighs": "cross_entropy"})
    assert other.rounds.distillation_weight(1, alpha=0.6) == pytest.approx(0.4)


def test_a_field_of_a_method_that_is_not_used_is_refused() -> None:
    resolve(COLLABORATE, preset="digits", overrides="rounds.proximal_weight=0.1")
    with pytest.raises(ValueError, match=r"^rounds\.proximal_weight must not be set unless .* contains fedprox: "):
        resolve(COLLABORATE, preset="digits", overrides="rounds.methods=[predictions] rounds.proximal_weight=0.1")


def test_a_config_of_either_pipeline_is_recognised() -> None:
    with_rounds = config()
    assert read_peer_experiment(with_rounds.to_json()) == with_rounds
    assert read_peer_experiment(ExperimentConfig().to_json()) == ExperimentConfig()


@pytest.mark.parametrize("name", COLLABORATE_PRESETS)
def test_a_preset_survives_the_way_through_json_and_has_every_field(name: str) -> None:
    def shape(values: Any) -> Any:
        return {key: shape(value) for key, value in values.items()} if isinstance(values, dict) else None

    preset = COLLABORATE_PRESETS[name]()
    assert CollaborateConfig.from_json(preset.to_json()) == preset
    assert shape(json.loads(preset.to_json())) == shape(config().model_dump())
    assert preset.name == name


def test_the_weight_of_mutual_learning_rises_within_each_cycle() -> None:
    weights = [config(cycle_rounds=3).rounds.mutual_weight(number) for number in range(1, 8)]
    assert weights == pytest.approx([0, 0.5, 1, 0, 0.5, 1, 0])


def test_the_highest_temperature_may_be_that_of_a_setting_that_peers_try() -> None:
    portfolio = [{"temperature": 2.0}, {"temperature": 8.0}]
    assert config().highest_temperature == ("rounds.temperature", 1.0)
    assert config(tune={"portfolio": portfolio}).highest_temperature == ("rounds.temperature", 1.0)
    tuned = config(tune={"enabled": True, "portfolio": portfolio})
    assert tuned.highest_temperature == ("rounds.tune.portfolio", 8.0)


@pytest.mark.parametrize(
    ("topology", "num"),
    [
        ({"kind": "complete"}, 9),
        ({"kind": "ring"}, 2),
        ({"kind": "random", "num_partners": 3}, 3),
        ({"kind": "small_world", "num_partners": 4}, 9),
        ({"kind": "small_world", "num_partners": 4, "rewired_fraction": 0}, 4),
    ],
)
def test_a_setting_leaves_a_partner_in_every_topology(topology: dict[str, Any], num: int) -> None:
    sections = {"partition": {"num_peers": 10, "public_fraction": 0.1}}

    def leaving_out(number: int) -> CollaborateConfig:
        tune = {"enabled": True, "portfolio": [{"num_left_out": number}]}
        return CollaborateConfig.from_mapping({**sections, "rounds": {"topology": topology, "tune": tune}})

    assert leaving_out(num - 1)
    with pytest.raises(ValueError, match=rf"must be below the number of partners of a peer, {num}, .* got {num}\.$"):
        leaving_out(num)
