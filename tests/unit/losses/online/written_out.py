"""The formulas of the losses in plain Python, one number at a time, and gradients by finite differences."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

M, B, K = 3, 4, 5
LABELS_B = torch.tensor([0, 3, 4, 1])
TEMPERATURES = [0.5, 1.0, 3.0]

Numbers = list[float]
Branches = list[list[Numbers]]


def random_logits(seed: int, *shape: int) -> Tensor:
    return 2 * torch.randn(shape or (M, B, K), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def softened(logits: Numbers, temperature: float) -> Numbers:
    total = sum(math.exp(logit / temperature) for logit in logits)
    return [math.exp(logit / temperature) / total for logit in logits]


def kl(p: Numbers, q: Numbers) -> float:
    return sum(p_k * math.log(p_k / q_k) for p_k, q_k in zip(p, q, strict=True))


def cross_entropy(logits_BK: list[Numbers]) -> float:
    """The mean over the batch for one branch."""
    total = 0.0
    for logits, label in zip(logits_BK, LABELS_B.tolist(), strict=True):
        total -= math.log(softened(logits, 1.0)[label])
    return total / len(logits_BK)


def cross_entropies(logits_MBK: Branches) -> float:
    """The sum over branches."""
    return sum(cross_entropy(logits_BK) for logits_BK in logits_MBK)


def teaching(teacher_BK: list[Numbers], student_BK: list[Numbers], temperature: float) -> float:
    """T^2 * KL(teacher || student), the mean over the batch for one pair."""
    total = 0.0
    for teacher, student in zip(teacher_BK, student_BK, strict=True):
        total += kl(softened(teacher, temperature), softened(student, temperature))
    return temperature**2 * total / len(student_BK)


def gradient_by_differences(function: Callable[[Any], float], at: Tensor, *, step: float = 1e-5) -> Tensor:
    """Return the gradient of a function of nested lists by finite differences. The caller keeps teachers constant."""
    gradient = torch.zeros_like(at)
    for index in range(at.numel()):
        above, below = at.detach().clone(), at.detach().clone()
        above.view(-1)[index] += step
        below.view(-1)[index] -= step
        gradient.view(-1)[index] = (function(above.tolist()) - function(below.tolist())) / (2 * step)
    return gradient


def assert_is(part: Tensor, function: Callable[[Any], float], of: Tensor) -> None:
    """Check that a part has the value of the function and, with respect to ``of``, its gradient."""
    assert part.shape == ()
    torch.testing.assert_close(part.item(), function(of.tolist()), rtol=1e-12, atol=1e-14)
    (gradient,) = torch.autograd.grad(part, of, retain_graph=True)
    torch.testing.assert_close(gradient, gradient_by_differences(function, of), rtol=1e-6, atol=1e-8)


def assert_no_gradient(part: Tensor, leaf: Tensor) -> None:
    assert leaf.requires_grad
    (gradient,) = torch.autograd.grad(part, leaf, retain_graph=True, allow_unused=True)
    assert gradient is None or gradient.abs().max() == 0
