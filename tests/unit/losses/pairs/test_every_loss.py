"""Properties of every registered loss on which the engines and the reports rely."""

import inspect

import pytest
import torch
from torch import Tensor

from peerkd.losses.pairs import PAIR_LOSSES
from peerkd.losses.pairs.loss import PairLoss
from peerkd.losses.pairs.term import distillation_term
from tests.pair_losses import EVERY_LOSS

B, K = 6, 5
LABELS_B = torch.tensor([0, 1, 2, 3, 4, 0])

each_loss = pytest.mark.parametrize("loss", EVERY_LOSS, ids=lambda loss: loss.name)


def random_logits(seed: int, *, scale: float = 3.0) -> Tensor:
    return scale * torch.randn(B, K, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def losses(loss: PairLoss, students_BK: Tensor, teachers_BK: Tensor, labels_B: Tensor, temperature: object) -> Tensor:
    return distillation_term(loss).per_sample(students_BK, teachers_BK, labels_B=labels_B, temperature=temperature)


@each_loss
def test_its_function_takes_what_it_declares(loss: PairLoss) -> None:
    students, targets, *named = inspect.signature(loss.per_sample).parameters.values()
    assert (students.name, targets.name) == ("student_logits_BK", "target_logits_BK")
    assert all(each.kind is inspect.Parameter.KEYWORD_ONLY and each.default is each.empty for each in named)
    labels = {"labels_B"} if loss.needs_labels else set()
    assert {each.name for each in named} == {"temperature", *labels, *(each.name for each in loss.parameters)}


@each_loss
def test_it_is_described(loss: PairLoss) -> None:
    assert loss.name.isidentifier()
    assert loss.name == loss.name.lower()
    assert all([loss.title, loss.formula, loss.tex, loss.source])
    assert "\n" not in loss.formula
    assert loss.meaning.startswith("D ")
    assert all(text.endswith(".") for text in (loss.meaning, *(each.meaning for each in loss.parameters)))


@each_loss
def test_the_loss_of_a_sample_depends_on_no_other_sample(loss: PairLoss) -> None:
    students_BK, teachers_BK = random_logits(0), random_logits(1)
    together_B = losses(loss, students_BK, teachers_BK, LABELS_B, 2.0)
    alone = [losses(loss, students_BK[[b]], teachers_BK[[b]], LABELS_B[[b]], 2.0) for b in range(B)]
    assert together_B.shape == (B,)
    torch.testing.assert_close(together_B, torch.cat(alone), rtol=1e-12, atol=0)


@each_loss
def test_the_temperature_may_be_a_tensor_or_one_for_each_sample(loss: PairLoss) -> None:
    students_BK, teachers_BK = random_logits(0), random_logits(1)
    one_B = losses(loss, students_BK, teachers_BK, LABELS_B, 1.3)
    assert torch.equal(losses(loss, students_BK, teachers_BK, LABELS_B, torch.tensor(1.3, dtype=torch.float64)), one_B)
    temperatures_B1 = torch.tensor([[1.3, 4.0] * (B // 2)], dtype=torch.float64).t()
    other_B = losses(loss, students_BK, teachers_BK, LABELS_B, 4.0)
    torch.testing.assert_close(
        losses(loss, students_BK, teachers_BK, LABELS_B, temperatures_B1),
        torch.where(temperatures_B1[:, 0] == 1.3, one_B, other_B),
    )
    assert not torch.allclose(one_B, other_B)


@each_loss
def test_no_gradient_flows_to_the_teacher(loss: PairLoss) -> None:
    students_BK, teachers_BK = random_logits(0).requires_grad_(), random_logits(1).requires_grad_()
    losses(loss, students_BK, teachers_BK, LABELS_B, 2.0).sum().backward()
    assert teachers_BK.grad is None
    assert students_BK.grad is not None
    assert students_BK.grad.abs().max() > 0.01


@each_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("students", "teachers"),
    [
        ([0.0, 0.0], [0.0, 0.0]),
        ([0.0, 0.0], [3.0, -1.0]),
        ([3.0, -1.0], [0.0, 0.0]),
        ([3.0, -1.0], [3.0, -1.0]),
        ([1000.0, -1000.0], [-1000.0, 1000.0]),
        ([-1000.0, 1000.0], [0.0, 0.0]),
    ],
)
def test_finite_logits_give_a_finite_loss_and_gradient(
    loss: PairLoss, dtype: torch.dtype, students: list[float], teachers: list[float]
) -> None:
    students_BK = torch.tensor([students], dtype=dtype, requires_grad=True)
    losses_B = losses(loss, students_BK, torch.tensor([teachers], dtype=dtype), torch.tensor([0]), 1.0)
    losses_B.sum().backward()
    assert losses_B.isfinite().all()
    assert students_BK.grad is not None
    assert students_BK.grad.isfinite().all()


@each_loss
def test_every_default_is_within_its_bounds(loss: PairLoss) -> None:
    for each in loss.parameters:
        assert each.at_least is None or each.default >= each.at_least
        assert each.above is None or each.default > each.above
        assert each.at_most is None or each.default <= each.at_most
        assert each.below is None or each.default < each.below


def test_the_registry_has_each_loss_once_by_its_own_name() -> None:
    assert list(PAIR_LOSSES) == [loss.name for loss in PAIR_LOSSES.values()]
    assert list(PAIR_LOSSES)[:2] == ["kl", "reverse_kl"]
