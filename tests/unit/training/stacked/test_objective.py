import pytest
import torch

from peerkd.losses.pairs.term import HINTON
from peerkd.training.stacked.losses import StackedObjective

TEACHER, OTHER = ({0: [value * torch.eye(3)]} for value in (1.0, 2.0))


def objective(**changes):
    arguments = {
        "teacher_logits": [TEACHER, None, OTHER],
        "distillation_weights": [0.5, 0.0, 1.0],
        "temperatures": [2.0, None, 4.0],
        "term": HINTON,
        "dtype": torch.float32,
    }
    return StackedObjective(**arguments | changes)


def gradient(built):
    return built.gradient(torch.zeros(3, 3, 3), labels_B=torch.tensor([0, 1, 2]), epoch=0, batch=0)


def test_each_student_has_its_own_teacher_weight_and_temperature():
    alone = [
        gradient(
            objective(teacher_logits=[teacher] * 3, distillation_weights=[weight] * 3, temperatures=[temperature] * 3)
        )
        for teacher, weight, temperature in [(TEACHER, 0.5, 2.0), (None, 0.0, None), (OTHER, 1.0, 4.0)]
    ]
    together = gradient(objective())
    assert all(torch.equal(together[place], alone[place][0]) for place in range(3))
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(together[0], together[2])


def test_a_teacher_that_is_not_finite_affects_only_its_own_students():
    broken = {0: [torch.full((3, 3), torch.nan)]}
    got = gradient(objective(teacher_logits=[TEACHER, broken, broken], temperatures=[2.0, 1.0, 4.0]))
    wanted = gradient(objective())
    assert torch.equal(got[:2], wanted[:2])
    assert got[2].isnan().all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"distillation_weights": [0.5, 0.0, 1.5]}, "must be from 0 to 1, got 1.5"),
        ({"teacher_logits": [None, None, OTHER]}, "required when a weight is 0.5"),
        ({"temperatures": [2.0, None, None]}, "required when a weight is 1.0"),
        ({"temperatures": [2.0, 0.0, 1.0]}, "temperatures must be above 0, got 0.0"),
    ],
)
def test_arguments_without_a_valid_loss_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        objective(**changes)
