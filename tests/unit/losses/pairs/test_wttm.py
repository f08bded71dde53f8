"""Weighted transformed teacher matching against sums in plain Python."""

import pytest
import torch

from peerkd.losses.pairs.ttm import ttm
from peerkd.losses.pairs.wttm import wttm
from tests.pair_losses import divergence, random_logits, softmax

STUDENTS_BK, TEACHERS_BK = random_logits(0), random_logits(1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_it_is_the_formula_written_out(temperature: float) -> None:
    expected = [
        sum(each ** (1 / temperature) for each in softmax(teacher))
        * divergence(softmax(teacher, temperature), softmax(student))
        for student, teacher in zip(STUDENTS_BK.tolist(), TEACHERS_BK.tolist(), strict=True)
    ]
    assert wttm(STUDENTS_BK, TEACHERS_BK, temperature=temperature).tolist() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("teacher", "weight"), [([500.0, 0.0, 0.0, 0.0], 1.0), ([0.0, 0.0, 0.0, 0.0], 2.0)])
def test_a_sample_counts_from_once_to_a_root_of_the_number_of_classes(teacher: list[float], weight: float) -> None:
    students_BK, teachers_BK = random_logits(0, num_classes=4), torch.tensor([teacher] * 6, dtype=torch.float64)
    weighted_B, plain_B = (loss(students_BK, teachers_BK, temperature=2.0) for loss in (wttm, ttm))
    torch.testing.assert_close(weighted_B, weight * plain_B)
