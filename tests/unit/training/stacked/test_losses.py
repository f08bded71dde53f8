import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from peerkd.losses.distillation import joint_loss
from peerkd.training.stacked.losses import joint_loss_gradient

CONVENTIONS = {
    "direction": "teacher_to_student",
    "reduction": "batchmean",
    "scale_by_temperature_squared": True,
}


def gradient(logits_GKB, labels_B, teachers_GKB, weights, temperatures, **conventions):
    as_G11 = [torch.tensor(each, dtype=logits_GKB.dtype)[:, None, None] for each in (weights, temperatures)]
    return joint_loss_gradient(
        logits_GKB,
        labels_B=labels_B,
        teacher_logits_GKB=teachers_GKB,
        distillation_weights_G11=as_G11[0],
        temperatures_G11=as_G11[1],
        **CONVENTIONS | conventions,
    )


@given(
    data=st.data(),
    num_students=st.integers(1, 5),
    num_samples=st.integers(1, 9),
    num_classes=st.integers(2, 7),
    direction=st.sampled_from(["teacher_to_student", "student_to_teacher"]),
    reduction=st.sampled_from(["batchmean", "mean"]),
    is_scaled=st.booleans(),
    seed=st.integers(0, 99),
)
def test_it_is_the_gradient_of_the_joint_loss(
    data, num_students, num_samples, num_classes, direction, reduction, is_scaled, seed
):
    a_weight = st.sampled_from([0.0, 1.0]) | st.floats(0, 1)
    weights = data.draw(st.lists(a_weight, min_size=num_students, max_size=num_students))
    temperatures = data.draw(st.lists(st.floats(0.5, 20), min_size=num_students, max_size=num_students))
    rng = torch.Generator().manual_seed(seed)
    logits_GKB, teachers_GKB = (
        4 * torch.randn(num_students, num_classes, num_samples, generator=rng, dtype=torch.float64) for _ in range(2)
    )
    labels_B = torch.randint(num_classes, (num_samples,), generator=rng)
    conventions = {
        "direction": direction,
        "reduction": reduction,
        "scale_by_temperature_squared": is_scaled,
    }
    got_GKB = gradient(logits_GKB, labels_B, teachers_GKB, weights, temperatures, **conventions)
    for place, (weight, temperature) in enumerate(zip(weights, temperatures, strict=True)):
        logits_BK = logits_GKB[place].t().clone().requires_grad_()
        joint_loss(
            logits_BK,
            labels_B=labels_B,
            teacher_logits_BK=teachers_GKB[place].t(),
            distillation_weight=weight,
            temperature=temperature,
            **conventions,
        ).backward()
        torch.testing.assert_close(got_GKB[place].t(), logits_BK.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("name", "value"), [("direction", "sideways"), ("reduction", "sum")])
def test_an_unknown_convention_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be"):
        gradient(torch.zeros(1, 2, 1), torch.tensor([0]), torch.zeros(1, 2, 1), [0.5], [1.0], **{name: value})
