"""The properties that the losses of all methods share."""

from collections.abc import Callable, Mapping
from typing import Final

import pytest
import torch
from torch import Tensor

from peerkd.losses.online.collaborative import collaborative_loss
from peerkd.losses.online.diverse_peers import diverse_peers_loss
from peerkd.losses.online.fusion import fusion_loss
from peerkd.losses.online.mutual import mutual_loss
from peerkd.losses.online.native_ensemble import native_ensemble_loss
from peerkd.losses.online.parts import LossParts
from peerkd.losses.online.pcl import pcl_loss
from peerkd.losses.online.shared_ensemble import shared_ensemble_loss
from tests.unit.losses.online.written_out import LABELS_B, B, K, random_logits

Loss = Callable[[Tensor, Tensor, float], LossParts]


def some_teacher(logits_MBK: Tensor) -> Tensor:
    """Return logits that depend only on the sample, so that a batch can be repeated."""
    return 0.5 * logits_MBK.detach().roll(1, dims=0).flip(-1)


def attention(logits_MBK: Tensor) -> Tensor:
    return logits_MBK.detach()[:-1, :, : len(logits_MBK) - 1].transpose(0, 1).softmax(dim=-1)


LOSSES: Final[Mapping[str, Loss]] = {
    "pcl": lambda z, y, t: pcl_loss(
        z, y, ensemble_logits_BK=some_teacher(z)[0], mean_logits_MBK=some_teacher(z), temperature=t
    ),
    "dml": lambda z, y, t: mutual_loss(z, y, temperature=t),
    "cl_ilr": lambda z, y, t: collaborative_loss(z, y, temperature=t, cross_entropy_weight=0.3),
    "one": lambda z, y, t: native_ensemble_loss(z, y, ensemble_logits_BK=some_teacher(z)[0], temperature=t),
    "ffl_s": lambda z, y, t: fusion_loss(z, y, fused_logits_BK=some_teacher(z)[0], temperature=t),
    "okddip": lambda z, y, t: diverse_peers_loss(z, y, attention_BAA=attention(z), temperature=t),
    "kdcl_min_logit": lambda z, y, t: shared_ensemble_loss(z, y, temperature=t, ensemble="min_logit"),
    "kdcl_naive": lambda z, y, t: shared_ensemble_loss(z, y, temperature=t, ensemble="naive"),
    "kdcl_mean": lambda z, y, t: shared_ensemble_loss(z, y, temperature=t, ensemble="mean"),
}
for_every_method = pytest.mark.parametrize("method", LOSSES)


@for_every_method
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_every_part_is_a_finite_scalar_of_the_dtype_of_the_logits(method: str, dtype: torch.dtype) -> None:
    exact = LOSSES[method](random_logits(0), LABELS_B, 3.0)
    parts = LOSSES[method](random_logits(0).to(dtype), LABELS_B, 3.0)
    tolerance = {torch.float64: 1e-14, torch.float32: 1e-5, torch.bfloat16: 0.1}[dtype]
    for there, here in zip(exact, parts, strict=True):
        for name, part in here.items():
            assert part.shape == ()
            assert part.dtype == dtype
            torch.testing.assert_close(part.double(), there[name], rtol=tolerance, atol=tolerance)


@for_every_method
def test_no_part_changes_when_the_batch_is_repeated(method: str) -> None:
    once = LOSSES[method](random_logits(0), LABELS_B, 3.0)
    thrice = LOSSES[method](random_logits(0).repeat(1, 3, 1), LABELS_B.repeat(3), 3.0)
    torch.testing.assert_close(thrice.supervised, once.supervised)
    torch.testing.assert_close(thrice.distilled, once.distilled)


@pytest.mark.parametrize("method", sorted(LOSSES.keys() - {"okddip"}))  # its attention above is made of the logits
def test_divergences_are_nonnegative_and_ignore_a_shift_of_all_logits_of_a_branch(method: str) -> None:
    shifts_M11 = torch.tensor([3.0, -20.0, 7.0], dtype=torch.float64).reshape(3, 1, 1)
    parts = LOSSES[method](random_logits(0), LABELS_B, 3.0)
    shifted = LOSSES[method](random_logits(0) + shifts_M11, LABELS_B, 3.0)
    assert all(part > 0 for part in parts.distilled.values())
    torch.testing.assert_close(shifted.distilled, parts.distilled)


@for_every_method
def test_every_branch_learns_from_labels_and_from_the_others(method: str) -> None:
    logits_MBK = random_logits(0).requires_grad_()
    supervised, distilled = LOSSES[method](logits_MBK, LABELS_B, 3.0)
    for group in (supervised, distilled):
        (gradient_MBK,) = torch.autograd.grad(LossParts(group, {}).total(1.0), logits_MBK, retain_graph=True)
        assert gradient_MBK.abs().amax(dim=(1, 2)).min() > 1e-3


@for_every_method
def test_extreme_logits_give_a_finite_loss_and_gradient(method: str) -> None:
    logits_MBK = (1000 * random_logits(0)).float().requires_grad_()
    total = LOSSES[method](logits_MBK, LABELS_B, 1.0).total(1.0)
    assert total.isfinite()
    assert torch.autograd.grad(total, logits_MBK)[0].isfinite().all()


@for_every_method
def test_distillation_does_not_weaken_as_the_temperature_rises(method: str) -> None:
    # T^2 keeps the magnitude of the gradient. Without it, the gradient would fall to a hundredth.
    def gradient_norm(temperature: float) -> float:
        logits_MBK = random_logits(0).requires_grad_()
        distilled = LOSSES[method](logits_MBK, LABELS_B, temperature).distilled
        (gradient_MBK,) = torch.autograd.grad(LossParts(distilled, {}).total(1.0), logits_MBK)
        return float(gradient_MBK.norm())

    assert gradient_norm(200) == pytest.approx(gradient_norm(20), rel=0.2)


@for_every_method
def test_too_few_branches_or_a_temperature_not_above_zero_are_refused(method: str) -> None:
    least = 3 if method == "okddip" else 2
    with pytest.raises(ValueError, match=rf"^num_branches must be at least {least}, got {least - 1}\.$"):
        LOSSES[method](random_logits(0, least - 1, B, K), LABELS_B, 1.0)
    for temperature in (0.0, -2.0):
        with pytest.raises(ValueError, match=rf"^temperature must be above 0, got {temperature}\.$"):
            LOSSES[method](random_logits(0), LABELS_B, temperature)
