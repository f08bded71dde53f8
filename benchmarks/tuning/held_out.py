"""Cross-validation of tuners over the pairs of one sweep. It shows how far results of some pairs help on other pairs.

Pairs are held out in folds. A tuner starts from the validation results of whole trials of the remaining pairs alone. If
pairs are held out, the remaining pairs usually contain the students and teachers of the held-out pairs. If peers are
held out, all pairs with such a peer are held out, so no remaining pair contains it.

Shape suffixes: Q = ordered pairs.
"""

from collections.abc import Sequence
from typing import Final, Literal, get_args

import numpy as np

from benchmarks.tuning.contest import compete
from benchmarks.tuning.replay import Replay
from benchmarks.tuning.scoring import Reference, Score
from peerkd.arrays import IntArray
from peerkd.seeds import generator
from peerkd.tuning.experience import Experience
from peerkd.tuning.space import Space

Part = Literal["pairs", "peers"]

PARTS: Final[tuple[Part, ...]] = get_args(Part)

_MIN_PEERS_LEFT: Final = 2


def folds(space: Space, part: str, *, num_folds: int) -> list[IntArray]:
    """Return the indices of the pairs that are held out in each fold. The same arguments give the same folds.

    If peers are held out, a pair whose two peers are in different folds is held out in both folds.

    Args:
        space: Search space of the experiment.
        part: One of ``PARTS``.
        num_folds: Number of folds into which pairs or peers are divided at random, as evenly as possible.

    Raises:
        ValueError: If there is no such part, the number of folds is below 2 or above the number of pairs or peers, or
            fewer than two peers would be left.
    """
    if part not in PARTS:
        raise ValueError(f"held-out must be one of {', '.join(PARTS)}, got {part}.")
    peers = np.union1d(space.students_Q, space.teachers_Q)
    whole = peers if part == "peers" else np.arange(space.num_pairs)
    if not 2 <= num_folds <= len(whole):
        raise ValueError(f"folds must be from 2 to the {len(whole)} {part} that there are, got {num_folds}.")
    divided = np.array_split(generator(0, "held out", part).permutation(whole), num_folds)
    if part == "pairs":
        return [np.sort(places) for places in divided]
    if len(peers) - max(map(len, divided)) < _MIN_PEERS_LEFT:
        raise ValueError(f"folds must leave two peers to learn from, got {num_folds} for {len(peers)} peers.")
    return [np.flatnonzero(np.isin(space.students_Q, fold) | np.isin(space.teachers_Q, fold)) for fold in divided]


def compete_held_out(
    name: str,
    replay: Replay,
    budgets: Sequence[float],
    *,
    seeds: Sequence[int],
    held_out: Sequence[IntArray],
    experience: Experience | None = None,
) -> list[list[Score]]:
    """Return the scores of a tuner at each budget, for each of its seeds, over the pairs of all folds together.

    Args:
        name: Name of the tuner.
        replay: Sweep to replay.
        budgets: Fractions of the cost of a full sweep of the held-out pairs; see ``play``.
        seeds: Seeds of the tuner; see ``compete``.
        held_out: Indices of the held-out pairs in each fold, from ``folds``.
        experience: See ``compete``.

    Raises:
        ValueError: If ``compete`` refuses an argument.
    """
    by_fold, parts = [], []
    for pairs in held_out:
        earlier, part = replay.held_out(pairs)
        by_fold.append(compete(name, part, budgets, seeds=seeds, earlier=[earlier], experience=experience))
        parts.append(part)
    return [
        [together(scores, parts) for scores in zip(*of_seed, strict=True)] for of_seed in zip(*by_fold, strict=True)
    ]


def together(scores: Sequence[Score], parts: Sequence[Replay]) -> Score:
    """Return one score for several parts of a sweep. Gains are means over the pairs of all parts, and costs are sums.

    Args:
        scores: The score of one tuner with one budget on each part.
        parts: Replays of the parts.
    """
    weights = np.array([part.space.num_pairs for part in parts]) / sum(part.space.num_pairs for part in parts)

    def mean(values: Sequence[float]) -> float:
        return float(weights @ np.array(values))

    spent = sum(score.spent for score in scores)
    return Score(
        budget=scores[0].budget,
        spent_share=spent / sum(part.account().full for part in parts),
        spent=spent,
        gain=mean([score.gain for score in scores]),
        reference=Reference(
            full=mean([score.reference.full for score in scores]),
            single=mean([score.reference.single for score in scores]),
            default=mean([score.reference.default for score in scores]),
        ),
        num_pairs_tried=sum(score.num_pairs_tried for score in scores),
        num_pairs_left=sum(score.num_pairs_left for score in scores),
        num_trials=sum(score.num_trials for score in scores),
        tuner_seconds=sum(score.tuner_seconds for score in scores),
    )
