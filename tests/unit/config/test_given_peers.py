"""The config of peers that a user brings: what it accepts, and what it refuses in one sentence."""

from typing import Any

import pytest

from peerkd.config.experiment import ExperimentConfig
from peerkd.config.given_peers import PeerNetwork
from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import override, resolve, to_yaml
from peerkd.config.yaml_text import read_yaml

A, B = {"name": "a", "network": "mlp"}, {"name": "b", "network": "small_cnn"}


def config(*given: dict[str, Any], **sections: Any) -> ExperimentConfig:
    return ExperimentConfig.from_mapping({"peers": {"given": list(given)}, **sections})


def refusal(*given: dict[str, Any], **sections: Any) -> str:
    with pytest.raises(ValueError, match=r"^[a-z.]+") as caught:
        config(*given, **sections)
    return str(caught.value)


@pytest.mark.parametrize(
    "network",
    ["resnet20", "torchvision:resnet18", "timm:vit_tiny_patch16_224.augreg_in21k", "pkg.nets:build", "nets:build"],
)
def test_a_network_has_one_of_four_forms(network: str) -> None:
    assert config({**A, "network": network}, B).networks == (PeerNetwork(network), PeerNetwork("small_cnn"))


@pytest.mark.parametrize(
    "weights",
    [
        "a.safetensors",
        "folder",
        "~/a.pth",
        "s3://bucket/some/a.pt",
        "store:pretrain_peers/0123456789abcdef/peer-000.pt",
    ],
)
def test_weights_have_one_of_four_forms(weights: str) -> None:
    assert config({**A, "weights": weights}, B).num_trained_peers == 1


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("network", "resnet50", "(did you mean resnet50_imagenet or torchvision:resnet50?), got resnet50."),
        ("network", "a b:c", "must be module:factory, the dotted name of a module and the name of a function in it, "),
        ("network", "timm:../x", "must name a network of timm, as in timm:resnet18, got timm:../x."),
        ("network", "os:system()", "got os:system()."),
        (
            "weights",
            "s3://bucket",
            "must be s3://bucket/NAME with the ending .safetensors, .pt, .pth, got s3://bucket.",
        ),
        ("weights", "http://host/a.pt", "must be a file, a folder, s3://... or store:..., got http://host/a.pt."),
        (
            "weights",
            "store:peers",
            "as in store:pretrain_peers/0123456789abcdef/peer-003.safetensors, got store:peers.",
        ),
        ("weights", "a\nb", "must not contain a control character"),
        ("name", "a/b", "must be 1 to 63 letters A-Z or a-z, digits"),
        ("netwrok", "mlp", "peers.given[0].netwrok is not a key of the config (did you mean peers.given[0].network?)"),
    ],
)
def test_a_wrong_field_of_a_peer_is_refused(field: str, value: str, expected: str) -> None:
    message = refusal({**A, field: value}, B)
    assert message.startswith(f"peers.given[0].{field} ")
    assert expected.lower() in message.lower()


def test_two_peers_of_one_name_are_refused() -> None:
    assert refusal(A, B, {**B, "name": "a"}) == (
        "peers.given must have a different name for each peer, got a in given[0] and given[2]."
    )
    assert refusal(A, B, {**B, "name": "A"}) == (
        "peers.given must have a different name for each peer, not only in case, got a and A in given[0] and given[2]."
    )


def test_a_peer_alone_is_refused() -> None:
    assert refusal(A) == "peers.given must have at least 2 peers, because a pair is a student and a teacher, got 1."


def test_the_number_of_peers_follows_from_the_given_ones() -> None:
    assert config(A, B).partition.num_peers == 2
    assert config(A, B, partition={"num_peers": 2}) == config(A, B)
    assert refusal(A, B, partition={"num_peers": 3}) == (
        "partition.num_peers must be 2, the number of peers in peers.given, or be omitted, got 3."
    )


