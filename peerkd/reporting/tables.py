"""The findings of a full sweep as text: a CSV file of pairs, flat numbers, and lines for a terminal."""

import csv
import io
import math
import textwrap
from collections.abc import Sequence
from typing import Final

import numpy as np

from peerkd.arrays import FloatArray
from peerkd.reporting.controls import control_name
from peerkd.reporting.facts import ExperimentFacts
from peerkd.reporting.findings import TREATMENTS, SweepFindings
from peerkd.reporting.headline import diverged
from peerkd.reporting.improved import terminal_line
from peerkd.reporting.peer_answers import terminal_lines
from peerkd.reporting.verdict import answers_of_sweep, pairs_that_differ, students_in_words
from peerkd.reporting.wording import (
    NO_INTERVALS,
    default_recipe,
    default_setting,
    interval,
    points,
    share_of,
    single_setting,
    tried_losses_in_words,
)
from peerkd.results.intervals import Estimate
from peerkd.results.pair_advice import DECISIONS, Predictions
from peerkd.results.pair_rows import NO_ROW
from peerkd.wording import plural

_NUM_COLUMNS: Final = 80
"""The width of the lines for a terminal."""


def pairs_csv(findings: SweepFindings, names: Sequence[str] = ()) -> str:
    """Return one line for each ordered pair. Gains are fractions of accuracy on test. A missing value is empty.

    ``decision`` is distil, fine_tune or leave. ``predicted_gain`` is the gain of the setting over the unchanged
    student, and ``predicted_advantage`` is its gain over the best training without a teacher, both as predicted for the
    test set. Two columns with the bounds of the interval follow each of them. ``test_global_difference`` is the
    accuracy of the chosen setting minus that of the untuned default, on the same samples of the global test set.

    Args:
        findings: The findings.
        names: What the peers are called. If they have names, the last two columns are the names of student and teacher.
    """
    gain = f"test_{findings.scope}_gain"
    settings, paired = findings.settings, findings.comparison.paired
    columns = {
        "transfer_set": settings.transfer_set,
        "temperature": settings.temperature,
        "alpha": settings.alpha,
        "distillation_weight": settings.distillation_weight,
        **{name: getattr(settings, name) for name in findings.default.dimensions},
        "is_default_recipe": settings.is_default_recipe.astype(np.int64),
        gain: findings.gains["chosen"],
        f"{gain}_from_data": findings.gain_from_data,
        f"{gain}_from_teacher": findings.gain_from_teacher,
        **{f"{treatment}_{gain}": findings.gains[treatment] for treatment in TREATMENTS if treatment != "chosen"},
        "decision": findings.advice.decision,
        **_predictions("predicted_gain", findings.advice.gain),
        **_predictions("predicted_advantage", findings.advice.advantage),
        "test_global_difference": paired.difference,
        "test_global_difference_standard_error": paired.standard_error,
        "test_global_difference_p_value": paired.p_value,
    }
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["student", "teacher", *columns, *name_columns(names)])
    for student, teacher in np.argwhere(findings.choice.chosen != NO_ROW):
        cells = [_cell(values[student, teacher]) for values in columns.values()]
        writer.writerow([student, teacher, *cells, *named(names, student, teacher)])
    return text.getvalue()


def name_columns(names: Sequence[str]) -> list[str]:
    """Return the columns with the names of a student and a teacher; empty if all peers have only numbers."""
    return [] if all(map(str.isdigit, names)) else ["student_name", "teacher_name"]


def named(names: Sequence[str], student: int, teacher: int) -> list[str]:
    """Return the values of ``name_columns``."""
    return [names[student], names[teacher]] if name_columns(names) else []


def metrics(findings: SweepFindings) -> dict[str, float]:
    """Return the available headline numbers as floats, for a table of metrics. Their names contain the units."""
    comparison = findings.comparison
    values = {f"{name}_gain_points": 100 * findings.mean_gains[name, findings.scope].value for name in TREATMENTS}
    values |= _with_bounds("tuned_over_default", comparison.tuned_over_default)
    values |= _with_bounds("tuned_over_single", findings.tuned_over_single)
    values |= _with_bounds("gain_from_data", findings.mean_gain_from_data)
    values |= _with_bounds("gain_from_teacher", findings.mean_gain_from_teacher)
    values |= _with_bounds("right_over_wrong_position", findings.position.preferred_over_other)
    values |= {
        "tuned_over_default_ratio": math.nan if comparison.ratio.value is None else comparison.ratio.value,
        "share_of_pairs_away_from_default": comparison.share_not_default.value,
        "share_of_pairs_that_beat_default": comparison.share_wins.value,
        "num_pairs": float(findings.num_pairs),
        **{f"num_pairs_to_{name}": float(findings.advice.count(name)) for name in DECISIONS},
        "num_pairs_where_nothing_helps": float(findings.num_pairs_where_nothing_helps),
        **_with_bounds("advised_over_best_control", findings.advice_on_test.over_best_control),
        "num_peers_diverged": float(len(findings.divergence.peers)),
        "num_trials_diverged": float(findings.divergence.num_trials_diverged),
    }
    return {name: float(value) for name, value in values.items() if not math.isnan(value)}


