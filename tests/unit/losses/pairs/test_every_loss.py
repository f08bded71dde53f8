"""Properties of every registered loss on which the engines and the reports rely."""

import inspect
import math

import pytest
import torch
from torch import Tensor

from peerkd.losses.pairs import PAIR_LOSSES
from peerkd.losses.pairs.loss import PairLoss
from peerkd.losses.pairs.temperature_rule import StepFacts
from peerkd.losses.pairs.term import distillation_term
from peerkd.training.own_temperature import OwnTemperature
from tests.pair_losses import EVERY_LOSS, random_logits

B, K = 6, 5
LABELS_B = torch.tensor([0, 1, 2, 3, 4, 0])

each_loss = pytest.mark.parametrize("loss", EVERY_LOSS, ids=lambda loss: loss.name)


def losses(loss: PairLoss, students_BK: Tensor, teachers_BK: Tensor, labels_B: Tensor, temperature: object) -> Tensor:
    return distillation_term(loss).per_sample(students_BK, teachers_BK, labels_B=labels_B, temperature=temperature)


@each_loss
def test_its_function_takes_what_it_declares(loss: PairLoss) -> None:
    students, references, *named = inspect.signature(loss.per_sample).parameters.values()
    assert (students.name, references.name) == ("student_logits_BK", "reference_logits_BK")
    assert all(each.kind is inspect.Parameter.KEYWORD_ONLY and each.default is each.empty for each in named)
    labels = {"labels_B"} if loss.needs_labels else set()
    parameters = set() if loss.sets_temperature else {each.name for each in loss.parameters}
    assert {each.name for each in named} == {"temperature", *labels, *parameters}


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


def extreme_logits(num_classes: int) -> list[list[float]]:
    """Return equal logits, and logits that leave no doubt of one class or of all but one."""
    sure = [[value if k == place else 0.0 for k in range(num_classes)] for value in (1e4, -1e4) for place in (0, 1, -1)]
    return [[0.0] * num_classes, [1e4] * num_classes, [3.0, *[-1.0] * (num_classes - 1)], *sure]


@each_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("num_classes", [2, 3, 10])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 20.0])
def test_finite_logits_of_all_kinds_give_finite_losses_and_gradients_for_every_label(
    loss: PairLoss, dtype: torch.dtype, num_classes: int, temperature: float
) -> None:
    logits = extreme_logits(num_classes)
    rows = [(student, teacher, y) for student in logits for teacher in logits for y in range(num_classes)]
    students_BK, teachers_BK = (torch.tensor(each, dtype=dtype) for each in list(zip(*rows, strict=True))[:2])
    students_BK.requires_grad_()
    losses_B = losses(loss, students_BK, teachers_BK, torch.tensor([y for _, _, y in rows]), temperature)
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


@each_loss
def test_the_defaults_fit_together(loss: PairLoss) -> None:
    if loss.check:
        loss.check(**distillation_term(loss).parameters)


@pytest.mark.parametrize("loss", [each for each in EVERY_LOSS if each.sets_temperature], ids=lambda loss: loss.name)
@pytest.mark.parametrize("fact", [0.0, 1.5, -1e300, math.inf, math.nan])
def test_a_rule_gives_a_temperature_above_0_as_long_as_the_training_is_finite(loss: PairLoss, fact: float) -> None:
    own = OwnTemperature(distillation_term(loss))
    assert own.rule.formula.startswith("T =")
    assert own.rule.tex
    for step in range(1, 5):
        assert own.value > 0
        own.step(StepFacts(progress=step / 4, learning_rate=0.1, cross_entropy_gap=fact, temperature_slope=fact))
        if not math.isfinite(fact):
            # Such a training has diverged: the temperature may be anything, but no error is raised.
            return


def test_the_registry_has_each_loss_once_by_its_own_name() -> None:
    assert list(PAIR_LOSSES) == [loss.name for loss in PAIR_LOSSES.values()]
    assert list(PAIR_LOSSES)[:2] == ["kl", "reverse_kl"]
