"""The measurements as a Markdown table.

A ratio of two times is computed within each round, in which both were measured seconds apart. The table shows the
median of these ratios over the rounds.
"""

from collections.abc import Mapping, Sequence
from statistics import median

from benchmarks.markdown import quotients, spread
from benchmarks.pcl_step.contestants import STRAIGHTFORWARD, STRAIGHTFORWARD_READY, PclContestant

Seconds = Mapping[PclContestant, Sequence[float]]
"""The seconds of a step by round."""

PLAIN = "plain"


def step_table(seconds: Seconds) -> str:
    """Return one row for each contestant."""
    lines = [
        "| Step | Precision | Median, ms | Least, ms | Most, ms | Plain steps | Of least times "
        "| Straightforward takes, times | its batches ready |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for contestant, own in seconds.items():
        plain = seconds[PclContestant(PLAIN, contestant.precision)]
        cells = [
            contestant.program,
            contestant.precision,
            *(f"{1e3 * value:.1f}" for value in (median(own), min(own), max(own))),
            _quotient(own, plain),
            f"{min(own) / min(plain):.2f}",
            *(_quotient(seconds[other], own) for other in (STRAIGHTFORWARD, STRAIGHTFORWARD_READY)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _quotient(above: Sequence[float], below: Sequence[float]) -> str:
    if above is below:
        return ""
    return spread(quotients(above, below))
