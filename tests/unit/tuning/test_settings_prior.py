from itertools import product

import numpy as np
import pytest

from peerkd.tuning.settings_prior import ACROSS_PAIRS, OF_ALL_PAIRS, WITHIN_PAIR, Smoothness, covariance, similarity
from peerkd.tuning.space import SettingOnSet

SETTINGS = [
    SettingOnSet(name, temperature, alpha, alpha)
    for name, temperature, alpha in product(("student", "both"), (1.0, 4.0), (0.3, 0.9))
]

every_kernel = pytest.mark.parametrize(
    "smoothness", [ACROSS_PAIRS, OF_ALL_PAIRS, WITHIN_PAIR], ids=["across pairs", "of all pairs", "within a pair"]
)


def named(loss: str | None, target: str | None) -> list[SettingOnSet]:
    return [each._replace(loss=loss, target=target) for each in SETTINGS]


@every_kernel
def test_a_loss_and_a_target_that_all_settings_share_change_no_bit(smoothness: Smoothness) -> None:
    np.testing.assert_array_equal(covariance(named("kl", "mean"), smoothness), covariance(SETTINGS, smoothness))
    np.testing.assert_array_equal(similarity(named("kl", "mean")), similarity(SETTINGS))


@every_kernel
def test_settings_with_another_loss_or_target_have_less_in_common(smoothness: Smoothness) -> None:
    several = [*named("kl", "teacher"), *named("dkd", "teacher"), *named("dkd", "mean")]
    num, covariance_SS = len(SETTINGS), covariance(several, smoothness)
    same_SS = covariance_SS[:num, :num]
    losses, targets = smoothness.across_losses_share, smoothness.across_targets_share
    assert 0 < targets < losses < 1
    np.testing.assert_allclose(covariance_SS[:num, num : 2 * num], losses * same_SS)
    np.testing.assert_allclose(covariance_SS[num : 2 * num, 2 * num :], targets * same_SS)
    np.testing.assert_allclose(covariance_SS[:num, 2 * num :], losses * targets * same_SS)
    assert np.linalg.eigvalsh(covariance_SS).min() > -1e-9
