import math

import pytest
import torch

from peerkd.losses.pairs.example_dkd import example_dkd

B, K = 4, 5
LABELS_B = torch.tensor([0, 3, 4, 1])


def softmax(logits: list[float], temperature: float) -> list[float]:
    total = sum(math.exp(logit / temperature) for logit in logits)
    return [math.exp(logit / temperature) / total for logit in logits]


def kl(p: list[float], q: list[float]) -> float:
    return sum(p_k * math.log(p_k / q_k) for p_k, q_k in zip(p, q, strict=True))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_it_is_the_formula_written_out(temperature: float) -> None:
    random = torch.Generator().manual_seed(0)
    students_BK = torch.randn(B, K, generator=random, dtype=torch.float64)
    teachers_BK = torch.randn(B, K, generator=random, dtype=torch.float64)
    expected = []
    for student, teacher, label in zip(students_BK.tolist(), teachers_BK.tolist(), LABELS_B.tolist(), strict=True):
        p, q = softmax(teacher, temperature), softmax(student, temperature)
        label_divergence = kl([p[label], 1 - p[label]], [q[label], 1 - q[label]])
        others = [k for k in range(K) if k != label]
        given = kl([p[k] / (1 - p[label]) for k in others], [q[k] / (1 - q[label]) for k in others])
        expected.append(2 * label_divergence + 3 * given)
    found_B = example_dkd(
        students_BK, teachers_BK, temperature=temperature, labels_B=LABELS_B, label_weight=2.0, other_weight=3.0
    )
    assert found_B.tolist() == pytest.approx(expected, rel=1e-10)
