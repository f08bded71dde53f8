"""A simple tuner: random trials for one epoch, the better half of which are trained to the last epoch."""

import numpy as np

from peerkd.tuning.protocol import Suggestion
from peerkd.tuning.space import NO_SETTING


class HalvingTuner:
    def __init__(self, space, *, seed):
        self._space, self._rng = space, np.random.default_rng(seed)
        self._asked, self._gains = {}, {}

    def ask(self, num):
        cut = np.median(list(self._gains.values())) if self._gains else 0.0
        whole = self._space.num_epochs
        better = [key for key, gain in self._gains.items() if gain >= cut and self._asked[key] < whole]
        keys = better[: num // 2]
        others = [
            (pair, setting)
            for pair in range(self._space.num_pairs)
            for setting in range(len(self._space.settings))
            if (pair, setting) not in self._asked
        ]
        places = self._rng.permutation(len(others))[: num - len(keys)]
        asks = [Suggestion(pair, setting, whole) for pair, setting in keys]
        asks += [Suggestion(pair, setting, 1) for pair, setting in (others[place] for place in places)]
        self._asked |= {(ask.pair, ask.setting): ask.num_epochs for ask in asks}
        return asks

    def tell(self, observation):
        self._gains[observation.suggestion.pair, observation.suggestion.setting] = observation.gain

    def choices(self):
        best = {}
        for (pair, setting), gain in sorted(self._gains.items()):
            if gain > best.get(pair, (0.0, None))[0]:
                best[pair] = gain, setting
        return np.array([best.get(pair, (0, NO_SETTING))[1] for pair in range(self._space.num_pairs)])

    def predicted(self):
        return np.array([self._gains.get(key, 0.0) for key in enumerate(self.choices().tolist())])

    def deviations(self):
        return 0.01 * (self.choices() != NO_SETTING)


def build(space, *, has_experience):
    return HalvingTuner(space, seed=0)


def install():
    """Use this tuner for every study in this process."""
    from peerkd.tuning import pair_tuner

    pair_tuner.build = build
