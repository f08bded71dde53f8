"""Optuna's tree-structured Parzen estimator (Bergstra et al. 2011), a study for each pair."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import TPESampler
from optuna.trial import Trial, TrialState, create_trial

from benchmarks.tuning.rivals.known import Known
from benchmarks.tuning.rivals.rungs import shuffled_pairs
from benchmarks.tuning.rivals.script import Script, Scripted
from peerkd.seeds import derive_seed, generator
from peerkd.tuning.protocol import EarlierSweep, Suggestion
from peerkd.tuning.space import Space

_Name: TypeAlias = tuple[str | float | None, ...]
"""Values of a setting on the axes."""

_AXES: Final = ("transfer_set", "temperature", "alpha")
_OTHER_AXES: Final = ("learning_rate", "loss", "target")

_MAX_REPEATS: Final = 10
"""Number of consecutive unusable suggestions, those that the pair has tried or cannot try, after which a random setting
is tried instead."""


def build(space: Space, *, seed: int, earlier: Sequence[EarlierSweep]) -> Scripted:
    """Return the tuner.

    Each turn of a pair is a whole trial of the setting that its study suggests. The study treats transfer set,
    temperature, alpha and, if there are several, learning rate, loss and target as categories. Pairs take turns in a
    random order. The first ten suggestions for a pair are random, the default of Optuna. A pair gets the best setting
    that it tried if that is a gain. A pair without a turn gets the setting that did best on the other pairs.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    known = Known(space, earlier)
    pairs = shuffled_pairs(space, seed=seed, name="tpe")
    return Scripted(known, (_study(known, pair, seed) for pair in pairs))


def _study(known: Known, pair: int, seed: int) -> Script:
    space = known.space
    several = (name for name in _OTHER_AXES if len({getattr(setting, name) for setting in space.settings}) > 1)
    axes = (*_AXES, *several)
    names: list[_Name] = [tuple(getattr(setting, axis) for axis in axes) for setting in space.settings]
    distributions: dict[str, BaseDistribution] = {
        axis: CategoricalDistribution(tuple(dict.fromkeys(name[place] for name in names)))
        for place, axis in enumerate(axes)
    }
    place_of_name = {name: place for place, name in enumerate(names)}
    gains: dict[_Name, float] = {}
    sampler = TPESampler(seed=derive_seed(seed, "tuner", "tpe", pair) % 2**32)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    left = generator(seed, "tuner", "tpe", "left", pair).permutation(len(names)).tolist()
    while left:
        trial = _new_suggestion(study, distributions, place_of_name, gains)
        name = names[left[0]] if trial is None else _name(trial, axes)
        ask = Suggestion(pair, place_of_name[name], space.num_epochs)
        left.remove(ask.setting)
        yield [ask]
        gains[name] = known.gain(ask)
        if trial is None:
            params = dict(zip(axes, name, strict=True))
            study.add_trial(create_trial(params=params, distributions=distributions, value=gains[name]))
        else:
            study.tell(trial, gains[name])
        yield ()


def _new_suggestion(
    study: optuna.Study,
    distributions: dict[str, BaseDistribution],
    place_of_name: Mapping[_Name, int],
    gains: Mapping[_Name, float],
) -> Trial | None:
    """Return a suggestion that the pair can try and has not tried. None after ``_MAX_REPEATS`` other suggestions."""
    for _ in range(_MAX_REPEATS):
        trial = study.ask(distributions)
        name = _name(trial, tuple(distributions))
        if name in gains:
            # The known gain is reported again, as if it had been measured again, so a repeated suggestion weighs more.
            study.tell(trial, gains[name])
        elif name in place_of_name:
            return trial
        else:
            study.tell(trial, state=TrialState.FAIL)
    return None


def _name(trial: Trial, axes: Sequence[str]) -> _Name:
    return tuple(trial.params[axis] for axis in axes)
