"""The settings that peers tried in rounds: which ones, with which estimated gains, and which trainings they took."""

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np

from peerkd.config.collaborate import RoundsConfig
from peerkd.config.round_tuning import RoundSetting
from peerkd.reporting.facts import RoundsFacts
from peerkd.reporting.rounds.findings import MethodRounds, Tried
from peerkd.reporting.wording import number
from peerkd.results.rounds import credited_gain

MAX_LISTED: Final = 1_000
"""The largest number of trainings that a page lists."""

_FIELDS: Final[Mapping[str, str]] = {
    "learning_rate": "learning rate",
    "alpha": "alpha",
    "temperature": "T",
    "sharpening_temperature": "sharpening",
    "epochs": "epochs",
    "num_left_out": "partners left out",
}
"""The fields of a setting, each with its name in a report."""

_COLUMNS: Final = (
    *("method", "round", "peer", "setting", "learning_rate", "alpha", "temperature", "sharpening_temperature"),
    *("num_left_out", "epochs", "estimated_gain", "outcome"),
)

Outcome: TypeAlias = Literal["taken", "worse", "rejected", "omitted"]
"""What a peer did in a round. ``taken``: it took the network that it had trained. ``worse``: it kept its network,
because its estimate fell. The estimate of weights that are not finite is 0. ``rejected``: it kept its network, because
of the limit ``rounds.max_own_drop`` or of predictions that are not finite. ``omitted``: it trained nothing."""


class Attempt(NamedTuple):
    """A round in which a peer was present."""

    round: int
    place: int
    """The place of the peer among those that take part."""

    tried: Tried | None
    """What the peer tried; None if it omitted the round."""

    outcome: Outcome


class SettingUse(NamedTuple):
    """How often peers tried a setting, and what it gained."""

    words: str
    num_tried: int
    num_taken: int
    mean_gain: float
    """The mean gain in estimated accuracy, as a fraction, where a training that is ``rejected`` has gained nothing.

    NaN if no peer tried the setting."""

    num_in_last_round: int


def attempts(each: MethodRounds, facts: RoundsFacts) -> list[Attempt]:
    """Return what each peer did in each round of a method, in the order of rounds and peers; empty without tuning."""
    if not each.has_settings:
        return []
    return [
        Attempt(r, index, tried, _outcome(tried, is_accepted=bool(each.is_accepted_RP[r, index])))
        for r, tried_P in enumerate(each.tried_RP)
        for index, tried in enumerate(tried_P)
        if r and facts.peer_numbers[index] not in facts.config.rounds.absent_peers(r)
    ]


def uses(made: list[Attempt], rounds: RoundsConfig) -> list[SettingUse]:
    """Return how often peers tried each setting of the portfolio, in its order."""
    found = []
    for place, setting in enumerate(rounds.tune.portfolio):
        mine = [each for each in made if each.tried and each.tried.setting == place]
        gains = [
            credited_gain(each.tried.estimated_gain, is_accepted=each.outcome == "taken") for each in mine if each.tried
        ]
        found.append(
            SettingUse(
                in_words(setting),
                len(mine),
                sum(each.outcome == "taken" for each in mine),
                float(np.mean(gains)) if gains else float("nan"),
                sum(each.round == rounds.num_rounds for each in mine),
            )
        )
    return found


def in_words(setting: RoundSetting) -> str:
    """Return the values that a setting names, such as ``learning rate 0.05, T 2``."""
    named = [
        f"{words} {number(value)}" for field, words in _FIELDS.items() if (value := getattr(setting, field)) is not None
    ]
    return ", ".join(named[: len(named) - (not setting.num_left_out)]) or "as in rounds"


def settings_csv(found: Mapping[str, MethodRounds], facts: RoundsFacts) -> str:
    """Return a CSV table with a line for each method in which peers choose settings, each round and each present peer.

    A peer is present in a round unless ``rounds.unreliable`` says that it is absent. Values that a setting leaves open
    are taken from the config section ``rounds``. Gains are fractions, not points.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for method, each in found.items():
        writer.writerows(_lines(method, attempts(each, facts), facts))
    return text.getvalue()


def _lines(method: str, made: list[Attempt], facts: RoundsFacts) -> Iterator[tuple[object, ...]]:
    rounds = facts.config.rounds
    for each in made:
        peer = facts.peer_numbers[each.place]
        if each.tried is None:
            yield method, each.round, peer, *[""] * (len(_COLUMNS) - 4), each.outcome
            continue
        setting = rounds.tune.portfolio[each.tried.setting]
        values = rounds.with_setting(setting)
        yield (
            *(method, each.round, peer, each.tried.setting),
            *(f"{getattr(values, name):g}" for name in _COLUMNS[4:8]),
            *(setting.num_left_out, each.tried.epochs, f"{each.tried.estimated_gain:.6g}", each.outcome),
        )


def _outcome(tried: Tried | None, *, is_accepted: bool) -> Outcome:
    if tried is None:
        return "omitted"
    if is_accepted:
        return "taken"
    return "worse" if tried.estimated_gain < 0 else "rejected"
