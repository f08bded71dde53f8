"""Networks whose logits depend on more than their state and their images, each refused before any training."""

from functools import partial

import pytest
import torch
from torch import nn

from peerkd.config.given_peers import PeerNetwork
from peerkd.models.adapter import Normalization
from peerkd.training.check_network import check_network
from peerkd.training.peers import build_adapted

SHAPE = (1, 8, 8)


def build(name: str, seed: int) -> nn.Module:
    study = Normalization((0.5,), (0.5,))
    return build_adapted(PeerNetwork(name), SHAPE, study=study, class_names=tuple("abcd"), seed=seed)


def check(name: str) -> None:
    check_network(PeerNetwork(name), partial(build, name), SHAPE, num_classes=4)


@pytest.mark.parametrize("factory", ["tiny", "Viewed", "PartlyFrozen", "WithDropout"])
def test_networks_that_take_part(factory: str) -> None:
    before = torch.get_rng_state()
    check(f"tests.own_networks:{factory}")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("factory", "expected"),
    [
        ("DropoutInEvaluation", "return the same logits for the same images in evaluation mode, and "),
        ("Squeezed", "of shape (1, 4) for 1 image, and tests.own_networks:Squeezed returned shape (4,)."),
        ("BatchStatistics", "return logits in evaluation mode that do not depend on the other images of a batch, and "),
        ("ChangesImages", "not change the images that it is called with, and tests.own_networks:ChangesImages did."),
        ("DrawnWhenBuilt", "return the same logits whenever its state_dict is the same, and two modules of "),
        ("CopiesOfItsState", "return the same logits whenever its state_dict is the same, and two modules of "),
        ("RandomNumbersOfPython", "return the same logits in training mode for the same images, state_dict and seed "),
        ("CountsCalls", "return the same logits in training mode for the same images, state_dict and seed of torch"),
        ("NoBackwardPass", "have gradients, and the backward pass of tests.own_networks:NoBackwardPass raised Runtime"),
        ("WithoutShapes", "of known shapes in its state_dict, got a tensor without a shape from "),
        ("MoreThanTensors", "of known shapes in its state_dict, got a dict from tests.own_networks:MoreThanTensors, "),
        ("same_memory", "have each tensor under one name, and tests.own_networks:same_memory shares one between 1.w"),
        ("leaves", "be built by a call with num_classes=4, and tests.own_networks:leaves raised SystemExit: 2."),
    ],
)
def test_a_network_whose_results_could_not_be_repeated_is_refused(factory: str, expected: str) -> None:
    with pytest.raises(ValueError, match=r"^network must ") as caught:
        check(f"tests.own_networks:{factory}")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
