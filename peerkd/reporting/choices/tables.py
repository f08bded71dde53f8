"""The findings of a tuned study as text: a CSV file of the plan, flat numbers, and lines for a terminal."""

import csv
import io
import math
from collections.abc import Sequence
from typing import Final

from peerkd.reporting.choices.findings import TuningFindings
from peerkd.reporting.choices.headline import (
    answers_of_study,
    describe,
    headline,
    pairs_in_words,
    students_in_words,
)
from peerkd.reporting.facts import ExperimentFacts
from peerkd.reporting.improved import terminal_line
from peerkd.reporting.peer_answers import terminal_lines
from peerkd.reporting.tables import name_columns, named
from peerkd.reporting.verdict import count_who_learns
from peerkd.reporting.wording import points, tried_losses_in_words
from peerkd.study.defaults import DIMENSIONS

_NUM_SHOWN: Final = 5
_COLUMNS: Final = (
    *("student", "teacher", "transfer_set", "temperature", "alpha", *DIMENSIONS),
    *("expected_gain", "corrected_gain_low", "corrected_gain_high", "advantage", "advantage_low", "advantage_high"),
    *("predicted_gain_deviation", "validation_gain", "test_gain", "num_trials", "epochs"),
)


def plan_csv(findings: TuningFindings, names: Sequence[str] = ()) -> str:
    """Return one line for each recommendation to distil. Gains are fractions of accuracy.

    Args:
        findings: The findings.
        names: What the peers are called. If they have names, the last two columns are the names of student and teacher.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [name for name in _COLUMNS if name not in DIMENSIONS or name in findings.dimensions]
    writer.writerow([*columns, "expected_gain_in_other_position", *name_columns(names)])
    for advice in findings.plan:
        values = [*(getattr(advice.choice, name) for name in columns), advice.other_gain]
        cells = [f"{value:.6g}" if isinstance(value, float) else value for value in values]
        writer.writerow([*cells, *named(names, advice.choice.student, advice.choice.teacher)])
    return text.getvalue()


def metrics(findings: TuningFindings) -> dict[str, float]:
    """Return the available headline numbers as floats, for a table of metrics. Their names contain the units."""
    values = {
        "expected_gain_points": 100 * findings.mean_expected.value,
        "tested_gain_points": 100 * findings.mean_test.value,
        "spent_percent_of_full_sweep": 100 * findings.cost.spent_share,
        "num_trials": float(findings.cost.num_trials),
        "num_pairs": float(findings.num_pairs),
        "num_pairs_distilled": float(findings.num_distilled),
        "num_pairs_fine_tuned": float(findings.count("fine_tune")),
        "num_pairs_not_tried": float(len(findings.untried_pairs)),
        "num_peers_diverged": float(len(findings.divergence.peers)),
        "num_trials_diverged": float(findings.divergence.num_trials_diverged),
    }
    return {name: value for name, value in values.items() if not math.isnan(value)}


def summary(findings: TuningFindings, facts: ExperimentFacts) -> str:
    """Return the result in one line."""
    return (
        f"{facts.config.name}: {count_who_learns(facts)}; the study cost {100 * findings.cost.spent_share:.2f} % of a "
        "full sweep"
    )


def terminal_summary(findings: TuningFindings, facts: ExperimentFacts) -> str:
    """Return the findings for a terminal."""
    lines = [summary(findings, facts), f"  loss: {tried_losses_in_words(facts.config)}"]
    lines += [f"  {text}" for text in students_in_words(facts)]
    lines += terminal_lines(answers_of_study(facts))
    lines += [f"  {named.text}" for named in headline(findings, facts) if named.topic != "Plan"]
    lines.append(f"  {pairs_in_words(findings, facts)}")
    if findings.plan:
        shown = f", {_NUM_SHOWN} of {len(findings.plan):,}" if len(findings.plan) > _NUM_SHOWN else ""
        lines += [
            f"pairs in which learning pays off, each judged alone, largest expected gain first{shown}",
            "(of every two peers, only the better position):",
        ]
    for place, advice in enumerate(findings.plan[:_NUM_SHOWN]):
        gain = advice.choice.expected_gain
        lines.append(f"  {'' if gain is None else points(gain):>7}  {describe(findings, facts, place)}")
    return "\n".join([*lines, terminal_line(facts.improved)])
