"""What an experiment took, and what that cost: of the whole, of each step, and of each pair of peers.

A job holds its GPUs from its start to its end, busy or not, so that is what is counted. What the sweep held is shared
out among the pairs by how long their trials took.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa

from peerkd.config.prices import Prices

Pair: TypeAlias = tuple[int, int | None]
"""Student and teacher; None for the training of a student on its own data, which belongs to all of its pairs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """What one job held, from its start to its end; time in a queue is not in it."""

    step: str
    seconds: float
    num_workers: int
    gpus_per_worker: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What something took."""

    worker_seconds: float
    gpu_seconds: float
    money: float | None
    """None without prices."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunCost:
    """What a run took, as a whole and in parts."""

    total: Cost
    steps: Mapping[str, Cost]
    pairs: Mapping[Pair, Cost]
    """Shares of the step that is a sweep over pairs; empty where there is none."""


def run_cost(
    accounts: Iterable[Account], *, prices: Prices, sweep: str = "", trial_seconds: Mapping[Pair, float] | None = None
) -> RunCost:
    """Add up what jobs held.

    Args:
        accounts: Of every job, also of those that failed and were repeated.
        prices: By the hour.
        sweep: Name of the step that the pairs share.
        trial_seconds: How long the trials of each pair took, added up.
    """
    worker_seconds: dict[str, float] = defaultdict(float)
    gpu_seconds: dict[str, float] = defaultdict(float)
    for account in accounts:
        worker_seconds[account.step] += account.seconds * account.num_workers
        gpu_seconds[account.step] += account.seconds * account.num_workers * account.gpus_per_worker
    steps = {step: _cost(worker_seconds[step], gpu_seconds[step], prices) for step in worker_seconds}
    return RunCost(
        total=_cost(sum(worker_seconds.values()), sum(gpu_seconds.values()), prices),
        steps=steps,
        pairs=_shares(steps[sweep], trial_seconds or {}, prices) if sweep in steps else {},
    )


def seconds_of_pairs(trials: pa.Table) -> dict[Pair, float]:
    """Return how long the trials of each pair took, added up, from the table of trials."""
    summed = (
        trials.select(["student", "teacher", "seconds"])
        .group_by(["student", "teacher"])
        .aggregate([("seconds", "sum")])
    )
    columns = (summed[name].to_pylist() for name in ("student", "teacher", "seconds_sum"))
    return {(student, teacher): seconds for student, teacher, seconds in zip(*columns, strict=True)}


def to_csv(cost: RunCost) -> str:
    """Return a line for the run, each step and each pair; what is not known is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["of", "step", "student", "teacher", "worker_seconds", "gpu_seconds", "cost"])
    lines: list[tuple[str, str, object, object, Cost]] = [("run", "", "", "", cost.total)]
    lines += [("step", step, "", "", each) for step, each in cost.steps.items()]
    lines += [
        ("pair", "", student, "" if teacher is None else teacher, each)
        for (student, teacher), each in sorted(cost.pairs.items(), key=lambda item: _order(item[0]))
    ]
    for of, step, student, teacher, each in lines:
        money = "" if each.money is None else f"{each.money:.4f}"
        writer.writerow([of, step, student, teacher, f"{each.worker_seconds:.1f}", f"{each.gpu_seconds:.1f}", money])
    return out.getvalue()


def _shares(whole: Cost, trial_seconds: Mapping[Pair, float], prices: Prices) -> dict[Pair, Cost]:
    total = sum(trial_seconds.values())
    if not total:
        return {}
    return {
        pair: _cost(whole.worker_seconds * seconds / total, whole.gpu_seconds * seconds / total, prices)
        for pair, seconds in trial_seconds.items()
    }


def _cost(worker_seconds: float, gpu_seconds: float, prices: Prices) -> Cost:
    return Cost(
        worker_seconds=worker_seconds,
        gpu_seconds=gpu_seconds,
        money=prices.cost(worker_seconds=worker_seconds, gpu_seconds=gpu_seconds),
    )


def _order(pair: Pair) -> tuple[int, int]:
    student, teacher = pair
    return student, -1 if teacher is None else teacher
