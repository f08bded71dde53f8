"""The observation model: the prior of a tuner, and the relation between the prior's targets and the observed gains.

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
"""The number of rungs. With more rungs, the tuner would become slow."""

_MAX_SETTINGS_WITH_RUNGS: Final = 128
"""The number of settings above which a tuner with experience suggests whole trials only. With so many settings, the
budget pays for many trials of each pair, and early results mislead the tuner more often than they save costs."""

_MAX_CENTRES_WITH_EXPERIENCE: Final = 24
"""The maximum number of centres of the basis functions if experience is used.

Fewer centres suffice with experience, because it already contains most of the information in the features.
"""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ObservationModel:
    """A prior over targets, and the distribution of the gain of a setting after some epochs, given its target.

    The gain is the target plus a known offset plus a normal error. Without experience there is one target for each
    setting: the gain of the whole trial, from which the gain after an earlier epoch differs by an offset and an
    additional variance. With experience there is a target for each setting and rung.
    """

    space: Space
    prior: Prior
    basis: PairBasis
    rungs_R: IntArray
    """The epochs after which a trial may be stopped, the last epoch first."""

    places_SE: IntArray
    """The index of the target for each setting and number of epochs. The first S targets are gains of whole trials."""

    offsets_SE: FloatArray
    """The expected value of each gain minus its target, in compressed points."""

    variances_SE: FloatArray
    """The variance of each gain about its target, in addition to noise of validation."""

    experience: Experience | None

    def expected(self, space: Space) -> FloatArray | None:
        """Return the gains that experience expects for the pairs of a space, of shape (Q, C).

        The result is None if no experience is used.

        Args:
            space: The space to tune, or the space of an earlier sweep. The method uses only the pairs of this space and
                their features. The settings are always the settings of the space to tune.
        """
        if self.experience is None:
            return None
        with_own_settings = replace(space, settings=self.space.settings, num_epochs=self.space.num_epochs)
        return self.experience.expected(with_own_settings, self.rungs_R)

    def spread(self, space: Space) -> FloatArray | None:
        """Return how widely the gains of each pair spread about their expectations, of shape (Q,).

        The values are relative: an average pair has the value 1. The result is None if no experience is used.
        """
        return None if self.experience is None else self.experience.spread(space)


def build_observation_model(
    space: Space, *, earlier_sweeps: Sequence[EarlierSweep], experience: Experience | None
) -> ObservationModel:
    """Return the observation model of a space.

    Args:
        space: The space to tune.
        earlier_sweeps: Earlier sweeps whose pairs the tuner will learn from. Only their features are used here.
        experience: The experience, which is used if it covers the space. None means to use none.
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
    if num_settings > _MAX_SETTINGS_WITH_RUNGS:
        rungs_R = rungs_R[:1]
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
