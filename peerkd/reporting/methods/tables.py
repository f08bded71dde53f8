"""The findings of a study of methods as text: a CSV file of accuracies, flat numbers, and lines for a terminal."""

import csv
import io
import math

from peerkd.config.methods import METHODS
from peerkd.reporting.facts import PclFacts
from peerkd.reporting.methods import wording
from peerkd.reporting.methods.findings import MAIN_METHOD, MethodFindings
from peerkd.results.intervals import Estimate
from peerkd.results.seeds import MIN_SEEDS, verdict
from peerkd.wording import plural


def methods_csv(findings: MethodFindings) -> str:
    """Return one line for each architecture, method and kind of accuracy. All numbers are fractions on test.

    ``difference`` is the accuracy minus that of the baseline's deployed predictor. It is a mean over the ``num_paired``
    seeds with which both the method and the baseline have a result. It is empty for the baseline itself, and if no
    such seed exists.
    """
    comparison = findings.comparison
    rows = []
    for (architecture, method, role), scores in comparison.scores.items():
        mean, deviation, num = scores.spread
        difference = comparison.over_baseline(architecture, method, role=role)
        rows.append(
            {
                "architecture": architecture,
                "method": method,
                "role": role,
                "predictor": scores.predictor,
                "num_seeds": str(num),
                "num_diverged": str(comparison.num_diverged[architecture, method]),
                "mean": _cell(mean),
                "standard_deviation": _cell(deviation),
                "baseline": comparison.baseline,
                "num_paired": str(difference.num) if difference else "",
                "difference": _cell(difference.value) if difference else "",
                "low": _cell(difference.low) if difference else "",
                "high": _cell(difference.high) if difference else "",
                "verdict": verdict(difference) if difference and difference.num else "",
            }
        )
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def metrics(findings: MethodFindings) -> dict[str, float]:
    """Return the available headline numbers as floats, for a table of metrics. Their names contain the units."""
    values: dict[str, float] = {
        "num_comparisons": float(findings.num_comparisons),
        "num_runs_diverged": float(sum(findings.comparison.num_diverged.values())),
    }
    for (architecture, method, role), scores in findings.comparison.scores.items():
        if role == "deployed":
            values[f"{architecture}_{method}_accuracy_pct"] = 100 * scores.spread.mean
    for (architecture, method), difference in findings.over_baseline.items():
        name = f"{architecture}_{method}_over_baseline"
        values[f"{name}_points"] = 100 * difference.value
        values[f"{name}_low_points"] = 100 * difference.low
        values[f"{name}_high_points"] = 100 * difference.high
    return {name: value for name, value in values.items() if not math.isnan(value)}


def summary(findings: MethodFindings, facts: PclFacts) -> dict[str, float | str]:
    """Return the headline numbers and their context as a flat mapping."""
    return {
        "study": facts.config.name,
        "config_fingerprint": facts.config_fingerprint,
        "baseline": findings.comparison.baseline,
        "num_seeds": float(facts.config.num_seeds),
        "num_runs": float(len(facts.runs)),
        "num_test_samples": float(facts.num_test_samples),
        "seconds": sum(run.seconds for run in facts.runs),
        **metrics(findings),
    }


def terminal_summary(findings: MethodFindings, facts: PclFacts) -> str:
    """Return the findings as plain text of at most 80 columns."""
    comparison = findings.comparison
    lines = [
        f"{facts.config.name}: {plural(len(comparison.methods), 'method')}, "
        f"{plural(facts.config.num_seeds, 'seed')}, {plural(len(facts.runs), 'run')}",
        f"test accuracy in % ({facts.num_test_samples:,} samples) of the deployed predictor after the last",
        "epoch, +- the standard deviation over seeds; difference to",
        f"{METHODS[comparison.baseline].title} in points, paired over seeds, +- half of the 95 % interval",
    ]
    for architecture in comparison.architectures:
        lines += ["", f"{architecture:<33}{'accuracy':>15}  {'difference':<15} verdict"]
        for method in comparison.methods:
            spread = comparison.scores[architecture, method, "deployed"].spread
            line = f"  {METHODS[method].title:<32}{wording.spread(spread):>14}"
            difference = findings.over_baseline.get((architecture, method))
            if difference:
                half_width = (difference.high - difference.low) / 2
                margin = "" if math.isnan(half_width) else f" +- {100 * half_width:.2f}"
                line += f"  {wording.points(difference.value) + margin:<15} {_verdict(difference)}"
            num_diverged = comparison.num_diverged[architecture, method]
            if num_diverged and spread.num:
                line = f"{line.rstrip()} ({num_diverged} of {plural(num_diverged + spread.num, 'run')} diverged)"
            lines.append(line.rstrip())
    if findings.main_over_others:
        verdicts = [verdict(difference) for difference in findings.main_over_others.values()]
        counts = ", ".join(f"{verdicts.count(each)} {each}" for each in ("above", "below", "undecided"))
        lines += ["", f"{METHODS[MAIN_METHOD].title} against the other methods: {counts}"]
    if any(0 < difference.num < MIN_SEEDS for difference in findings.over_baseline.values()):
        lines += ["no verdict: a difference over one seed has no interval"]
    lines.append(f"not corrected for the number of comparisons ({findings.num_comparisons})")
    return "\n".join(lines)


def _verdict(difference: Estimate) -> str:
    if difference.has_interval:
        return verdict(difference)
    return "same for all" if difference.num >= MIN_SEEDS else ""


def _cell(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"
