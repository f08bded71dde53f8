"""The targets of groups of trials, from made-up logits."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from peerkd.config.targets import TargetConfig
from peerkd.losses.targets.target import Prediction, target_logits
from peerkd.study.trials import Setting, Trial
from peerkd.training.distill import TeacherLogits
from peerkd.training.pair_targets import PairTargets

COUNTS_PK = torch.tensor([[5.0, 0.0, 2.0], [0.0, 4.0, 2.0], [1.0, 1.0, 0.0]])


def logits_of(peer: int) -> TeacherLogits:
    rng = torch.Generator().manual_seed(peer)
    return {epoch: [torch.randn(4, 3, generator=rng) for _ in range(2)] for epoch in (1, 2)}


def trial(student: int, temperature: float | None, *, alpha: float = 0.5) -> Trial:
    weight = 0.0 if temperature is None else alpha
    return Trial(student, None if temperature is None else 1, "public", Setting(temperature, alpha, weight))


def targets(target: TargetConfig, logits: Callable[[int], TeacherLogits] = logits_of) -> PairTargets:
    return PairTargets(logits, counts_PK=COUNTS_PK, target_of=lambda _: target)


def same(one: TeacherLogits, other: dict[int, list[Tensor]]) -> bool:
    return all(torch.equal(*pair) for epoch in other for pair in zip(one[epoch], other[epoch], strict=True))


def test_the_teacher_alone_is_one_object_for_all_its_students() -> None:
    first, second, control = targets(TargetConfig()).of_group(
        [(trial(0, 1.0), 1), (trial(2, 4.0), 1), (trial(0, None), None)]
    )
    assert control is None
    assert first is second
    assert first is not None
    assert same(first, dict(logits_of(1)))


@pytest.mark.parametrize("kind", ["class_counts", "masks"])
def test_a_joined_target_is_made_for_each_student_and_temperature(kind: str) -> None:
    target = TargetConfig(kind=kind, prior_adjusted=True)
    group = [(trial(0, 2.0), 1), (trial(0, 2.0, alpha=0.9), 1), (trial(2, 2.0), 1), (trial(0, 4.0), 1)]
    made = targets(target).of_group(group)
    assert made[0] is made[1]
    assert len({id(each) for each in made}) == 3
    for (each, _), got in zip(group, made, strict=True):
        assert got is not None
        assert each.setting.temperature is not None
        expected = {
            epoch: [
                target_logits(
                    target.pair_target,
                    Prediction(teacher_BK, COUNTS_PK[1]),
                    Prediction(student_BK, COUNTS_PK[each.student]),
                    temperature=each.setting.temperature,
                    prior_adjusted=True,
                )
                for teacher_BK, student_BK in zip(logits_of(1)[epoch], logits_of(each.student)[epoch], strict=True)
            ]
            for epoch in (1, 2)
        }
        assert same(got, expected)


def test_logits_are_computed_once_for_neighbouring_groups_and_only_those_that_are_needed() -> None:
    asked = []

    def counted(peer: int) -> TeacherLogits:
        asked.append(peer)
        return logits_of(peer)

    joined = targets(TargetConfig(kind="mean"), counted)
    joined.of_group([(trial(0, 1.0), 1)])
    joined.of_group([(trial(0, 4.0), 1), (trial(2, 4.0), 1)])
    assert asked == [0, 1, 2]
    adjusted = targets(TargetConfig(prior_adjusted=True), counted)
    adjusted.of_group([(trial(0, 1.0), 1), (trial(2, 1.0), 1)])
    assert asked == [0, 1, 2, 1]
