import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from peerkd.models.branched import BranchedNetwork, build_branched
from peerkd.training.online.mean import MeanBatchNorm, MeanNetwork, mean_decay

M, B, K = 2, 4, 5
GREY = (1, 8, 8)
POLICIES: list[MeanBatchNorm] = ["batch", "averaged", "copied"]


def build(**changes: Any) -> BranchedNetwork:
    arguments = {"num_branches": M, "branch_point": "stage2", "head": "joined", "seed": 3, **changes}
    return build_branched("small_cnn", image_shape_CHW=GREY, num_classes=K, **arguments).train()


def images(num_images: int = B, *, seed: int = 0) -> Tensor:
    return torch.randn(num_images, *GREY, generator=torch.Generator().manual_seed(seed))


def step(network: BranchedNetwork, *, seed: int) -> None:
    """Change every weight, and every statistic by a forward pass, as a training step would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
        network.train()(1 + images(M * B, seed=seed), M)


def weights(network: BranchedNetwork) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.named_parameters()}


def statistics(network: BranchedNetwork) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.named_buffers() if tensor.is_floating_point()}


def counters(network: BranchedNetwork) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.named_buffers() if not tensor.is_floating_point()}


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert first
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def assert_all_differ(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert [name for name in first if torch.equal(first[name], second[name])] == []


def followed(history: list[dict[str, Tensor]], *, ceiling: float) -> dict[str, Tensor]:
    """Return the mean of a history, one tensor at a time in float64. Networks before the first step do not count."""
    means = {name: tensor.double() for name, tensor in history[0].items()}
    for update, values in enumerate(history):
        decay = min(update / (update + 1), ceiling)
        means = {name: decay * mean + (1 - decay) * values[name].double() for name, mean in means.items()}
    return means


@pytest.mark.parametrize(
    ("update", "decay"), [(0, 0.0), (1, 0.5), (9, 0.9), (998, 998 / 999), (999, 0.999), (1000, 0.999), (10**6, 0.999)]
)
def test_the_decay_rises_to_its_ceiling(update: int, decay: float) -> None:
    assert mean_decay(update, ceiling=0.999) == pytest.approx(decay, abs=1e-15)


def test_with_a_ceiling_of_zero_the_mean_is_the_network() -> None:
    network = build()
    mean = MeanNetwork(network, ceiling=0.0, batch_norm="averaged")
    for seed in range(3):
        step(network, seed=seed)
        mean.update()
        assert_same(weights(mean.network), weights(network))
        assert_same(statistics(mean.network), statistics(network))


@pytest.mark.parametrize("policy", POLICIES)
def test_the_mean_starts_as_the_network_with_tensors_of_its_own(policy: MeanBatchNorm) -> None:
    network = build()
    mean = MeanNetwork(network, ceiling=0.999, batch_norm=policy)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert_same(dict(mean.network.state_dict()), before)
    step(network, seed=0)
    assert_same(dict(mean.network.state_dict()), before)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_first_update_copies_to_the_last_bit(policy: MeanBatchNorm) -> None:
    network = build()
    mean = MeanNetwork(network, ceiling=0.999, batch_norm=policy)
    step(network, seed=0)
    assert_all_differ(weights(mean.network), weights(network))
    mean.update()
    assert_same(weights(mean.network), weights(network))


@pytest.mark.parametrize("policy", POLICIES)
def test_all_weights_are_averaged_as_one_tensor_after_another_would_be(policy: MeanBatchNorm) -> None:
    network = build()
    mean = MeanNetwork(network, ceiling=0.9, batch_norm=policy)
    history = []
    for seed in range(30):
        step(network, seed=seed)
        mean.update()
        history.append(weights(network))
    assert mean.num_updates == 30
    expected, actual = followed(history, ceiling=0.9), weights(mean.network)
    assert {name.split(".")[0] for name in expected} == {"trunk", "branches", "head"}
    for name, tensor in expected.items():
        torch.testing.assert_close(actual[name].double(), tensor, rtol=1e-5, atol=1e-6)
    assert_all_differ(actual, history[-1])


def test_before_the_ceiling_all_networks_weigh_the_same() -> None:
    network = build()
    mean = MeanNetwork(network, ceiling=0.999, batch_norm="batch")
    history = []
    for seed in range(12):
        step(network, seed=seed)
        mean.update()
        history.append(weights(network))
    for name, tensor in weights(mean.network).items():
        equal_shares = torch.stack([each[name].double() for each in history]).mean(dim=0)
        torch.testing.assert_close(tensor.double(), equal_shares, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("policy", POLICIES)
def test_an_update_reads_the_network_and_changes_nothing_of_it(policy: MeanBatchNorm) -> None:
    network = build()
    mean = MeanNetwork(network, ceiling=0.999, batch_norm=policy)
    step(network, seed=0)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    mean.update()
    mean.outputs(images(M * B), M)
    mean.update()
    assert_same(dict(network.state_dict()), before)
    assert all(module.training for module in network.modules())


@pytest.mark.parametrize(("view_batch_norm", "num_passes"), [("joined", 1), ("separate", M)])
def test_policy_batch_normalises_by_the_batch_and_keeps_statistics_of_its_own(
    view_batch_norm: str, num_passes: int
) -> None:
    network = build(view_batch_norm=view_batch_norm)
    mean = MeanNetwork(network, ceiling=0.999, batch_norm="batch")
    step(network, seed=0)
    mean.update()
    of_network = statistics(network)
    beside = copy.deepcopy(mean.network).train()
    mean.network.eval()  # as an evaluation leaves it
    for seed in range(2):
        outputs, expected = mean.outputs(images(M * B, seed=seed), M), beside(images(M * B, seed=seed), M)
        assert torch.equal(outputs.logits_MBK, expected.logits_MBK)
        assert torch.equal(outputs.head_logits_BK, expected.head_logits_BK)
    assert_same(statistics(mean.network), statistics(beside))
    assert_same(counters(mean.network), counters(beside))
    for name, count in counters(mean.network).items():
        assert count == (2 * num_passes if name.startswith("trunk") else 2), name
    # The first layer's statistics by hand: from 0 and 1, a tenth of each pass.
    norm, expected_mean = mean.network.trunk.stage1[1], torch.zeros(16)
    for seed in range(2):
        for passed in images(M * B, seed=seed).chunk(num_passes):
            values = mean.network.trunk.stage1[0](passed)
            expected_mean = 0.9 * expected_mean + 0.1 * values.mean(dim=(0, 2, 3))
    torch.testing.assert_close(norm.running_mean, expected_mean)
    before = statistics(mean.network)
    mean.update()
    assert_same(statistics(mean.network), before)
    assert_same(statistics(network), of_network)


def test_policy_averaged_evaluates_with_statistics_averaged_like_the_weights() -> None:
    network = build()
    mean = MeanNetwork(network, ceiling=0.9, batch_norm="averaged")
    history = []
    for seed in range(20):
        step(network, seed=seed)
        mean.outputs(images(M * B, seed=seed), M)
        mean.update()
        history.append(statistics(network))
    actual = statistics(mean.network)
    for name, tensor in followed(history, ceiling=0.9).items():
        torch.testing.assert_close(actual[name].double(), tensor, rtol=1e-5, atol=1e-6)
    assert_all_differ(actual, statistics(network))
    assert not any(counters(mean.network).values())
    assert_evaluates(mean)


def test_policy_copied_evaluates_with_the_statistics_of_the_network() -> None:
    network = build()
    mean = MeanNetwork(network, ceiling=0.9, batch_norm="copied")
    for seed in range(5):
        step(network, seed=seed)
        mean.outputs(images(M * B, seed=seed), M)
        assert_all_differ(statistics(mean.network), statistics(network))
        mean.update()
        assert_same(statistics(mean.network), statistics(network))
    assert_all_differ(weights(mean.network), weights(network))
    assert not any(counters(mean.network).values())
    assert_evaluates(mean)


def assert_evaluates(mean: MeanNetwork) -> None:
    """The mean predicts as in evaluation mode, even after it was put into training mode, and no batch changes it."""
    before = {name: tensor.clone() for name, tensor in mean.network.state_dict().items()}
    expected = copy.deepcopy(mean.network).eval()(images(M * B), M)
    mean.network.train()
    outputs = mean.outputs(images(M * B), M)
    assert torch.equal(outputs.logits_MBK, expected.logits_MBK)
    assert torch.equal(outputs.head_logits_BK, expected.head_logits_BK)
    assert_same(dict(mean.network.state_dict()), before)


@pytest.mark.parametrize("policy", POLICIES)
def test_no_policy_leaves_the_statistics_of_the_first_network_under_averaged_weights(policy: MeanBatchNorm) -> None:
    # The network stays the same and sees one batch many times, so in the end the mean must predict the same.
    network = build()
    mean = MeanNetwork(network, ceiling=0.9, batch_norm=policy)
    images_NCHW = 5 + 3 * images(M * B)
    with torch.no_grad():
        for _ in range(200):
            network.train()(images_NCHW, M)
            mean.outputs(images_NCHW, M)
            mean.update()
        settled, of_mean = network.eval()(images_NCHW, M), mean.network.eval()(images_NCHW, M)
        stale = build().eval()(images_NCHW, M)
    torch.testing.assert_close(of_mean.logits_MBK, settled.logits_MBK, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(of_mean.head_logits_BK, settled.head_logits_BK, rtol=1e-3, atol=1e-3)
    assert (stale.logits_MBK - settled.logits_MBK).abs().max() > 0.1


@pytest.mark.parametrize("policy", POLICIES)
def test_no_gradient_ever_reaches_the_mean(policy: MeanBatchNorm) -> None:
    network = build()
    mean = MeanNetwork(network, ceiling=0.999, batch_norm=policy)
    outputs, mean_outputs = network(images(M * B), M), mean.outputs(images(M * B), M)
    assert not mean_outputs.logits_MBK.requires_grad
    assert not mean_outputs.head_logits_BK.requires_grad
    assert outputs.logits_MBK.requires_grad
    (outputs.logits_MBK - mean_outputs.logits_MBK + 1).square().sum().backward()
    mean.update()
    assert [name for name, tensor in mean.network.named_parameters() if tensor.requires_grad] == []
    assert [name for name, tensor in mean.network.named_parameters() if tensor.grad is not None] == []
    assert all(tensor.requires_grad and tensor.is_leaf for tensor in network.parameters())


def test_the_mean_of_a_branch_sees_the_view_of_that_branch() -> None:
    network = build()
    mean = MeanNetwork(network, ceiling=0.999, batch_norm="averaged")
    images_NCHW = images(M * B)
    outputs = mean.outputs(images_NCHW, M)
    for branch, view_BCHW in enumerate(images_NCHW.chunk(M)):
        torch.testing.assert_close(outputs.logits_MBK[branch], mean.outputs(view_BCHW, 1).logits_MBK[branch])
