"""The check of networks and weights before any training."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from peerkd.config.given_peers import PeerNetwork
from peerkd.models.build import build_network
from peerkd.training.check_peers import start
from peerkd.training.inputs import CheckInputs


def check(network: str, weights: Path | None = None, *, num_channels: int = 1) -> list[str]:
    inputs = CheckInputs(
        networks=(PeerNetwork("mlp"), PeerNetwork(network)),
        weights=(None, weights),
        image_shape_CHW=(num_channels, 8, 8),
        class_names=tuple("abcd"),
    )
    return list(start(inputs, process_index=0)(1))


def inputs_of(network: PeerNetwork, weights: Path | None) -> CheckInputs:
    return CheckInputs(networks=(network,), weights=(weights,), image_shape_CHW=(1, 8, 8), class_names=tuple("abcd"))


def refusal(network: str, weights: Path | None = None, *, num_channels: int = 1) -> str:
    with pytest.raises(ValueError, match=r"^peers\.given\[1\]\.") as caught:
        check(network, weights, num_channels=num_channels)
    return str(caught.value)


def saved(tmp_path: Path, name: str, num_classes: int = 4) -> Path:
    network = build_network(name, image_shape_CHW=(1, 8, 8), num_classes=num_classes, seed=0)
    torch.save(network.state_dict(), tmp_path / "w.pt")
    return tmp_path / "w.pt"


def test_a_network_with_its_weights_passes(tmp_path: Path) -> None:
    assert check("small_cnn", saved(tmp_path, "small_cnn")) == []
    assert check("tests.own_networks:tiny") == []


@pytest.mark.parametrize(
    ("factory", "expected"),
    [
        ("raises", "peers.given[1].network must be built by a call with num_classes=4, and "),
        ("tiny_rgb", "network must accept the images of the data set, of shape 1x8x8, and "),
        (
            "one_class_more",
            "of shape (3, 4) for 3 images, and tests.own_networks:one_class_more returned shape (3, 5).",
        ),
        ("pair", "returned a value of type tuple."),
        ("not_finite", "network must return finite logits in evaluation mode, and "),
        ("constant", "network must return logits with a gradient in training mode, and "),
        ("frozen", "network must have parameters that can be trained, and tests.own_networks:frozen has none with "),
        ("double", "should be the same; return a float32 network from the factory, because images are float32."),
        ("tied", "and tests.own_networks:tied shares one between 1.weight and 2.weight."),
    ],
)
def test_a_network_that_cannot_take_part_is_refused(factory: str, expected: str) -> None:
    message = refusal(f"tests.own_networks:{factory}")
    assert message.startswith("peers.given[1].network must ")
    assert expected in message
    assert "\n" not in message


def test_the_checkpoint_of_another_network_is_refused_after_its_tensors_were_listed(tmp_path: Path) -> None:
    inputs = inputs_of(PeerNetwork("small_cnn"), saved(tmp_path, "resnet20"))
    checked = start(inputs, process_index=0)(0)
    assert next(checked).startswith("12 missing: stage1.0.weight")
    with pytest.raises(
        ValueError,
        match=r"^peers.given\[0\].weights must fit the network small_cnn, got w.pt, which looks .* 12 missing",
    ):
        list(checked)


def test_weights_for_another_number_of_classes_are_refused(tmp_path: Path) -> None:
    assert refusal("mlp", saved(tmp_path, "mlp", num_classes=10)) == (
        "peers.given[1].weights must fit the network mlp, got w.pt with 2 of another shape or type (classifier.bias is "
        "float32 (10,) and must be float32 (4,), classifier.weight is float32 (10, 64) and must be float32 (4, 64)); "
        "if the network has 10 outputs in place of 4, name their classes, in their order, in peers.given[1].classes."
    )


def test_weights_of_another_network_are_not_explained_by_the_number_of_classes(tmp_path: Path) -> None:
    path = saved(tmp_path, "mlp", num_classes=10)
    torch.save({**torch.load(path, weights_only=True), "more.weight": torch.zeros(3)}, path)
    assert "name their classes" not in refusal("mlp", path)


def test_a_misspelt_class_is_named_with_the_weights_that_do_not_fit_because_of_it(tmp_path: Path) -> None:
    doubt = "Dog (south) and dog (north) are different classes"
    inputs = replace(inputs_of(PeerNetwork("mlp"), saved(tmp_path, "mlp", num_classes=3)), doubtful_names=doubt)
    with pytest.raises(
        ValueError, match=r"Dog \(south\) and dog \(north\) .*; rename a misspelt class, or, if the net"
    ):
        list(start(inputs, process_index=0)(0))


def test_a_list_of_classes_that_is_too_short_is_compared_with_the_outputs(tmp_path: Path) -> None:
    network = PeerNetwork("mlp", classes=("a", "b", "c"))
    with pytest.raises(
        ValueError, match=r"peers\.given\[0\]\.classes has 3 names, and the weights have 4 outputs; name "
    ):
        list(start(inputs_of(network, saved(tmp_path, "mlp")), process_index=0)(0))


def test_finite_weights_with_logits_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, "mlp")
    torch.save({name: tensor * 1e30 for name, tensor in torch.load(path).items()}, path)
    message = refusal("mlp", path)
    assert message.startswith("peers.given[1].weights must give finite logits, and mlp with these weights returned NaN")


def test_a_check_leaves_the_generator_as_it_is() -> None:
    before = torch.get_rng_state()
    check("tests.own_networks:tiny")
    assert torch.equal(torch.get_rng_state(), before)


def test_an_output_that_does_not_match_the_classes_is_no_failure_of_the_images() -> None:
    network = PeerNetwork("tests.own_networks:pair", classes=("d", "a"))
    with pytest.raises(
        ValueError, match=r"\.network must return one logit for each of its 2 classes, got a value of type "
    ):
        list(start(inputs_of(network, None), process_index=0)(0))


@pytest.mark.parametrize("classes", [None, ("d", "a")])
def test_a_softmax_at_the_end_of_a_network_is_said(classes: tuple[str, ...] | None) -> None:
    network = PeerNetwork("tests.own_networks:with_softmax", classes=classes)
    (line,) = start(inputs_of(network, None), process_index=0)(0)
    assert line.startswith(
        "warning: tests.own_networks:with_softmax returns probabilities, as a softmax does, and temp"
    )


def test_a_network_with_fewer_classes_and_a_size_of_its_own_passes() -> None:
    network = PeerNetwork(
        "tests.own_networks:tiny_rgb", image_size_pixels=12, mean=(0.5,) * 3, std=(0.2,) * 3, classes=("d", "a")
    )
    assert list(start(inputs_of(network, None), process_index=0)(0)) == []
