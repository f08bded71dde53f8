"""The result of a run in one short phrase, from the summary in the manifest of its report."""

import math
from collections.abc import Mapping
from typing import Any

from peerkd.wording import plural


def run_headline(summary: Any) -> str:
    """Return the result of a run in a phrase. Empty if the summary contains no result that this version can read.

    Args:
        summary: The summary in the manifest of a report: a text if the run is a tuned study, else a mapping of headline
            numbers.
    """
    if isinstance(summary, str):
        # The text begins with the name of the experiment.
        return summary.partition(": ")[2]
    if not isinstance(summary, Mapping):
        return ""
    for name, describe in (("experiment", _sweep), ("study", _methods), ("rounds", _rounds)):
        if name in summary:
            return describe(summary)
    return ""


def _sweep(summary: Mapping[str, Any]) -> str:
    num_learning, num_peers = (_number(summary, name) for name in ("num_peers_to_distil", "num_peers"))
    if num_learning is not None and num_peers is not None:
        return f"{num_learning:,.0f} of {plural(round(num_peers), 'peer')} should learn from a teacher"
    # An earlier version of the report recorded the advice for pairs alone.
    num_distilled, num_pairs = (_number(summary, name) for name in ("num_pairs_to_distil", "num_pairs"))
    if num_distilled is not None and num_pairs is not None:
        gain = _with_bounds(summary, "advised_over_best_control")
        over = f", {gain} over the better control on test" if gain else ""
        return f"the student should learn in {num_distilled:,.0f} of {plural(round(num_pairs), 'ordered pair')}{over}"
    # An earlier version of the report gave no advice.
    gain = _with_bounds(summary, "gain_from_teacher")
    return f"teacher's part of the best setting's gain {gain}" if gain else ""


def _methods(summary: Mapping[str, Any]) -> str:
    """Return how many methods are above, below and not distinguishable from the baseline, by 95 % intervals."""
    ending = "_over_baseline_points"
    compared = [name.removesuffix(ending) for name in summary if name.endswith(ending)]
    if not compared:
        return ""
    bounds = [
        tuple(_number(summary, f"{name}_over_baseline_{bound}_points") for bound in ("low", "high"))
        for name in compared
    ]
    num_above = sum(low is not None and low > 0 for low, _ in bounds)
    num_below = sum(high is not None and high < 0 for _, high in bounds)
    undecided = len(compared) - num_above - num_below
    return f"against {summary.get('baseline')}: {num_above} above, {num_below} below, {undecided} undecided"


def _rounds(summary: Mapping[str, Any]) -> str:
    method = summary.get("method")
    start, end = _number(summary, "start_accuracy_pct"), _number(summary, f"{method}_mean_accuracy_pct")
    num_rounds = _number(summary, "num_rounds")
    if start is None or end is None or num_rounds is None:
        return ""
    return f"{method}: mean accuracy {start:.1f} % to {end:.1f} % in {plural(round(num_rounds), 'round')}"


def _with_bounds(summary: Mapping[str, Any], name: str) -> str:
    """Return a difference in points of accuracy, with its interval if it has one.

    The text is empty if the summary has no such difference.
    """
    value, low, high = (_number(summary, f"{name}{bound}_points") for bound in ("", "_low", "_high"))
    if value is None:
        return ""
    return f"{value:+.1f} points" + ("" if low is None or high is None else f" ({low:+.1f} to {high:+.1f})")


def _number(summary: Mapping[str, Any], name: str) -> float | None:
    value = summary.get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
