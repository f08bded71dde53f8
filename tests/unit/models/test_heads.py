"""Tests of each head against its formula, written out for single numbers."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from peerkd.models.heads import AttentionHead, FusedHead, GatedHead, JoinedHead, average_logits

M, B, K, NUM_FEATURES = 3, 4, 5, 6


def random(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def randomised(head: nn.Module) -> nn.Module:
    """Randomise every parameter and every running statistic, so that none keeps an initial value of 0 or 1."""
    head.double()
    for index, tensor in enumerate(head.state_dict().values()):
        if tensor.is_floating_point():
            tensor.copy_(random(100 + index, *tensor.shape))
    for name, buffer in head.named_buffers():
        if name.endswith("running_var"):
            buffer.abs_().add_(0.1)
    return head


def softmax(values: list[float]) -> list[float]:
    total = sum(math.exp(value) for value in values)
    return [math.exp(value) / total for value in values]


def linear(weight: list[list[float]], inputs: list[float]) -> list[float]:
    return [sum(w * x for w, x in zip(row, inputs, strict=True)) for row in weight]


def assert_is(actual: torch.Tensor, expected: list) -> None:
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12)


def test_the_joined_head_is_a_layer_on_the_concatenated_features() -> None:
    head = randomised(JoinedHead(num_branches=M, num_features=NUM_FEATURES, num_classes=K))
    features_MBF = random(0, M, B, NUM_FEATURES)
    weight, bias = head.classifier.weight.tolist(), head.classifier.bias.tolist()
    expected = []
    for b in range(B):
        logits = list(bias)
        for k in range(K):
            for j in range(M):
                for f in range(NUM_FEATURES):
                    logits[k] += weight[k][j * NUM_FEATURES + f] * features_MBF[j, b, f].item()
        expected.append(logits)
    assert_is(head(features_MBF), expected)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_the_gated_head_weights_logits_by_a_gate_on_the_trunk(training: bool) -> None:
    num_channels = 7
    head = randomised(GatedHead(num_branches=M, num_trunk_channels=num_channels)).train(training)
    layer, norm, _ = head.gate
    trunk_BC, logits_MBK = random(0, B, num_channels), random(1, M, B, K).tolist()
    scores_BM = [linear(layer.weight.tolist(), inputs) for inputs in trunk_BC.tolist()]
    scores_BM = [[s + b for s, b in zip(scores, layer.bias.tolist(), strict=True)] for scores in scores_BM]
    num_rectified = 0
    for j in range(M):
        column = [scores[j] for scores in scores_BM]
        mean, variance = norm.running_mean[j].item(), norm.running_var[j].item()
        if training:
            mean = sum(column) / B
            variance = sum((value - mean) ** 2 for value in column) / B
        for b in range(B):
            value = norm.weight[j].item() * (column[b] - mean) / math.sqrt(variance + norm.eps) + norm.bias[j].item()
            num_rectified += value < 0
            scores_BM[b][j] = max(value, 0.0)
    assert 0 < num_rectified < M * B
    expected = []
    for b in range(B):
        gate = softmax(scores_BM[b])
        expected.append([sum(gate[j] * logits_MBK[j][b][k] for j in range(M)) for k in range(K)])
    assert_is(head(trunk_BC, torch.tensor(logits_MBK, dtype=torch.float64)), expected)


def test_a_gate_between_equal_branches_changes_nothing() -> None:
    head = randomised(GatedHead(num_branches=M, num_trunk_channels=2))
    logits_BK = random(0, B, K)
    torch.testing.assert_close(head(random(1, B, 2), logits_BK.expand(M, B, K)), logits_BK)


def test_attention_is_a_softmax_over_the_teaching_branches() -> None:
    head = randomised(AttentionHead(num_features=16))
    features_ABF = random(0, M, B, 16).tolist()
    query, key = head.query.weight.tolist(), head.key.weight.tolist()
    expected = []
    for b in range(B):
        rows = []
        for learner in range(M):
            q = linear(query, features_ABF[learner][b])
            scores = []
            for teacher in range(M):
                k = linear(key, features_ABF[teacher][b])
                scores.append(sum(x * y for x, y in zip(q, k, strict=True)))
            rows.append(softmax(scores))
        expected.append(rows)
    attention_BAA = head(torch.tensor(features_ABF, dtype=torch.float64))
    assert_is(attention_BAA, expected)
    assert_is(attention_BAA.sum(dim=2), [[1.0] * M] * B)
    assert (attention_BAA.sum(dim=1) - 1).abs().max() > 0.1


@pytest.mark.parametrize(("num_features", "num_dimensions"), [(64, 8), (16, 2), (5, 1)])
def test_queries_and_keys_have_an_eighth_of_the_features_but_at_least_one(
    num_features: int, num_dimensions: int
) -> None:
    head = AttentionHead(num_features=num_features)
    assert head.query.weight.shape == head.key.weight.shape == (num_dimensions, num_features)
    assert head.query.bias is None
    assert head.key.bias is None


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_the_fused_head_is_its_layers_applied_by_hand(training: bool) -> None:
    num_channels = 2
    head = randomised(FusedHead(num_branches=M, num_channels=num_channels, num_classes=K)).train(training)
    depthwise, norm1, _, pointwise, norm2, _ = head.fusion
    maps = [random(seed, B, num_channels, 4, 3) for seed in range(M)]

    def normalised(values: torch.Tensor, norm: nn.BatchNorm2d) -> torch.Tensor:
        mean, variance = norm.running_mean, norm.running_var
        if training:
            mean, variance = values.mean(dim=(0, 2, 3)), values.var(dim=(0, 2, 3), correction=0)
        values = (values - mean[:, None, None]) / (variance[:, None, None] + norm.eps).sqrt()
        return values * norm.weight[:, None, None] + norm.bias[:, None, None]

    channels = [maps[branch][:, [channel]] for branch in range(M) for channel in range(num_channels)]
    convolved = [
        F.conv2d(values, kernel[None], padding=1) for values, kernel in zip(channels, depthwise.weight, strict=True)
    ]
    first = normalised(torch.cat(convolved, dim=1), norm1).clamp(min=0)
    mixed = torch.einsum("oc,bchw->bohw", pointwise.weight[:, :, 0, 0], first)
    pooled = normalised(mixed, norm2).clamp(min=0).flatten(2).sum(dim=2) / 12
    expected = pooled @ head.classifier.weight.T + head.classifier.bias
    torch.testing.assert_close(head(maps), expected, rtol=1e-10, atol=1e-12)


def test_the_average_is_the_logarithm_of_the_mean_probability() -> None:
    logits_MBK = 3 * random(0, M, B, K)
    expected = []
    for b in range(B):
        shares = [softmax(logits_MBK[j, b].tolist()) for j in range(M)]
        expected.append([math.log(sum(share[k] for share in shares) / M) for k in range(K)])
    assert_is(average_logits(logits_MBK), expected)


def test_the_average_is_a_distribution_and_equals_that_of_a_single_branch() -> None:
    logits_MBK = 3 * random(0, M, B, K)
    assert_is(average_logits(logits_MBK).exp().sum(dim=1), [1.0] * B)
    torch.testing.assert_close(average_logits(logits_MBK[:1]).exp(), logits_MBK[0].softmax(dim=1))


def test_the_average_of_large_logits_is_finite() -> None:
    # One branch is certain of class 0, the other of class 1, and both exclude class 2.
    logits_MBK = torch.tensor([[[1e4, 0.0, -1e4]], [[0.0, 1e4, -1e4]]], requires_grad=True)
    average_BK = average_logits(logits_MBK)
    torch.testing.assert_close(average_BK, torch.tensor([[-math.log(2), -math.log(2), -2e4]]))
    average_BK.sum().backward()
    assert logits_MBK.grad.isfinite().all()
