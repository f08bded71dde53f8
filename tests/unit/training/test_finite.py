import math

import pytest
import torch

from peerkd.results.outcome import NO_ANSWER
from peerkd.training.finite import all_answered, are_finite, losses_are_finite, predicted_classes

NOT_FINITE = [math.nan, math.inf, -math.inf]


@pytest.mark.parametrize("number", NOT_FINITE)
def test_one_number_that_is_not_finite_is_enough(number: float) -> None:
    tensors = [torch.ones(3), torch.zeros(2, 5), torch.tensor(7)]
    assert are_finite(tensors)
    tensors[1][1, 3] = number
    assert not are_finite(tensors)


def test_a_number_that_overflows_in_bfloat16_is_not_finite() -> None:
    assert are_finite([torch.tensor([3e38])])
    assert not are_finite([torch.tensor([3.4e38]).to(torch.bfloat16)])


def test_counters_are_finite_and_so_is_an_empty_list() -> None:
    assert are_finite([torch.tensor(2**40)])
    assert are_finite([])


@pytest.mark.parametrize("number", [*NOT_FINITE, None])
def test_one_loss_that_is_not_finite_is_enough(number: float | None) -> None:
    assert losses_are_finite([0.5, 1e30])
    assert not losses_are_finite([0.5, number])


@pytest.mark.parametrize("number", NOT_FINITE)
def test_logits_that_are_not_finite_predict_no_class(number: float) -> None:
    logits_GNK = torch.tensor([[[1.0, 2.0], [3.0, 2.0]], [[1.0, 2.0], [0.0, number]]])
    classes_GN = predicted_classes(logits_GNK)
    assert classes_GN.tolist() == [[1, 0], [1, NO_ANSWER]]
    assert all_answered({"test": classes_GN[0].numpy()})
    assert not all_answered({"validation": classes_GN[0].numpy(), "test": classes_GN[1].numpy()})
