"""Every target against its formula in plain Python, sample by sample and class by class."""

import math
from collections.abc import Callable, Mapping

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from peerkd.losses.targets import PAIR_TARGETS, class_counts, entropy, masks, mean, student, teacher
from peerkd.losses.targets.target import Prediction, joined_logits, joined_shares, target_logits

B, K = 6, 4
COUNTS_OF_TEACHER = [30.0, 0.0, 10.0, 0.0]
COUNTS_OF_STUDENT = [10.0, 5.0, 0.0, 0.0]
"""Each knows a class that the other does not, and neither has a sample of the last one."""


def softmax(logits: list[float]) -> list[float]:
    total = sum(math.exp(logit) for logit in logits)
    return [math.exp(logit) / total for logit in logits]


def nats(probabilities: list[float]) -> float:
    return -sum(p * math.log(p) for p in probabilities)


def by_counts(n_t: float, n_s: float) -> tuple[float, float]:
    return (n_t / (n_t + n_s), n_s / (n_t + n_s)) if n_t + n_s else (0.5, 0.5)


WEIGHTS_BY_HAND: Mapping[str, Callable[[list[float], list[float], float, float], tuple[float, float]]] = {
    teacher.TARGET.name: lambda p_t, p_s, n_t, n_s: (1.0, 0.0),
    student.TARGET.name: lambda p_t, p_s, n_t, n_s: (0.0, 1.0),
    mean.TARGET.name: lambda p_t, p_s, n_t, n_s: (0.5, 0.5),
    class_counts.TARGET.name: lambda p_t, p_s, n_t, n_s: by_counts(n_t, n_s),
    entropy.TARGET.name: lambda p_t, p_s, n_t, n_s: (math.exp(-2 * nats(p_t)), math.exp(-2 * nats(p_s))),
    masks.TARGET.name: lambda p_t, p_s, n_t, n_s: (1.0, 0.0) if max(p_t) > max(p_s) else (0.0, 1.0),
}
"""The weights of both on one class of one sample, from what they predict at T = 1 and their samples of the class."""


def random_predictions(seed: int) -> tuple[Prediction, Prediction]:
    rng = torch.Generator().manual_seed(seed)
    teacher_BK, student_BK = (3 * torch.randn(B, K, generator=rng, dtype=torch.float64) for _ in range(2))
    counts = (COUNTS_OF_TEACHER, COUNTS_OF_STUDENT)
    teacher_counts_K, student_counts_K = (torch.tensor(each, dtype=torch.float64) for each in counts)
    return Prediction(teacher_BK, teacher_counts_K), Prediction(student_BK, student_counts_K)


def target_of(logits_BK: Tensor, temperature: float) -> list[list[float]]:
    return (logits_BK / temperature).softmax(-1).tolist()


@pytest.mark.parametrize("name", PAIR_TARGETS)
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("prior_adjusted", [False, True])
def test_it_is_the_formula_written_out(name: str, temperature: float, prior_adjusted: bool) -> None:
    of_teacher, of_student = random_predictions(0)
    logits_BK = target_logits(
        PAIR_TARGETS[name], of_teacher, of_student, temperature=temperature, prior_adjusted=prior_adjusted
    )
    rows = zip(
        of_teacher.logits_BK.tolist(), of_student.logits_BK.tolist(), target_of(logits_BK, temperature), strict=True
    )
    for z_t, z_s, got in rows:
        if prior_adjusted:
            z_t = [z - math.log(1 + n) for z, n in zip(z_t, COUNTS_OF_TEACHER, strict=True)]
            z_s = [z - math.log(1 + n) for z, n in zip(z_s, COUNTS_OF_STUDENT, strict=True)]
        p_t, p_s = (softmax([z / temperature for z in each]) for each in (z_t, z_s))
        sums = []
        for k in range(K):
            w_t, w_s = WEIGHTS_BY_HAND[name](softmax(z_t), softmax(z_s), COUNTS_OF_TEACHER[k], COUNTS_OF_STUDENT[k])
            sums.append(w_t * p_t[k] + w_s * p_s[k])
        assert got == pytest.approx([each / sum(sums) for each in sums], rel=1e-12)


