"""What the tuner believes before its first trial: from nothing, or from experience.

Shape suffixes: Q = pairs, S = settings, E = epochs, R = epochs after which a trial may be stopped, C = what can be
measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from peerkd.results.arrays import FloatArray, IntArray
from peerkd.tuning.experience import Experience, measurable
from peerkd.tuning.pair_basis import MAX_CENTRES, PairBasis
from peerkd.tuning.prior import Prior, settings_prior
from peerkd.tuning.protocol import Earlier
from peerkd.tuning.settings_prior import early_offsets, early_sds
from peerkd.tuning.space import Space

_NUM_RUNGS: Final = 3
"""Epochs at which a trial may be stopped, so that many epochs do not make the choice slow."""

_MAX_CENTRES_WITH_EXPERIENCE: Final = 24
"""Most of what features say is known then, and the rest costs the tuner's time."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Outlook:
    """A prior over what can be measured, and how measurements bear on it."""

    space: Space
    prior: Prior
    basis: PairBasis
    rungs_R: IntArray
    """The last one first."""

    places_SE: IntArray
    """Which part of the prior a setting after so many epochs is about. The first S are whole trials."""

    offsets_SE: FloatArray
    """How far a gain after so many epochs is ahead of what it is about, in compressed points."""

    variances_SE: FloatArray
    """How far it may be from it by more than noise."""

    experience: Experience | None

    def expected(self, space: Space) -> FloatArray | None:
        """Return what is expected (Q, C) of the pairs of this or an earlier space, under this one's settings."""
        if self.experience is None:
            return None
        asked = replace(space, settings=self.space.settings, num_epochs=self.space.num_epochs)
        return self.experience.expected(asked, self.rungs_R)

    def spread(self, space: Space) -> FloatArray | None:
        """Return how far gains of each pair (Q,) of this or an earlier space may be from that; see ``Foreknown``."""
        return None if self.experience is None else self.experience.spread(space)


def outlook(space: Space, *, earlier: Sequence[Earlier], experience: Experience | None) -> Outlook:
    """Return what is believed of a space, by experience if there is any that covers it.

    Args:
        space: To tune.
        earlier: Whose pairs will be learned from; only their features count here.
        experience: None: there is none.
    """
    spaces = [space, *(each.space for each in earlier)]
    rungs_R = measurable(space, num_rungs=_NUM_RUNGS)
    num_settings = len(space.settings)
    if experience is None or not all(experience.covers(replace(each, settings=space.settings)) for each in spaces):
        return Outlook(
            space=space,
            prior=settings_prior(space.settings),
            basis=PairBasis(spaces, max_centres=MAX_CENTRES),
            rungs_R=rungs_R,
            places_SE=np.tile(np.arange(num_settings)[:, None], space.num_epochs),
            offsets_SE=early_offsets(space.settings, num_epochs=space.num_epochs),
            variances_SE=early_sds(space.settings, num_epochs=space.num_epochs) ** 2,
            experience=None,
        )
    # What was measured after other epochs is taken for what the next rung shows.
    rung_of_E = [int(np.flatnonzero(rungs_R >= num_epochs)[-1]) for num_epochs in range(1, space.num_epochs + 1)]
    return Outlook(
        space=space,
        prior=experience.prior(space, rungs_R),
        basis=PairBasis(spaces, max_centres=_MAX_CENTRES_WITH_EXPERIENCE),
        rungs_R=rungs_R,
        places_SE=np.arange(num_settings)[:, None] + num_settings * np.array(rung_of_E),
        offsets_SE=np.zeros((num_settings, space.num_epochs)),
        variances_SE=np.zeros((num_settings, space.num_epochs)),
        experience=experience,
    )
