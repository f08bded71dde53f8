"""Tuners on a part of an experiment, told of the rest beforehand: how far what pairs teach carries over to others.

Pairs are held out in folds. A tuner starts from whole trials of the pairs that are left, on validation, and from
nothing else. Held-out pairs have students and teachers that it knows from other pairs; held-out peers are in no pair
that it knows. Held-out experiments need no folds: there the tables to start from are others.

Shape suffixes: Q = ordered pairs.
"""

from collections.abc import Sequence
from typing import Final, Literal, get_args

import numpy as np

from benchmarks.tuning.contest import compete
from benchmarks.tuning.replay import Replay
from benchmarks.tuning.scoring import Reference, Score
from peerkd.results.arrays import IntArray
from peerkd.seeds import generator
from peerkd.tuning.space import Space

Part = Literal["pairs", "peers"]

PARTS: Final[tuple[Part, ...]] = get_args(Part)

_MIN_PEERS_LEFT: Final = 2


def folds(space: Space, part: str, *, num_folds: int) -> list[IntArray]:
    """Return the places of the pairs that are held out in each fold, the same whenever it is asked for.

    A pair is held out once, or with both of its peers: twice, where they are in different folds.

    Args:
        space: Of the experiment.
        part: One of ``PARTS``.
        num_folds: Into which pairs or peers are divided at random, as evenly as can be.

    Raises:
        ValueError: If there is no such part, folds are fewer than 2 or more than there is to divide, or fewer than two
            peers would be left.
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
    name: str, replay: Replay, budgets: Sequence[float], *, seeds: Sequence[int], held_out: Sequence[IntArray]
) -> list[list[Score]]:
    """Return the scores of a tuner at each budget, for each of its seeds, over the pairs of all folds together.

    Args:
        name: Of the tuner.
        replay: The experiment.
        budgets: Shares of what a full sweep of the held-out pairs costs; see ``play``.
        seeds: As in ``compete``.
        held_out: As ``folds`` has them.

    Raises:
        ValueError: As for ``compete``.
    """
    by_fold, parts = [], []
    for pairs in held_out:
        earlier, part = replay.held_out(pairs)
        by_fold.append(compete(name, part, budgets, seeds=seeds, earlier=[earlier]))
        parts.append(part)
    return [
        [together(scores, parts) for scores in zip(*of_seed, strict=True)] for of_seed in zip(*by_fold, strict=True)
    ]


def together(scores: Sequence[Score], parts: Sequence[Replay]) -> Score:
    """Return one score for several parts: gains are means over all their pairs, costs are added up.

    Args:
        scores: Of one tuner with one budget, one for each part.
        parts: That were played.
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