def test_a_target_by_hand() -> None:
    # Two classes, T = 1. The teacher has p = (4/5, 1/5) and 3 and 1 samples, the old self p = (1/2, 1/2) and 1 and 1.
    # By class counts: w_t = (3/4, 1/2), w_s = (1/4, 1/2). The sums are 3/5 + 1/8 = 29/40 and 1/10 + 1/4 = 14/40.
    of_teacher = Prediction(torch.tensor([[math.log(4), 0.0]]), torch.tensor([3.0, 1.0]))
    of_student = Prediction(torch.tensor([[0.0, 0.0]]), torch.tensor([1.0, 1.0]))
    got = target_logits(PAIR_TARGETS["class_counts"], of_teacher, of_student, temperature=1.0).softmax(-1)
    torch.testing.assert_close(got, torch.tensor([[29 / 43, 14 / 43]]))
    # Prior-adjusted, the teacher's odds of 4 are divided by (3 + 1) / (1 + 1) = 2, and the old self's odds stay.
    got = target_logits(PAIR_TARGETS["teacher"], of_teacher, None, temperature=1.0, prior_adjusted=True).softmax(-1)
    torch.testing.assert_close(got, torch.tensor([[2 / 3, 1 / 3]]))


def test_the_teacher_alone_is_what_it_predicts_to_the_last_bit() -> None:
    of_teacher, _ = random_predictions(1)
    assert target_logits(PAIR_TARGETS["teacher"], of_teacher, None, temperature=3.0) is of_teacher.logits_BK


@given(
    name=st.sampled_from([*PAIR_TARGETS]),
    seed=st.integers(0, 99),
    scale=st.sampled_from([0.0, 1.0, 1e4]),
    temperature=st.sampled_from([0.1, 1.0, 50.0]),
    prior_adjusted=st.booleans(),
)
def test_it_is_finite_in_32_bits_for_all_finite_logits(
    name: str, seed: int, scale: float, temperature: float, prior_adjusted: bool
) -> None:
    of_teacher, of_student = (
        Prediction((scale * each.logits_BK).float(), each.counts_K.float()) for each in random_predictions(seed)
    )
    logits_BK = target_logits(
        PAIR_TARGETS[name], of_teacher, of_student, temperature=temperature, prior_adjusted=prior_adjusted
    )
    assert logits_BK.isfinite().all()
    assert logits_BK.shape == (B, K)


@pytest.mark.parametrize("name", [name for name, target in PAIR_TARGETS.items() if target.needs_student])
def test_two_peers_that_agree_are_what_they_predict(name: str) -> None:
    of_teacher, _ = random_predictions(2)
    logits_BK = target_logits(PAIR_TARGETS[name], of_teacher, of_teacher, temperature=2.0)
    torch.testing.assert_close((logits_BK / 2).softmax(-1), (of_teacher.logits_BK / 2).softmax(-1))


def test_a_target_without_the_old_self_that_it_needs_is_refused() -> None:
    of_teacher, _ = random_predictions(0)
    with pytest.raises(ValueError, match=r"^student is required by the target mean, got None\.$"):
        target_logits(PAIR_TARGETS["mean"], of_teacher, None, temperature=1.0)


COUNTS_OF_PEERS = ([0.0, 0.0, 0.0, 0.0], [0.0, 5.0, 0.0, 0.0], [10.0, 5.0, 0.0, 0.0], [30.0, 0.0, 10.0, 0.0])
"""The first peers know no sample of most classes, so that their weights are 0."""

WEIGHTS_OF_PEERS_BY_HAND: Mapping[str, Callable[[list[list[float]], list[float]], list[float]]] = {
    mean.TARGET.name: lambda p, n: [0.25] * 4,
    class_counts.TARGET.name: lambda p, n: [each / sum(n) for each in n] if sum(n) else [0.25] * 4,
    entropy.TARGET.name: lambda p, n: [math.exp(-2 * nats(each)) for each in p],
    masks.TARGET.name: lambda p, n: [float(max(each) == max(map(max, p))) for each in p],
}
"""The weight of each of four peers on one class of one sample, where no two are equally confident."""


