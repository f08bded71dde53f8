import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from peerkd.losses.distillation import joint_loss
from peerkd.losses.pairs import PAIR_LOSSES
from peerkd.losses.pairs.term import distillation_term
from peerkd.training.stacked import losses
from peerkd.training.stacked.losses import FAST_GRADIENTS, joint_loss_gradient
from tests.pair_losses import EVERY_LOSS, WEIGHTED_BRIER


def gradient(logits_GKB, labels_B, teachers_GKB, weights, temperatures, term, *, num_unlabelled=0):
    as_G11 = [torch.tensor(each, dtype=logits_GKB.dtype)[:, None, None] for each in (weights, temperatures)]
    return joint_loss_gradient(
        logits_GKB,
        labels_B=labels_B,
        teacher_logits_GKB=teachers_GKB,
        distillation_weights_G11=as_G11[0],
        temperatures_G11=as_G11[1],
        term=term,
        num_unlabelled=num_unlabelled,
    )


@pytest.mark.parametrize("loss", EVERY_LOSS, ids=lambda loss: loss.name)
@pytest.mark.parametrize("num_students", [2, 5, 15])
@pytest.mark.parametrize("num_classes", [2, 3, 10])
def test_a_students_gradient_does_not_depend_on_the_others_to_the_last_bit(loss, num_students, num_classes):
    """Depending on these numbers, a student is at the beginning, in the middle or at the end of a vector."""
    made = torch.Generator().manual_seed(num_students)
    logits_GKB, teachers_GKB = (3 * torch.randn(num_students, num_classes, 7, generator=made) for _ in range(2))
    labels_B = torch.randint(num_classes, (7,), generator=made)
    weights, temperatures = [0.5] * num_students, [1 + 0.3 * index for index in range(num_students)]
    term = distillation_term(loss)
    together_GKB = gradient(logits_GKB, labels_B, teachers_GKB, weights, temperatures, term)
    for index in range(num_students):
        one = slice(index, index + 1)
        alone_GKB = gradient(logits_GKB[one], labels_B, teachers_GKB[one], weights[one], temperatures[one], term)
        assert torch.equal(together_GKB[one], alone_GKB)


@given(
    data=st.data(),
    num_students=st.integers(1, 5),
    num_samples=st.integers(1, 9),
    num_classes=st.integers(2, 7),
    loss=st.sampled_from(EVERY_LOSS),
    reduction=st.sampled_from(["batchmean", "mean"]),
    is_scaled=st.booleans(),
    seed=st.integers(0, 99),
)
def test_it_is_the_gradient_of_the_joint_loss(
    data, num_students, num_samples, num_classes, loss, reduction, is_scaled, seed
):
    a_weight = st.sampled_from([0.0, 1.0]) | st.floats(0, 1)
    weights = data.draw(st.lists(a_weight, min_size=num_students, max_size=num_students))
    temperatures = data.draw(st.lists(st.floats(0.5, 20), min_size=num_students, max_size=num_students))
    rng = torch.Generator().manual_seed(seed)
    logits_GKB, teachers_GKB = (
        4 * torch.randn(num_students, num_classes, num_samples, generator=rng, dtype=torch.float64) for _ in range(2)
    )
    labels_B = torch.randint(num_classes, (num_samples,), generator=rng)
    term = distillation_term(loss)._replace(reduction=reduction, scale_by_temperature_squared=is_scaled)
    got_GKB = gradient(logits_GKB, labels_B, teachers_GKB, weights, temperatures, term)
    for place, (weight, temperature) in enumerate(zip(weights, temperatures, strict=True)):
        logits_BK = logits_GKB[place].t().clone().requires_grad_()
        joint_loss(
            logits_BK,
            labels_B=labels_B,
            teacher_logits_BK=teachers_GKB[place].t(),
            distillation_weight=weight,
            temperature=temperature,
            term=term,
        ).backward()
        torch.testing.assert_close(got_GKB[place].t(), logits_BK.grad, rtol=1e-9, atol=1e-12)


@given(
    num_labelled=st.integers(1, 5),
    num_unlabelled=st.integers(1, 5),
    loss=st.sampled_from([each for each in EVERY_LOSS if not each.needs_labels]),
    reduction=st.sampled_from(["batchmean", "mean"]),
    is_scaled=st.booleans(),
)
def test_rows_without_labels_have_the_gradient_of_the_divergence_alone(
    num_labelled, num_unlabelled, loss, reduction, is_scaled
):
    rng = torch.Generator().manual_seed(0)
    num_samples = num_labelled + num_unlabelled
    logits_GKB = 4 * torch.randn(3, 4, num_samples, generator=rng, dtype=torch.float64)
    teachers_GKB = 4 * torch.randn(3, 4, num_unlabelled, generator=rng, dtype=torch.float64)
    labels_B = torch.randint(4, (num_labelled,), generator=rng)
    term = distillation_term(loss)._replace(reduction=reduction, scale_by_temperature_squared=is_scaled)
    weights, temperatures = [0.0, 0.3, 1.0], [1.0, 2.0, 0.7]
    got_GKB = gradient(logits_GKB, labels_B, teachers_GKB, weights, temperatures, term, num_unlabelled=num_unlabelled)
    for place, (weight, temperature) in enumerate(zip(weights, temperatures, strict=True)):
        logits_BK = logits_GKB[place].t().clone().requires_grad_()
        joint_loss(
            logits_BK,
            labels_B=labels_B,
            teacher_logits_BK=teachers_GKB[place].t(),
            distillation_weight=weight,
            temperature=temperature,
            term=term,
            num_unlabelled=num_unlabelled,
        ).backward()
        torch.testing.assert_close(got_GKB[place].t(), logits_BK.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", FAST_GRADIENTS)
def test_a_gradient_by_hand_is_that_of_autograd(name, monkeypatch):
    rng = torch.Generator().manual_seed(0)
    logits_GKB, teachers_GKB = (4 * torch.randn(3, 10, 8, generator=rng, dtype=torch.float64) for _ in range(2))
    term = distillation_term(PAIR_LOSSES[name])

    def got():
        labels_B = torch.arange(8)
        return gradient(logits_GKB, labels_B, teachers_GKB, [1.0, 0.5, 0.0], [0.5, 1.0, 4.0], term)

    by_hand_GKB = got()
    monkeypatch.setattr(losses, "FAST_GRADIENTS", {})
    torch.testing.assert_close(got(), by_hand_GKB, rtol=1e-9, atol=1e-12)


def test_a_gradient_by_hand_is_given_labels_and_hyper_parameters(monkeypatch):
    given = {}

    def by_hand(student_GKB, teacher_GKB, **arguments):
        given.update(arguments)
        return student_GKB - teacher_GKB

    monkeypatch.setitem(losses.FAST_GRADIENTS, WEIGHTED_BRIER.name, by_hand)
    labels_B = torch.tensor([1, 0])
    term = distillation_term(WEIGHTED_BRIER, trust=0.5)
    gradient(torch.ones(1, 3, 2), labels_B, torch.zeros(1, 3, 2), [1.0], [2.0], term)
    assert given == {"labels_B": labels_B, "trust": 0.5}


def test_every_fast_gradient_is_one_of_a_registered_loss():
    assert set(FAST_GRADIENTS) <= set(PAIR_LOSSES)
