import pytest

from peerkd.losses.online.example_codistillation import example_codistillation_loss
from tests.unit.losses.online.written_out import (
    LABELS_B,
    TEMPERATURES,
    B,
    Branches,
    K,
    M,
    assert_is,
    cross_entropies,
    kl,
    random_logits,
    softened,
)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_parts_are_the_formulas_written_out(temperature: float) -> None:
    logits_MBK = random_logits(0).requires_grad_()
    supervised, distilled = example_codistillation_loss(logits_MBK, LABELS_B, temperature=temperature)
    teachers = logits_MBK.tolist()

    def from_others(students: Branches) -> float:
        total = 0.0
        for j in range(M):
            for i in range(B):
                others = [softened(teachers[other][i], temperature) for other in range(M) if other != j]
                average = [sum(each[k] for each in others) / (M - 1) for k in range(K)]
                total += kl(average, softened(students[j][i], temperature))
        return temperature**2 * total / B

    assert_is(supervised["cross_entropy_branches"], cross_entropies, logits_MBK)
    assert_is(distilled["average_to_branches"], from_others, logits_MBK)