def summary(findings: SweepFindings, facts: ExperimentFacts) -> dict[str, float | str | None]:
    """Return the headline numbers and their context as a flat mapping. A missing number is None."""
    decided = [each for each in facts.improved.students if each.decision == "distil"]
    return {
        "experiment": facts.config.name,
        "config_fingerprint": facts.config_fingerprint,
        "loss": tried_losses_in_words(facts.config),
        "scope": findings.scope,
        "num_peers": float(facts.num_peers),
        "num_trials": float(facts.num_trials),
        "num_validation_samples": float(facts.num_validation_samples),
        "num_test_samples": float(facts.num_test_samples),
        "worker_seconds": facts.worker_seconds,
        "default_setting": default_setting(findings.default),
        "single_setting": single_setting(findings.single),
        "tuned_over_default_ratio": None,
        "why_no_ratio": findings.comparison.ratio.reason,
        "num_peers_to_distil": float(len(decided)),
        **metrics(findings),
    }


def terminal_summary(findings: SweepFindings, facts: ExperimentFacts) -> str:
    """Return the findings as plain text of at most 80 columns."""
    comparison, scope, advice = findings.comparison, findings.scope, findings.advice
    means = {treatment: findings.mean_gains[treatment, scope] for treatment in TREATMENTS}
    forgotten = [
        f"{change.transfer_set} {100 * change.forgetting.value:.1f}"
        for change in findings.forgetting.changes
        if change.role == "chosen"
    ]
    default = default_recipe(findings.transfer_sets, findings.default)
    lines = [
        f"{facts.config.name}: {plural(findings.num_pairs, 'ordered pair')} of {facts.peers_in_words}, "
        f"{plural(facts.num_trials, 'trial')}",
        f"chosen on {facts.num_validation_samples:,} validation samples, "
        f"reported on {facts.num_test_samples:,} test samples",
        *textwrap.wrap(f"loss: {tried_losses_in_words(facts.config)}", width=_NUM_COLUMNS),
        *([] if findings.has_intervals else textwrap.wrap(NO_INTERVALS, width=_NUM_COLUMNS)),
        "",
        *(line for text in students_in_words(facts) for line in textwrap.wrap(text, width=_NUM_COLUMNS)),
        *terminal_lines(answers_of_sweep(facts)),
        "",
        f"{'mean ' + scope + ' gain in points of accuracy':<44}{'gain':>7}"
        + ("  95 % interval" if findings.has_intervals else ""),
        _line("best setting of each pair", means["chosen"], num_diverged=findings.num_pairs_without["chosen"]),
        _line("one setting for all pairs", means["single"], num_diverged=findings.num_pairs_without["single"]),
        f"    ({single_setting(findings.single)})",
        _line("untuned default", means["default"], num_diverged=findings.num_pairs_without["default"]),
        f"    ({default_setting(findings.default)})",
        _line(
            control_name(findings.num_imitations),
            means["control"],
            num_diverged=findings.num_pairs_without["control"],
        ),
        _line("tuned over default", comparison.tuned_over_default),
        _line("teacher's part of the best setting's gain", findings.mean_gain_from_teacher),
        _line("better over worse direction of two peers", findings.position.preferred_over_other),
        "",
        *textwrap.wrap(f"pairs away from {default}: {share_of(comparison.share_not_default)}", width=_NUM_COLUMNS),
        "pairs whose chosen setting (transfer set included) beats the default",
        f"  beyond the noise of their own test samples: {share_of(comparison.share_wins)}",
        f"pairs judged alone: with a teacher {advice.count('distil')}, trained on without "
        f"{advice.count('fine_tune')}, unchanged {advice.count('leave')}",
        *textwrap.wrap(pairs_that_differ(advice.student_decisions(), facts), width=_NUM_COLUMNS),
        f"accuracy forgotten per class, by set: {', '.join(forgotten)}",
        *textwrap.wrap(diverged(findings, facts), width=_NUM_COLUMNS),
        terminal_line(facts.improved),
    ]
    return "\n".join(lines)


def _line(label: str, estimate: Estimate, *, num_diverged: int = 0) -> str:
    missing = f", {num_diverged:,} diverged" if num_diverged else ""
    # The summary says once, above, that there are no intervals.
    bounds = f"  {interval(estimate)}" if estimate.has_interval else ""
    return f"  {label:<42}{points(estimate.value):>7}{bounds}{missing}"


def _with_bounds(name: str, estimate: Estimate) -> dict[str, float]:
    return {
        f"{name}_points": 100 * estimate.value,
        f"{name}_low_points": 100 * estimate.low,
        f"{name}_high_points": 100 * estimate.high,
    }


def _predictions(name: str, predictions: Predictions) -> dict[str, FloatArray]:
    return {name: predictions.value, f"{name}_low": predictions.low, f"{name}_high": predictions.high}


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)