def test_the_number_of_peers_follows_from_those_of_an_override() -> None:
    text = "[{name: a, network: mlp}, {name: b, network: mlp}, {name: c, network: mlp}]"
    assert resolve(JOINTKD, overrides=f"'peers.given={text}'").partition.num_peers == 3
    with pytest.raises(ValueError, match=r"num_peers must be 3, .* got 4"):
        resolve(JOINTKD, overrides=f"'peers.given={text}' partition.num_peers=4")
    with pytest.raises(ValueError, match=r"peers.architectures must not be set unless peers.given is empty"):
        resolve(JOINTKD, overrides=f"'peers.given={text}' peers.architectures=[mlp]")


def test_given_peers_survive_a_round_trip_and_further_overrides() -> None:
    given = config({**A, "weights": "a.pt"}, B)
    assert ExperimentConfig.from_mapping(read_yaml(to_yaml(given))) == given
    assert override(given, ["seed=3"]).peers == given.peers


def test_a_network_without_branch_points_cannot_be_pretrained_by_pcl() -> None:
    foreign = {"name": "c", "network": "nets:build"}
    assert "got pcl and nets:build for peer 1 (c)." in refusal(A, foreign, pretrain={"method": "pcl"})
    config(A, {**foreign, "weights": "c.pt"}, pretrain={"method": "pcl"})


def test_messages_name_a_given_peer() -> None:
    assert [config(A, B).describe_peer(1), ExperimentConfig().describe_peer(1)] == ["peer 1 (b)", "peer 1"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"mean": [0.5], "std": [0.2, 0.2, 0.2]}, "std must have as many numbers as mean, got 3 and 1."),
        ({"mean": [0.5]}, "std must have as many numbers as mean, got 0 and 1."),
        (
            {"mean": [0.5, 0.5], "std": [0.2, 0.2]},
            "mean must have one number for grey images or three for colours, got 2.",
        ),
        ({"classes": ["cat", "cat"]}, "classes must not repeat a value, got ['cat', 'cat']."),
    ],
)
def test_a_wrong_adapter_is_refused(fields: dict[str, Any], expected: str) -> None:
    assert refusal({**A, **fields}, B) == f"peers.given[0].{expected}"


def test_a_network_with_an_adapter_is_not_plain() -> None:
    adapted = config({**A, "image_size_pixels": 16, "classes": ["1", "0"]}, B)
    assert [network.is_plain for network in adapted.networks] == [False, True]
    assert [network.describe() for network in adapted.networks] == [
        {"network": "mlp", "image_size_pixels": 16, "classes": ["1", "0"]},
        {"network": "small_cnn"},
    ]


KEY = "improve_peers/0123456789abcdef"


def test_a_study_from_published_peers_trains_none_beforehand_and_survives_a_round_trip() -> None:
    values = {"peers": {"from": KEY}, "partition": {"num_peers": 4}}
    settings = ExperimentConfig.from_mapping(values)
    assert settings.peers.from_ == KEY
    assert settings.num_trained_peers == 0
    assert ExperimentConfig.from_json(settings.to_json()) == settings
    assert read_yaml(to_yaml(settings))["peers"]["from"] == KEY
    assert resolve(JOINTKD, overrides=f"peers.from={KEY}").peers.from_ == KEY


@pytest.mark.parametrize(
    ("name", "value"), [("from_", KEY), ("from", "distill_pairs/0123456789abcdef"), ("from", "improve_peers/abc")]
)
def test_another_field_or_another_key_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"^peers\.from"):
        ExperimentConfig.from_mapping({"peers": {name: value}})


def test_an_override_of_a_recipe_by_which_no_peer_is_trained_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^pretrain\.epochs must not be set unless a peer has no weights yet"):
        resolve(JOINTKD, overrides=f"peers.from={KEY} pretrain.epochs=3")
    assert resolve(JOINTKD, overrides="pretrain.epochs=3").pretrain.epochs == 3


def test_numbers_as_classes_cause_one_error_that_says_to_quote_them() -> None:
    given = [{"name": "a", "network": "mlp", "classes": [0, 1, 2]}, {"name": "b", "network": "mlp"}]
    with pytest.raises(ValueError, match=r"^peers") as caught:
        ExperimentConfig.from_mapping({"peers": {"given": given}})
    assert str(caught.value) == (
        'peers.given[0].classes must be a list of text: put its numbers in quotes, as in ["0", "1"], got [0, 1, 2].'
    )
