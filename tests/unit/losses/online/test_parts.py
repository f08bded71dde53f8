import math

import torch

from peerkd.losses.online.parts import LossParts


def scalar(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def test_the_total_weights_only_the_distilled_parts() -> None:
    parts = LossParts(supervised={"a": scalar(1.0), "b": scalar(2.0)}, distilled={"c": scalar(10.0), "d": scalar(20.0)})
    assert parts.total(0.5).item() == 3 + 0.5 * 30
    assert parts.total(1.0).item() == 33
    assert parts.total(0.0).item() == 3


def test_one_supervised_part_alone_is_the_total_itself() -> None:
    part = torch.tensor(0.1).requires_grad_()
    assert LossParts(supervised={"cross_entropy_branches": part}, distilled={}).total(math.nan) is part


def test_a_divergence_that_is_not_finite_shows_at_weight_zero() -> None:
    assert LossParts(supervised={"a": scalar(1.0)}, distilled={"b": scalar(math.inf)}).total(0.0).isnan()


def test_gradients_of_the_total_are_one_and_the_weight() -> None:
    leaves = [scalar(value).requires_grad_() for value in (1.0, 2.0, 3.0, 4.0)]
    parts = LossParts(supervised={"a": leaves[0], "b": leaves[1]}, distilled={"c": leaves[2], "d": leaves[3]})
    gradients = torch.autograd.grad(parts.total(0.25), leaves)
    assert [gradient.item() for gradient in gradients] == [1, 1, 0.25, 0.25]
