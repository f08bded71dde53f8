"""Transformed teacher matching against sums in plain Python."""

import pytest
import torch

from peerkd.losses.pairs.kl import kl
from peerkd.losses.pairs.ttm import ttm
from tests.pair_losses import divergence, random_logits, softmax

STUDENTS_BK, TEACHERS_BK = random_logits(0), random_logits(1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_it_is_the_formula_written_out(temperature: float) -> None:
    expected = [
        divergence(softmax(teacher, temperature), softmax(student))
        for student, teacher in zip(STUDENTS_BK.tolist(), TEACHERS_BK.tolist(), strict=True)
    ]
    assert ttm(STUDENTS_BK, TEACHERS_BK, temperature=temperature).tolist() == pytest.approx(expected, rel=1e-10)


def test_at_temperature_1_it_is_the_kl_divergence() -> None:
    ours_B, theirs_B = (loss(STUDENTS_BK, TEACHERS_BK, temperature=1.0) for loss in (ttm, kl))
    torch.testing.assert_close(ours_B, theirs_B)
