"""The observation model: the prior of a tuner, and the target of the prior that each observation measures.

Shape suffixes: Q = pairs, S = settings, E = epochs, R = rungs: epochs after which a trial may be stopped, C = targets
of the prior.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from peerkd.arrays import FloatArray, IntArray
from peerkd.tuning.experience import Experience, rung_epochs
from peerkd.tuning.pair_basis import MAX_CENTRES, PairBasis
from peerkd.tuning.prior import Prior, settings_prior
from peerkd.tuning.protocol import EarlierSweep
from peerkd.tuning.settings_prior import early_offsets, early_sds
from peerkd.tuning.space import Space

_NUM_RUNGS: Final = 3
"""Number of epochs at which a trial may be stopped. More of them would make the tuner slow."""

_MAX_CENTRES_WITH_EXPERIENCE: Final = 24
"""Experience already contains most of the information in features, so fewer centres suffice and save the tuner's
time."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ObservationModel:
    """A prior over targets, and how the gain of a setting after some epochs depends on a target.

    The gain is the target plus a known offset plus a normal error. Without experience the targets are the settings, and
    the gain after an early epoch is that of the whole trial with an offset and an additional variance. With experience
    there is a target for each setting and rung.
    """

    space: Space
    prior: Prior
    basis: PairBasis
    rungs_R: IntArray
    """Epochs after which a trial may be stopped, the last epoch first."""

    places_SE: IntArray
    """Target of each setting after each epoch. The first S targets are whole trials."""

    offsets_SE: FloatArray
    """Expected lead of each gain over its target, in compressed points."""

    variances_SE: FloatArray
    """Variance of each gain about its target, beyond noise."""

    experience: Experience | None

    def expected(self, space: Space) -> FloatArray | None:
        """Return the gains (Q, C) that experience expects of the pairs of a space; None without experience.

        Args:
            space: This space, or that of an earlier sweep. The settings are always those of this one.
        """
        if self.experience is None:
            return None
        with_own_settings = replace(space, settings=self.space.settings, num_epochs=self.space.num_epochs)
        return self.experience.expected(with_own_settings, self.rungs_R)

    def spread(self, space: Space) -> FloatArray | None:
        """Return the relative spread (Q,) of each pair of a space (see ``PairPrior``); None without experience."""
        return None if self.experience is None else self.experience.spread(space)


def build_observation_model(
    space: Space, *, earlier_sweeps: Sequence[EarlierSweep], experience: Experience | None
) -> ObservationModel:
    """Return the observation model of a space.

    Args:
        space: The space to tune.
        earlier_sweeps: Earlier sweeps whose pairs the tuner will learn from. Only their features are used here.
        experience: Experience, which is used if it covers the space. None to start from nothing.
    """
    spaces = [space, *(each.space for each in earlier_sweeps)]
    rungs_R = rung_epochs(space, num_rungs=_NUM_RUNGS)
    num_settings = len(space.settings)
    if experience is None or not all(experience.covers(replace(each, settings=space.settings)) for each in spaces):
        return ObservationModel(
            space=space,
            prior=settings_prior(space.settings),
            basis=PairBasis(spaces, max_centres=MAX_CENTRES),
            rungs_R=rungs_R,
            places_SE=np.tile(np.arange(num_settings)[:, None], space.num_epochs),
            offsets_SE=early_offsets(space.settings, num_epochs=space.num_epochs),
            variances_SE=early_sds(space.settings, num_epochs=space.num_epochs) ** 2,
            experience=None,
        )
    # A gain after an epoch that is no rung is treated as the gain at the next rung.
    rung_of_E = [int(np.flatnonzero(rungs_R >= num_epochs)[-1]) for num_epochs in range(1, space.num_epochs + 1)]
    return ObservationModel(
        space=space,
        prior=experience.prior(space, rungs_R),
        basis=PairBasis(spaces, max_centres=_MAX_CENTRES_WITH_EXPERIENCE),
        rungs_R=rungs_R,
        places_SE=np.arange(num_settings)[:, None] + num_settings * np.array(rung_of_E),
        offsets_SE=np.zeros((num_settings, space.num_epochs)),
        variances_SE=np.zeros((num_settings, space.num_epochs)),
        experience=experience,
    )
