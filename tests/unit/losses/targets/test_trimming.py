"""Trimmed weights against the definition in plain Python, and what liars can do to the mean that they give."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from peerkd.losses.targets import PAIR_TARGETS
from peerkd.losses.targets.target import Prediction, joined_logits, joined_shares
from peerkd.losses.targets.trimming import trimmed_weights

P, B, K = 5, 3, 4


def by_hand(weights: list[float], predictions: list[float], fraction: float) -> list[float]:
    """Return the trimmed weights of one sample and class: the lowest and highest are eaten up, one after another."""
    kept, order = list(weights), sorted(range(len(weights)), key=predictions.__getitem__)
    for from_one_end in (order, order[::-1]):
        left = fraction * sum(weights)
        for peer in from_one_end:
            eaten = min(left, kept[peer])
            kept[peer] -= eaten
            left -= eaten
    return [each / (1 - 2 * fraction) for each in kept]


@given(seed=st.integers(0, 999), fraction=st.sampled_from([0.0, 0.1, 0.25, 0.4, 0.49]))
def test_they_are_the_definition_written_out(seed: int, fraction: float) -> None:
    rng = torch.Generator().manual_seed(seed)
    p_PBK, w_PK = (torch.rand(*shape, generator=rng, dtype=torch.float64) for shape in ((P, B, K), (P, K)))
    w_PK[0, 1] = 0
    got = trimmed_weights(list(w_PK), list(p_PBK), fraction=fraction)
    for sample in range(B):
        for k in range(K):
            expected = by_hand(w_PK[:, k].tolist(), p_PBK[:, sample, k].tolist(), fraction)
            assert [float(each[sample, k]) for each in got] == pytest.approx(expected, abs=1e-12)


def test_with_equal_weights_it_is_the_trimmed_mean_of_yin_et_al() -> None:
    p_PBK = torch.rand(P, B, K, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = trimmed_weights([torch.tensor(1 / P)] * P, list(p_PBK), fraction=1 / P)
    mean_BK = sum(w_BK * p_BK for w_BK, p_BK in zip(weights, p_PBK, strict=True))
    torch.testing.assert_close(mean_BK, p_PBK.sort(dim=0).values[1:-1].mean(0), rtol=1e-6, atol=0)


@given(seed=st.integers(0, 999), lie=st.sampled_from([0.0, 0.5, 1.0]))
def test_liars_with_little_weight_leave_the_mean_between_the_predictions_of_the_others(seed: int, lie: float) -> None:
    rng = torch.Generator().manual_seed(seed)
    honest_PBK = torch.rand(3, B, K, generator=rng, dtype=torch.float64)
    predictions = [*honest_PBK, torch.full((B, K), lie, dtype=torch.float64), torch.rand(B, K, generator=rng).double()]
    # Two liars with 0.1 each, of 1 in all.
    weights = [torch.tensor(each, dtype=torch.float64) for each in (0.3, 0.1, 0.4, 0.1, 0.1)]
    kept = trimmed_weights(weights, predictions, fraction=0.21)
    mean_BK = sum(w_BK * p_BK for w_BK, p_BK in zip(kept, predictions, strict=True))
    assert (mean_BK >= honest_PBK.amin(0) - 1e-12).all()
    assert (mean_BK <= honest_PBK.amax(0) + 1e-12).all()


def peers(*logits: list[float]) -> list[Prediction]:
    return [
        Prediction(torch.tensor([each], dtype=torch.float64), torch.ones(2, dtype=torch.float64)) for each in logits
    ]


@pytest.mark.parametrize("name", [name for name, target in PAIR_TARGETS.items() if target.joins_any_number])
def test_every_target_is_finite_and_has_shares_when_trimmed(name: str) -> None:
    predictions = peers([0.0, 1.0], [1e4, 0.0], [-1e4, 3.0], [2.0, 1.0])
    options = {"temperature": 1.0, "prior_adjusted": True, "trimmed_fraction": 0.3}
    assert joined_logits(PAIR_TARGETS[name], predictions, **options).isfinite().all()
    assert sum(joined_shares(PAIR_TARGETS[name], predictions, **options)) == pytest.approx(1)


def test_the_share_of_a_peer_that_is_left_out_is_0() -> None:
    predictions = peers([0.0, 1.0], [0.0, 1.1], [9.0, 0.0], [0.0, 1.2], [0.0, 1.3])
    plain = joined_shares(PAIR_TARGETS["mean"], predictions, temperature=1.0)
    trimmed = joined_shares(PAIR_TARGETS["mean"], predictions, temperature=1.0, trimmed_fraction=0.2)
    assert plain[2] == pytest.approx(0.2)
    assert trimmed[2] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("fraction", [-0.1, 0.5])
def test_a_fraction_that_leaves_nothing_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match=rf"^fraction must be at least 0 and below 0\.5, got {fraction}\.$"):
        trimmed_weights([torch.ones(())], [torch.ones(B, K)], fraction=fraction)
