"""The passes written by hand, compared with autograd in 64 bits."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peerkd.training.stacked.flat import FlatTensors
from peerkd.training.stacked.mlp import StackedMlp
from peerkd.training.stacked.small_cnn import StackedSmallCnn

STACKED = {"mlp": StackedMlp, "small_cnn": StackedSmallCnn}


def stack(architecture, plain):
    shapes = {name: parameter.shape for name, parameter in plain[0].named_parameters()}
    weights, gradients = (FlatTensors(shapes, num_students=len(plain), dtype=torch.float64) for _ in range(2))
    for place, network in enumerate(plain):
        weights.put(place, network.state_dict())
    buffers = [dict(network.named_buffers()) for network in plain]
    statistics = {name: torch.stack([each[name] for each in buffers]) for name in buffers[0]}
    stacked = STACKED[architecture](weights.named, gradients=gradients.named, statistics=statistics)
    return stacked, gradients, statistics


@pytest.mark.parametrize("architecture", sorted(STACKED))
@given(
    shape_CHW=st.tuples(st.integers(1, 3), st.integers(4, 11), st.integers(4, 11)),
    num_classes=st.integers(2, 20),
    num_students=st.integers(1, 4),
    num_images=st.integers(2, 9),
    seed=st.integers(0, 99),
)
@settings(max_examples=15)
def test_logits_gradients_and_statistics_are_those_of_the_plain_network(
    architecture, made_batches, shape_CHW, num_classes, num_students, num_images, seed
):
    made = made_batches(shape_CHW, num_classes, batch_sizes=[num_images], seed=seed, dtype=torch.float64)
    plain = [made.network(architecture, seed + place) for place in range(num_students)]
    stacked, gradients, statistics = stack(architecture, plain)
    (batch,) = made.batches(0)
    evaluated_GKB = stacked.evaluate(batch.images_NCHW)[:, :num_classes]
    logits_GJB = stacked.forward(stacked.share(batch.images_NCHW))
    grad_GJB = torch.zeros_like(logits_GJB)
    rng = torch.Generator().manual_seed(seed)
    grad_GJB[:, :num_classes] = torch.randn(num_students, num_classes, num_images, generator=rng, dtype=torch.float64)
    stacked.backward(grad_GJB)
    for place, network in enumerate(plain):
        network.eval()
        torch.testing.assert_close(evaluated_GKB[place].t(), network(batch.images_NCHW).detach())
        network.train()
        logits_BK = network(batch.images_NCHW)
        torch.testing.assert_close(logits_GJB[place, :num_classes].t(), logits_BK.detach())
        logits_BK.backward(grad_GJB[place, :num_classes].t())
        taken = gradients.take(place)
        for name, parameter in network.named_parameters():
            torch.testing.assert_close(taken[name], parameter.grad, rtol=1e-7, atol=1e-9, msg=name)
        for name, buffer in network.named_buffers():
            torch.testing.assert_close(statistics[name][place], buffer, msg=name)


@pytest.mark.parametrize("architecture", sorted(STACKED))
def test_images_of_one_colour_give_the_gradients_of_the_plain_network(architecture, made_batches):
    made = made_batches((1, 8, 8), 10, batch_sizes=[6], dtype=torch.float64)
    network = made.network(architecture, 1)
    stacked, gradients, _ = stack(architecture, [network])
    images_NCHW = torch.zeros(6, 1, 8, 8, dtype=torch.float64)
    images_NCHW[3:] = 1
    grad_GJB = torch.zeros_like(stacked.forward(stacked.share(images_NCHW)))
    grad_GJB[0, :10] = torch.arange(60, dtype=torch.float64).view(10, 6) % 7 - 3
    stacked.backward(grad_GJB)
    network(images_NCHW).backward(grad_GJB[0, :10].t())
    taken = gradients.take(0)
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(taken[name], parameter.grad, rtol=1e-7, atol=1e-9, msg=name)
