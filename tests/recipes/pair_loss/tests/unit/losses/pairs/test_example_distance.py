import pytest
import torch

from peerkd.losses.pairs.example_distance import example_distance
from tests.pair_losses import random_logits

LABELS_B = torch.tensor([0, 1, 2, 3, 4, 0])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_it_is_the_formula_written_out(temperature: float) -> None:
    students_BK, teachers_BK = random_logits(0), random_logits(1)
    expected = [
        sum((3 if k == label else 1) * ((t - s) / temperature) ** 2 for k, (s, t) in enumerate(zip(*pair, strict=True)))
        for *pair, label in zip(students_BK.tolist(), teachers_BK.tolist(), LABELS_B.tolist(), strict=True)
    ]
    found_B = example_distance(students_BK, teachers_BK, temperature=temperature, labels_B=LABELS_B, label_weight=3.0)
    assert found_B.tolist() == pytest.approx(expected, rel=1e-12)
