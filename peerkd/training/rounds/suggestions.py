"""The settings that peers try in a round, given the gains of earlier rounds: Thompson sampling over a portfolio.

The gain of peer i with setting s in round r is modelled as ``g = mu_r + sigma_r (theta_s + e)``. mu_r and sigma_r are
the mean and the deviation of the gains of a round, because early rounds gain more than later ones. theta_s is the
strength of a setting, and e is noise of variance 1. A priori, theta_s is normal with a mean that falls with the place
of the setting in the portfolio. Its posterior is normal too. In each round, each peer draws strengths from the
posterior and takes the setting with the largest (Thompson 1933; Russo et al. 2018, arXiv:1707.02038). The draws become
narrower from round to round, because what is learned late is of little use. In the last round, every peer takes the
setting with the largest mean.

Each training is also the round of its peer, so no sample is spent on a second trial in a round.

Shape suffixes: S = settings, N = trainings.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from peerkd.arrays import FloatArray
from peerkd.config.collaborate import CollaborateConfig
from peerkd.results.rounds import credited_gain
from peerkd.rounds.method import RoundChoice
from peerkd.seeds import generator

_PRIOR_STEP: Final = 0.15
"""The difference between the prior means of a setting and the next one in the portfolio."""

_PRIOR_DEVIATION: Final = 0.5

_KEPT_PER_ROUND: Final = 0.85
"""The factor by which a gain counts less with each later round, because the best setting may change over rounds."""

_MIN_DEVIATION: Final = 1e-3
"""The least deviation of the gains of a round, a tenth of a point."""


class Suggestion(NamedTuple):
    """What a peer tries in a round."""

    setting: int
    """The place of the setting in the portfolio."""

    epochs: int


class Gain(NamedTuple):
    """The gain of a peer in an earlier round."""

    round: int
    peer: int
    setting: int
    epochs: int
    gain: float


def gains_of(history: Sequence[Mapping[str, Any]]) -> list[Gain]:
    """Return the gains in the rows of earlier rounds, in the order of rounds and peers."""
    rows = [row for row in history if row.get("setting") is not None]
    rows.sort(key=lambda row: (row["round"], row["peer"]))
    return [
        Gain(
            row["round"],
            row["peer"],
            row["setting"],
            row["epochs"],
            credited_gain(row["estimated_gain"], is_accepted=row["is_accepted"]),
        )
        for row in rows
    ]


def first_epoch(config: CollaborateConfig, gains: Sequence[Gain], *, peer: int, number: int) -> int:
    """Return the number of the first epoch of a peer in a round. It determines the order and the views of its samples.

    It is the same as without tuning, ``rounds.epochs`` times the number of earlier rounds, unless the peer has already
    reached this epoch in an earlier round, because it tried a setting with more epochs. No epoch is used twice.

    Args:
        config: The experiment.
        gains: The gains of all peers in earlier rounds, in the order of rounds.
        peer: The peer.
        number: The number of the round, counted from 1.
    """
    end = 0
    for each in gains:
        if each.peer == peer:
            end = max(end, (each.round - 1) * config.rounds.epochs) + each.epochs
    return max(end, (number - 1) * config.rounds.epochs)


def suggest(
    config: CollaborateConfig, gains: Sequence[Gain], *, peers: Sequence[int], number: int
) -> dict[int, Suggestion]:
    """Return what each peer tries in a round. A peer without an entry omits the round.

    Args:
        config: The experiment, with the portfolio, the budget and the seed.
        gains: The gains of all peers in earlier rounds.
        peers: The peers that take part.
        number: The number of the round, counted from 1.
    """
    rounds = config.rounds
    num_left = rounds.num_rounds - number + 1
    mean_S, factor_SS = strengths(gains, num_settings=len(rounds.tune.portfolio), number=number)
    width = np.sqrt((num_left - 1) / rounds.num_rounds)
    found: dict[int, Suggestion] = {}
    for peer in peers:
        mine = [each for each in gains if each.peer == peer]
        remaining = rounds.num_rounds * rounds.epochs - sum(each.epochs for each in mine)
        last = mine[-2:]
        is_tired = len(last) == 2 and last[-1].round == number - 1 and all(each.gain < 0 for each in last)
        if remaining < 1 or (is_tired and num_left > 1):
            continue
        rng = generator(config.seed, "settings of rounds", peer, number)
        drawn_S = mean_S + width * (factor_SS @ rng.standard_normal(len(mean_S)))
        for setting in np.argsort(-drawn_S, kind="stable"):
            epochs = rounds.tune.portfolio[setting].epochs or max(remaining // num_left, 1)
            if epochs <= remaining:
                found[peer] = Suggestion(int(setting), epochs)
                break
    return found


def choice(config: CollaborateConfig, suggested: Suggestion, number: int) -> RoundChoice:
    """Return the setting that a peer tries in a round, counted from 1."""
    setting = config.rounds.tune.portfolio[suggested.setting]
    rounds = config.rounds.with_setting(setting)
    return RoundChoice(
        temperature=rounds.temperature,
        sharpening_temperature=rounds.sharpening_temperature,
        distillation_weight=rounds.distillation_weight(number, alpha=rounds.alpha),
        epochs=suggested.epochs,
        learning_rate=rounds.learning_rate,
        num_left_out=setting.num_left_out,
    )


def strengths(gains: Sequence[Gain], *, num_settings: int, number: int) -> tuple[FloatArray, FloatArray]:
    """Return the posterior mean of the strengths, of shape (S,), and a factor F of their covariance F F' (S, S).

    With the gains of a round divided by their deviation, and with the flat prior of their mean, a round adds ``X' C X``
    to the precision and ``X' C y`` to its product with the mean, where X has a row for each training with a 1 in the
    column of its setting, y are the gains, and C takes the mean of the round away.
    """
    precision_SS = np.eye(num_settings) / _PRIOR_DEVIATION**2
    shift_S = precision_SS @ (-_PRIOR_STEP * np.arange(num_settings))
    by_round: defaultdict[int, list[Gain]] = defaultdict(list)
    for each in gains:
        by_round[each.round].append(each)
    for round, of_round in by_round.items():
        # Budgets are counted in samples, so a setting with more epochs must gain more.
        gain_N = np.array([each.gain / each.epochs for each in of_round])
        y_N = (gain_N - gain_N.mean()) / max(float(gain_N.std()), _MIN_DEVIATION)
        x_NS = np.eye(num_settings)[[each.setting for each in of_round]]
        centred_NS = x_NS - x_NS.mean(axis=0)
        weight = _KEPT_PER_ROUND ** (number - 1 - round)
        precision_SS += weight * centred_NS.T @ centred_NS
        shift_S += weight * centred_NS.T @ y_N
    # The stubs of numpy do not say that the results have the precision of the arguments.
    covariance_SS: FloatArray = np.linalg.inv(precision_SS).astype(np.float64)
    factor_SS: FloatArray = np.linalg.cholesky(covariance_SS).astype(np.float64)
    mean_S: FloatArray = covariance_SS @ shift_S
    return mean_S, factor_SS
