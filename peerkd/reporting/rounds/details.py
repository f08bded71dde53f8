"""What a report on rounds says beyond accuracies by round: costs, teachers and classes.

Shape suffixes: P = peers, K = classes.
"""

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Final, NamedTuple

import numpy as np

from peerkd.arrays import FloatArray
from peerkd.reporting.charts import Axis, Line, Series, XYChart
from peerkd.reporting.facts import RoundsFacts
from peerkd.reporting.rounds.findings import MethodRounds, accuracy_within
from peerkd.rounds import ROUND_METHODS
from peerkd.rounds.alone import METHOD as ALONE

_STYLES: Final = ("l0", "l1", "l2", "l3")
"""The styles of the methods in a chart of costs, in which the methods with the highest last accuracy are drawn."""

_NUM_TEACHERS: Final = 3
"""The number of teachers that the table of teachers names for each peer."""

_KIB: Final = 1024

Found = Mapping[str, MethodRounds]


class AtEqualCost(NamedTuple):
    """The accuracy of a method at the cost of all rounds of the first method, for two kinds of cost."""

    title: str
    at_samples: float
    """The mean accuracy when the peers have trained on as many samples as with the first method."""

    at_bytes: float
    """The mean accuracy when the peers have sent as many bytes as with the first method."""


class Taught(NamedTuple):
    """The peers whose knowledge a peer has accepted."""

    peer: str
    num_rounds: int
    """The number of rounds in which the peer accepted what others taught it."""

    own_share: float
    """The mean share of the peer itself in what it accepted in these rounds."""

    teachers: str
    """The peers with the largest shares, with their shares, as text."""

    in_first_round: str
    """The peers with the largest shares in the first round, as text; ``rejected`` if the peer rejected its proposal."""


class ClassChange(NamedTuple):
    """How the accuracy on a class changed from before the first round to after the last."""

    name: str
    before: float
    after: float
    num_gained: int
    """The number of peers whose accuracy on the class rose."""

    num_lost: int

    @property
    def change(self) -> float:
        """The change of the accuracy on the class, as a mean over the peers."""
        return self.after - self.before


def at_equal_cost(found: Found) -> list[AtEqualCost]:
    """Return the accuracy of each method at the cost of the first method, in samples and in bytes."""
    first = next(iter(found.values()))
    return [
        AtEqualCost(
            ROUND_METHODS[name].title,
            accuracy_within(each.mean_by_round, each.num_samples_by_round, float(first.num_samples_by_round[-1])),
            accuracy_within(each.mean_by_round, each.sent_bytes_by_round, float(first.sent_bytes_by_round[-1])),
        )
        for name, each in found.items()
    ]


def samples_chart(found: Found) -> XYChart:
    """Return the chart of mean accuracy by samples that a peer has trained on."""
    return _cost_chart(found, lambda each: each.num_samples_by_round, title="samples of a peer", unit_size=1)


def bytes_chart(found: Found) -> XYChart:
    """Return the chart of mean accuracy by bytes that a peer has sent, in KiB, of the methods that send something."""
    senders = {name: each for name, each in found.items() if each.sent_bytes_by_round[-1]}
    return _cost_chart(senders, lambda each: each.sent_bytes_by_round, title="KiB sent by a peer", unit_size=_KIB)


def _cost_chart(found: Found, cost: Callable[[MethodRounds], FloatArray], *, title: str, unit_size: int) -> XYChart:
    best = sorted(found, key=lambda name: -found[name].mean_by_round[-1])
    shown = [name for name in best if name != ALONE.name][: len(_STYLES)]
    drawn = dict(zip(shown, _STYLES, strict=False))
    drawn = ({ALONE.name: "lm"} if ALONE.name in found else {}) | drawn
    xs = {name: (cost(found[name]) / unit_size).tolist() for name in drawn}
    largest = max((each[-1] for each in xs.values()), default=0) or 1
    return XYChart(
        x=Axis(0, largest, "number", title=title, has_grid=False),
        y=Axis(0, 1, "percent"),
        series=[
            Series(
                ROUND_METHODS[name].title,
                style,
                [Line(xs[name], found[name].mean_by_round.tolist(), _end(name, found[name], xs[name][-1], title))],
            )
            for name, style in drawn.items()
        ],
    )


def taught(main: MethodRounds, facts: RoundsFacts) -> list[Taught]:
    """Return whose knowledge each peer has accepted with a method."""
    rows = []
    for index, peer in enumerate(facts.peers):
        shares, number = main.accepted_shares(index), facts.peer_numbers[index]
        own = shares.pop(number, 0.0)
        in_first_round = {teacher: share for teacher, share in main.shares_RP[1][index].items() if teacher != number}
        rows.append(
            Taught(
                peer,
                main.num_accepted(index),
                own,
                _in_words(shares, facts),
                _in_words(in_first_round, facts) if main.is_accepted_RP[1, index] else "rejected",
            )
        )
    return rows


def class_changes(main: MethodRounds, facts: RoundsFacts) -> list[ClassChange]:
    """Return what each class gained or lost with a method, the largest gain first. Classes without samples are omitted.

    Returns:
        The changes. The list is empty if the table of rounds has no accuracies by class.
    """
    if main.class_RPK is None:
        return []
    before_PK, after_PK = main.class_RPK[0], main.class_RPK[-1]
    changes = [
        ClassChange(
            name,
            float(before_P.mean()),
            float(after_P.mean()),
            int((after_P > before_P).sum()),
            int((after_P < before_P).sum()),
        )
        for name, before_P, after_P in zip(facts.class_names, before_PK.T, after_PK.T, strict=True)
        if not np.isnan(after_P).any()
    ]
    return sorted(changes, key=lambda each: -each.change)


def _in_words(shares: Mapping[int, float], facts: RoundsFacts) -> str:
    """Return the teachers with the largest shares as text."""
    names = dict(zip(facts.peer_numbers, facts.peers, strict=True))
    named = [f"{names[peer]} {100 * share:.0f} %" for peer, share in islice(shares.items(), _NUM_TEACHERS)]
    return ", ".join(named) or "nobody"


def _end(name: str, each: MethodRounds, cost: float, title: str) -> str:
    return f"{ROUND_METHODS[name].title}: {100 * each.mean_by_round[-1]:.1f} % at {cost:,.0f} {title}"
