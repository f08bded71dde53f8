import pytest
import torch

from peerkd.losses.pairs import PAIR_LOSSES
from peerkd.losses.pairs.loss import PairLoss
from peerkd.losses.pairs.term import HINTON, distillation_term
from tests.pair_losses import EVERY_LOSS, WEIGHTED_BRIER, random_logits

B, K = 6, 5
LABELS_B = torch.tensor([0, 1, 2, 3, 4, 0])

each_loss = pytest.mark.parametrize("loss", EVERY_LOSS, ids=lambda loss: loss.name)


STUDENTS_BK, TEACHERS_BK = random_logits(0), random_logits(1)


@each_loss
@pytest.mark.parametrize(("reduction", "num_terms"), [("batchmean", B), ("mean", B * K)])
@pytest.mark.parametrize(("is_scaled", "factor"), [(True, 9.0), (False, 1.0)])
def test_it_is_the_sum_over_samples_divided_and_scaled(
    loss: PairLoss, reduction: str, num_terms: int, is_scaled: bool, factor: float
) -> None:
    term = distillation_term(loss)._replace(reduction=reduction, scale_by_temperature_squared=is_scaled)
    got = term.reduced(STUDENTS_BK, TEACHERS_BK, labels_B=LABELS_B, temperature=3.0)
    total = term.per_sample(STUDENTS_BK, TEACHERS_BK, labels_B=LABELS_B, temperature=3.0).sum().item()
    assert got.shape == ()
    assert got.item() == pytest.approx(factor * total / num_terms, rel=1e-12)


def test_the_default_is_that_of_hinton() -> None:
    assert tuple(HINTON) == (PAIR_LOSSES["kl"], {}, "batchmean", True)
    # torch's own divergence, with the factor.
    wanted = 9 * torch.nn.functional.kl_div(
        (STUDENTS_BK / 3).log_softmax(1), (TEACHERS_BK / 3).log_softmax(1), reduction="batchmean", log_target=True
    )
    torch.testing.assert_close(HINTON.reduced(STUDENTS_BK, TEACHERS_BK, labels_B=None, temperature=3.0), wanted)


def test_a_hyper_parameter_has_its_default_unless_it_is_given() -> None:
    assert distillation_term(WEIGHTED_BRIER).parameters == {"trust": 2.0}
    values = [
        distillation_term(WEIGHTED_BRIER, trust=trust).reduced(
            STUDENTS_BK, TEACHERS_BK, labels_B=LABELS_B, temperature=3.0
        )
        for trust in (0.0, 1.0, 2.0)
    ]
    torch.testing.assert_close(values[2] - values[1], values[1] - values[0])
    assert values[1] > values[0]


def test_the_factor_keeps_gradients_of_one_magnitude_across_temperatures() -> None:
    def gradient_norm(temperature: float, *, is_scaled: bool) -> float:
        students_BK = STUDENTS_BK.clone().requires_grad_()
        term = HINTON._replace(scale_by_temperature_squared=is_scaled)
        term.reduced(students_BK, TEACHERS_BK, labels_B=None, temperature=temperature).backward()
        assert students_BK.grad is not None
        return students_BK.grad.norm().item()

    assert gradient_norm(200, is_scaled=True) == pytest.approx(gradient_norm(20, is_scaled=True), rel=0.2)
    assert gradient_norm(200, is_scaled=False) == pytest.approx(gradient_norm(20, is_scaled=False) / 100, rel=0.2)


@pytest.mark.parametrize("temperature", [0, 0.0, -1.0])
def test_a_temperature_that_is_not_above_zero_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match=rf"^temperature must be above 0, got {temperature}\.$"):
        HINTON.reduced(STUDENTS_BK, TEACHERS_BK, labels_B=None, temperature=temperature)


def test_a_loss_that_needs_labels_is_refused_without_them() -> None:
    with pytest.raises(ValueError, match=r"^labels_B is required by the loss weighted_brier, got None\.$"):
        distillation_term(WEIGHTED_BRIER).reduced(STUDENTS_BK, TEACHERS_BK, labels_B=None, temperature=1.0)
