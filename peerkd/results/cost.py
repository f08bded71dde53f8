"""The resources and the cost of an experiment, in total, for each step and for each pair of peers.

A job holds its GPUs from its start to its end, busy or idle, so this whole time counts. The resources of the sweep are
divided among the pairs in proportion to the time of their trials.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from peerkd.config.prices import Prices

if TYPE_CHECKING:
    # Lists of runs show costs, and must not wait for this import.
    import pyarrow as pa

Pair: TypeAlias = tuple[int, int | None]
"""Student and teacher. The teacher is None for trials that involve no peer except the student, such as a fine-tuning on
the student's own data. These trials belong to all pairs of the student."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """The resources that one job held from its start to its end. The time in a queue does not count."""

    step: str
    seconds: float
    num_workers: int
    gpus_per_worker: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """The resources that jobs held, and their price."""

    worker_seconds: float
    gpu_seconds: float
    money: float | None
    """The price in the operator's currency. None if the operator has set no prices."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunCost:
    """The cost of a run, in total and in parts."""

    total: Cost
    steps: Mapping[str, Cost]
    pairs: Mapping[Pair, Cost]
    """The share of each pair in the cost of the sweep. Empty if the run has no sweep."""


def run_cost(
    accounts: Iterable[Account], *, prices: Prices, sweep: str = "", trial_seconds: Mapping[Pair, float] | None = None
) -> RunCost:
    """Return the cost of a run: in total, for each step, and for each pair of peers.

    Args:
        accounts: The accounts of every job, including those that failed and were repeated.
        prices: Prices per hour.
        sweep: Name of the step whose cost is divided among the pairs.
        trial_seconds: The seconds that the trials of each pair took in total.
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


def seconds_of_pairs(trials: "pa.Table") -> dict[Pair, float]:
    """Return how many seconds the trials of each pair took in total, from the table of trials."""
    summed = (
        trials.select(["student", "teacher", "seconds"])
        .group_by(["student", "teacher"])
        .aggregate([("seconds", "sum")])
    )
    columns = (summed[name].to_pylist() for name in ("student", "teacher", "seconds_sum"))
    return {(student, teacher): seconds for student, teacher, seconds in zip(*columns, strict=True)}


def to_csv(cost: RunCost) -> str:
    """Return the cost as CSV: one line for the run, for each step and for each pair. Unknown values are empty."""
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
