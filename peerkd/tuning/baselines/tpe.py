"""Optuna's tree-structured Parzen estimator (Bergstra et al. 2011), a study for each pair."""

from collections.abc import Mapping, Sequence
from typing import Final

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import TPESampler
from optuna.trial import TrialState, create_trial

from peerkd.seeds import derive_seed, generator
from peerkd.tuning.baselines.known import Known
from peerkd.tuning.baselines.rungs import shuffled_pairs
from peerkd.tuning.baselines.script import Script, Scripted
from peerkd.tuning.protocol import Ask, Earlier
from peerkd.tuning.space import Space

_MAX_REPEATS: Final = 5
"""Suggestions in a row of what the pair has tried, or cannot try, before a random setting is tried instead."""


def build(space: Space, *, seed: int, earlier: Sequence[Earlier]) -> Scripted:
    """Return the tuner.

    Each turn of a pair is a whole trial of what its study suggests, by categories of transfer set, temperature and
    alpha; the pairs have their turns in a random order, and as Optuna has it the first ten of a pair are random. A
    pair has the best that it tried, or is left; one that had no turn yet has what did best on those that had.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    known = Known(space, earlier)
    pairs = shuffled_pairs(space, seed=seed, name="tpe")
    return Scripted(known, (_study(known, pair, seed) for pair in pairs))


def _study(known: Known, pair: int, seed: int) -> Script:
    space = known.space
    names = [(setting.transfer_set, setting.temperature, setting.alpha) for setting in space.settings]
    axes = ("transfer_set", "temperature", "alpha")
    distributions: dict[str, BaseDistribution] = {
        axis: CategoricalDistribution(tuple(dict.fromkeys(name[place] for name in names)))
        for place, axis in enumerate(axes)
    }
    place_of_name: dict[tuple[str, float, float], int] = {name: place for place, name in enumerate(names)}
    sampler = TPESampler(seed=derive_seed(seed, "tuner", "tpe", pair) % 2**32)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    left = generator(seed, "tuner", "tpe", "left", pair).permutation(len(names)).tolist()
    while left:
        setting = _suggested(study, distributions, place_of_name, left)
        left.remove(setting)
        ask = Ask(pair, setting, space.num_epochs)
        yield [ask]
        params = dict(zip(axes, names[setting], strict=True))
        study.add_trial(create_trial(params=params, distributions=distributions, value=known.gain(ask)))
        yield ()


def _suggested(
    study: optuna.Study,
    distributions: dict[str, BaseDistribution],
    place_of_name: Mapping[tuple[str, float, float], int],
    left: Sequence[int],
) -> int:
    """Return the setting that the study suggests; in the end the next of those that are left."""
    for _ in range(_MAX_REPEATS):
        trial = study.ask(distributions)
        name = (trial.params["transfer_set"], trial.params["temperature"], trial.params["alpha"])
        # Its answer comes as a trial of its own; one that is under way or failed says nothing to the sampler.
        study.tell(trial, state=TrialState.FAIL)
        if place_of_name.get(name) in left:
            return place_of_name[name]
    return left[0]