@pytest.mark.parametrize("name", [name for name, target in PAIR_TARGETS.items() if target.joins_any_number])
@pytest.mark.parametrize("prior_adjusted", [False, True])
def test_four_peers_are_joined_as_the_formula_says(name: str, prior_adjusted: bool) -> None:
    rng, temperature = torch.Generator().manual_seed(0), 2.0
    z_PBK = 3 * torch.randn(len(COUNTS_OF_PEERS), B, K, generator=rng, dtype=torch.float64)
    predictions = [
        Prediction(logits_BK, torch.tensor(counts, dtype=torch.float64))
        for logits_BK, counts in zip(z_PBK, COUNTS_OF_PEERS, strict=True)
    ]
    got = joined_logits(PAIR_TARGETS[name], predictions, temperature=temperature, prior_adjusted=prior_adjusted)
    for sample, row in enumerate(target_of(got, temperature)):
        z = z_PBK[:, sample].tolist()
        if prior_adjusted:
            z = [
                [logit - math.log(1 + n) for logit, n in zip(each, counts, strict=True)]
                for each, counts in zip(z, COUNTS_OF_PEERS, strict=True)
            ]
        sums = []
        for k in range(K):
            weights = WEIGHTS_OF_PEERS_BY_HAND[name](
                [softmax(each) for each in z], [each[k] for each in COUNTS_OF_PEERS]
            )
            at_T = [softmax([logit / temperature for logit in each])[k] for each in z]
            sums.append(sum(w * p for w, p in zip(weights, at_T, strict=True)))
        assert row == pytest.approx([each / sum(sums) for each in sums], rel=1e-12)


def test_the_last_of_equally_confident_peers_masks_the_others() -> None:
    sure, as_sure = (Prediction(torch.tensor([logits]), torch.ones(2)) for logits in ([2.0, 0.0], [0.0, 2.0]))
    got = joined_logits(PAIR_TARGETS["masks"], [sure, as_sure, sure, as_sure], temperature=1.0)
    torch.testing.assert_close(got.softmax(-1), as_sure.logits_BK.softmax(-1))


@pytest.mark.parametrize("name", [teacher.TARGET.name, student.TARGET.name])
def test_a_target_of_pairs_joins_no_three_peers(name: str) -> None:
    predictions = [*random_predictions(0), random_predictions(1)[0]]
    with pytest.raises(ValueError, match=rf"^target must join 3 predictions, got {name}\.$"):
        joined_logits(PAIR_TARGETS[name], predictions, temperature=1.0)


@pytest.mark.parametrize("name", [name for name, target in PAIR_TARGETS.items() if target.joins_any_number])
def test_the_share_of_a_peer_is_its_part_of_the_target(name: str) -> None:
    predictions = random_predictions(7)
    probabilities = [[softmax(row) for row in each.logits_BK.tolist()] for each in predictions]
    parts = [0.0, 0.0]
    for p_t, p_s in zip(*probabilities, strict=True):
        weights = [
            WEIGHTS_BY_HAND[name](p_t, p_s, n_t, n_s)
            for n_t, n_s in zip(COUNTS_OF_TEACHER, COUNTS_OF_STUDENT, strict=True)
        ]
        both = [p_t, p_s]
        terms = [sum(w[i] * p for w, p in zip(weights, both[i], strict=True)) for i in range(2)]
        parts = [part + term / sum(terms) / B for part, term in zip(parts, terms, strict=True)]
    assert joined_shares(PAIR_TARGETS[name], predictions, temperature=1.0) == pytest.approx(parts)


@pytest.mark.parametrize("prior_adjusted", [False, True])
def test_aligned_predictions_are_divided_by_their_mean(prior_adjusted: bool) -> None:
    predictions, temperature = random_predictions(3), 2.0
    got = joined_logits(
        PAIR_TARGETS["mean"], predictions, temperature=temperature, prior_adjusted=prior_adjusted, is_aligned=True
    )
    # At T, the aligned prediction is proportional to (p / mean p) to the power of 1 / T.
    of_peers = []
    for logits_BK, counts_K in predictions:
        z = logits_BK - (1 + counts_K).log() if prior_adjusted else logits_BK
        ratio_BK = (z.softmax(1) / z.softmax(1).mean(0)) ** (1 / temperature)
        of_peers.append(ratio_BK / ratio_BK.sum(1, keepdim=True))
    torch.testing.assert_close((got / temperature).softmax(1), sum(of_peers) / 2)


def test_an_aligned_constant_prediction_is_uniform() -> None:
    of_teacher, of_student = random_predictions(4)
    got = [
        joined_logits(
            PAIR_TARGETS["class_counts"],
            [of_teacher, of_student._replace(logits_BK=torch.tensor(logits, dtype=torch.float64).expand(B, K))],
            temperature=1.0,
            prior_adjusted=True,
            is_aligned=True,
        )
        for logits in ([10.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1e4, 3.0], [0.0, 0.0, 0.0, 0.0])
    ]
    torch.testing.assert_close(got[0], got[2])
    torch.testing.assert_close(got[1], got[2])
