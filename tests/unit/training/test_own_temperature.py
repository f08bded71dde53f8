import math

import pytest
import torch
import torch.nn.functional as F

from peerkd.config.losses import loss_config
from peerkd.losses.pairs import PAIR_LOSSES
from peerkd.losses.pairs.temperature_rule import StepFacts
from peerkd.losses.pairs.term import HINTON, distillation_term
from peerkd.training.optimizers import learning_rate_at
from peerkd.training.own_temperature import OwnTemperature, cross_entropy_gap, own_temperature
from peerkd.training.trial_state import TrialState, load_state, save_state
from tests.distillations import Trials, TrialSpec, assert_same
from tests.pair_losses import random_logits

DTS = distillation_term(PAIR_LOSSES["dts"])
LOSSES = [loss_config("dts"), loss_config("ctkd", lowest_temperature=0.2, temperature_range=1.0)]
LABELS_B = torch.tensor([0, 1, 2, 3, 4, 0])


def test_a_student_has_one_if_its_loss_sets_it_and_has_a_part_in_its_training() -> None:
    assert own_temperature(HINTON, distillation_weight=0.5) is None
    assert own_temperature(DTS, distillation_weight=0.0) is None
    own = own_temperature(DTS, distillation_weight=0.5, state=(3.0,))
    assert own is not None
    assert own.value == 3.0
    with pytest.raises(ValueError, match="term must have a loss that sets its temperature, got kl"):
        OwnTemperature(HINTON)
    with pytest.raises(ValueError, match="state must have 1 numbers for the loss dts, got 2"):
        OwnTemperature(DTS, (1.0, 2.0))


def test_the_gap_is_the_difference_of_the_cross_entropies() -> None:
    student_BK, teacher_BK = random_logits(0), random_logits(1)
    expected = F.cross_entropy(student_BK, LABELS_B) - F.cross_entropy(teacher_BK, LABELS_B)
    assert cross_entropy_gap(student_BK, teacher_BK, LABELS_B) == pytest.approx(expected.item(), rel=1e-12)


def test_the_gap_is_that_of_the_classes_that_the_student_knows() -> None:
    student_BK, teacher_BK = random_logits(0), random_logits(1)
    known_K = torch.tensor([True, False, True, True, False])
    own = student_BK.masked_fill(~known_K, -1e6)
    is_known_B, places_B = known_K[LABELS_B], (known_K.cumsum(0) - 1)[LABELS_B]
    one, other = (F.cross_entropy(each[:, known_K][is_known_B], places_B[is_known_B]) for each in (own, teacher_BK))
    got = cross_entropy_gap(own, teacher_BK, LABELS_B, known_K=known_K)
    assert got == pytest.approx((one - other).item(), rel=1e-12)
    assert cross_entropy_gap(own, teacher_BK, torch.tensor([1, 4, 1, 4, 1, 4]), known_K=known_K) == 0.0


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.kind)
def test_the_plain_loop_gives_each_step_the_temperature_and_the_rule_its_facts(loss, monkeypatch) -> None:
    """A training of which every step is done with the loss written out, on the temperature of the rule."""
    trials = Trials("mlp")
    trials.recipe = trials.recipe.model_copy(update={"loss": loss})
    term, seen, step = trials.recipe.term, list[StepFacts](), OwnTemperature.step

    def seeing(own: OwnTemperature, facts: StepFacts) -> None:
        seen.append(facts)
        step(own, facts)

    monkeypatch.setattr(OwnTemperature, "step", seeing)
    got = trials.alone(TrialSpec(1, 2, 0.3, 1.0))
    recipe, student, own = trials.recipe, trials.network(1), OwnTemperature(term)
    teacher, momenta = trials.teacher(2), {name: torch.zeros_like(each) for name, each in student.named_parameters()}
    student.train()
    num_steps = recipe.epochs * trials.samples.num_batches
    facts = iter(seen)
    for epoch in range(recipe.epochs):
        for index, batch in enumerate(trials.samples.batches(epoch)):
            temperature = torch.tensor(own.value, requires_grad=True)
            logits_BK, teacher_BK = student(batch.images_NCHW), teacher[epoch][index]
            divergence = F.kl_div(
                (logits_BK / temperature).log_softmax(1), (teacher_BK / temperature).softmax(1), reduction="batchmean"
            )
            loss = 0.3 * temperature**2 * divergence + 0.7 * F.cross_entropy(logits_BK, batch.labels_B)
            *gradients, slope = torch.autograd.grad(loss, [*student.parameters(), temperature])
            rate = learning_rate_at(epoch * trials.samples.num_batches + index, num_steps=num_steps, recipe=recipe)
            with torch.no_grad():
                for (name, parameter), gradient in zip(student.named_parameters(), gradients, strict=True):
                    momenta[name] = recipe.momentum * momenta[name] + gradient + recipe.weight_decay * parameter
                    parameter -= rate * momenta[name]
            fact = next(facts)
            assert fact.progress == (epoch * trials.samples.num_batches + index + 1) / num_steps
            assert fact.learning_rate == rate
            if own.rule.needs_slope:
                assert fact.temperature_slope == pytest.approx(slope.item(), rel=1e-3)
            if own.rule.needs_gap:
                gap = F.cross_entropy(logits_BK, batch.labels_B) - F.cross_entropy(teacher_BK, batch.labels_B)
                assert fact.cross_entropy_gap == pytest.approx(gap.item(), abs=1e-4)
            own.state = own.rule.next_state(own.state, fact, **term.parameters)
    assert next(facts, None) is None
    assert math.isfinite(own.value)
    for name, tensor in student.state_dict().items():
        torch.testing.assert_close(got.weights[name], tensor, rtol=1e-3, atol=1e-4)


def test_the_state_is_saved_to_the_last_bit(tmp_path) -> None:
    weights, state = {"weight": torch.ones(2)}, (1 / 3, -1e-300)
    for own in ((), state):
        save_state(tmp_path / "state.safetensors", TrialState(weights, {}, own))
        assert load_state(tmp_path / "state.safetensors").own_temperature == own


@pytest.mark.parametrize("name", ["dts", "ctkd"])
def test_a_control_is_the_same_with_every_loss(name: str) -> None:
    with_own, plain = Trials("mlp", loss=PAIR_LOSSES[name]), Trials("mlp")
    assert_same(with_own.alone(TrialSpec(1, None, 0.0, None)), plain.alone(TrialSpec(1, None, 0.0, None)))
