import pytest
import torch

from peerkd.losses.pairs import PAIR_LOSSES
from peerkd.losses.pairs.temperature_rule import StepFacts
from peerkd.losses.pairs.term import distillation_term
from peerkd.training.own_temperature import OwnTemperature, cross_entropy_gap
from peerkd.training.stacked import own_temperatures
from peerkd.training.stacked.own_temperatures import FAST_SLOPES, step_all

NAMES = [name for name, loss in PAIR_LOSSES.items() if loss.sets_temperature]


def facts(monkeypatch, logits_GKB, teachers_GKB, labels_B, term) -> list[StepFacts]:
    """Return the facts that each student's rule is given in a step."""
    seen: list[StepFacts] = []
    monkeypatch.setattr(OwnTemperature, "step", lambda _, facts: seen.append(facts))
    own = [OwnTemperature(term) for _ in logits_GKB]
    temperatures_G = torch.arange(len(own), dtype=logits_GKB.dtype) + 0.7
    step_all(
        own,
        logits_GKB,
        teachers_GKB,
        labels_B=labels_B,
        distillation_weights_G11=torch.full((len(own), 1, 1), 0.3, dtype=logits_GKB.dtype),
        temperatures_G11=temperatures_G[:, None, None],
        term=term,
        progress=0.25,
        learning_rates=[0.1 * index for index in range(len(own))],
    )
    return seen


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("reduction", ["batchmean", "mean"])
@pytest.mark.parametrize("is_scaled", [True, False])
@pytest.mark.parametrize("is_fast", [True, False])
def test_the_facts_are_those_of_each_students_own_loss(monkeypatch, name, reduction, is_scaled, is_fast) -> None:
    if not is_fast:
        monkeypatch.setattr(own_temperatures, "FAST_SLOPES", {})
    made = torch.Generator().manual_seed(0)
    logits_GKB, teachers_GKB = (4 * torch.randn(3, 5, 8, generator=made, dtype=torch.float64) for _ in range(2))
    labels_B = torch.randint(5, (8,), generator=made)
    term = distillation_term(PAIR_LOSSES[name])._replace(reduction=reduction, scale_by_temperature_squared=is_scaled)
    rule = term.loss.temperature_rule
    for index, got in enumerate(facts(monkeypatch, logits_GKB, teachers_GKB, labels_B, term)):
        student_BK, teacher_BK = logits_GKB[index].t(), teachers_GKB[index].t()
        temperature = torch.tensor(index + 0.7, dtype=torch.float64, requires_grad=True)
        (0.3 * term.reduced(student_BK, teacher_BK, labels_B=labels_B, temperature=temperature)).backward()
        assert got.progress == 0.25
        assert got.learning_rate == 0.1 * index
        assert got.temperature_slope == pytest.approx(temperature.grad.item() if rule.needs_slope else 0.0, rel=1e-9)
        gap = cross_entropy_gap(student_BK, teacher_BK, labels_B)
        assert got.cross_entropy_gap == pytest.approx(gap if rule.needs_gap else 0.0, rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("num_students", [2, 5, 15])
@pytest.mark.parametrize("num_classes", [2, 3, 10])
def test_a_students_facts_do_not_depend_on_the_others_to_the_last_bit(
    monkeypatch, name, num_students, num_classes
) -> None:
    made = torch.Generator().manual_seed(num_students)
    logits_GKB, teachers_GKB = (3 * torch.randn(num_students, num_classes, 7, generator=made) for _ in range(2))
    labels_B, term = torch.randint(num_classes, (7,), generator=made), distillation_term(PAIR_LOSSES[name])
    monkeypatch.setattr(torch, "arange", lambda number, dtype: torch.full((number,), 1.3, dtype=dtype))
    together = facts(monkeypatch, logits_GKB, teachers_GKB, labels_B, term)
    for index in range(num_students):
        one = slice(index, index + 1)
        (alone,) = facts(monkeypatch, logits_GKB[one], teachers_GKB[one], labels_B, term)
        assert alone._replace(learning_rate=0.0) == together[index]._replace(learning_rate=0.0)


def test_every_fast_slope_is_one_of_a_registered_loss_that_needs_it() -> None:
    for name in FAST_SLOPES:
        assert PAIR_LOSSES[name].temperature_rule.needs_slope
