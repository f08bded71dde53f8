"""The findings of rounds as text: a CSV file, flat numbers, and lines for a terminal."""

import csv
import io
from collections.abc import Mapping
from typing import Final

from peerkd.reporting.facts import RoundsFacts
from peerkd.reporting.rounds.findings import MethodRounds
from peerkd.rounds import ROUND_METHODS
from peerkd.wording import format_bytes, plural

COLUMNS: Final = (
    *("method", "round", "mean_test_accuracy", "worst_test_accuracy", "mean_own_test_accuracy"),
    *("mean_validation_accuracy", "sent_bytes_per_peer", "received_bytes_per_peer", "num_samples_per_peer"),
    "num_rejected",
)

Found = Mapping[str, MethodRounds]


def methods_csv(found: Found) -> str:
    """Return one line for each method and round. Bytes and samples are means over the peers, in one round."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for method, each in found.items():
        accuracies = (each.mean_by_round, each.worst_by_round, each.own_mean_by_round, each.validation_RP.mean(axis=1))
        means = (each.sent_bytes_RP, each.received_bytes_RP, each.num_samples_RP)
        num_rejected = (~each.is_accepted_RP).sum(axis=1)
        columns = (*accuracies, *(values_RP.mean(axis=1) for values_RP in means), num_rejected)
        for round, values in enumerate(zip(*columns, strict=True)):
            writer.writerow((method, round, *(f"{value:.6g}" for value in values)))
    return text.getvalue()


def metrics(found: Found) -> dict[str, float]:
    """Return the headline numbers as floats, for a table of metrics. Their names contain the units."""
    values: dict[str, float] = {}
    for method, each in found.items():
        values[f"{method}_mean_accuracy_pct"] = 100 * float(each.mean_by_round[-1])
        values[f"{method}_worst_accuracy_pct"] = 100 * float(each.worst_by_round[-1])
        values[f"{method}_own_accuracy_pct"] = 100 * float(each.own_mean_by_round[-1])
        values[f"{method}_sent_bytes_per_peer"] = float(each.sent_bytes_by_round[-1])
    return values


def summary(found: Found, facts: RoundsFacts) -> dict[str, float | str]:
    """Return the headline numbers and their context as a flat mapping."""
    return {
        "rounds": facts.config.name,
        "config_fingerprint": facts.config_fingerprint,
        "method": facts.config.rounds.methods[0],
        "num_rounds": float(facts.config.rounds.num_rounds),
        "num_peers": float(facts.num_peers),
        "num_test_samples": float(facts.num_test_samples),
        "start_accuracy_pct": 100 * float(next(iter(found.values())).mean_by_round[0]),
        **metrics(found),
    }


def terminal_summary(found: Found, facts: RoundsFacts) -> str:
    """Return the findings as plain text of at most 80 columns."""
    first = next(iter(found.values()))
    lines = [
        f"{facts.config.name}: {plural(facts.num_peers, 'peer')}, "
        f"{plural(facts.config.rounds.num_rounds, 'round')}, {plural(len(found), 'method')}, one seed",
        f"test accuracy in % ({facts.num_test_samples:,} samples), mean and worst over the peers; own:",
        "mean over the peers on samples with their own class distribution",
        "",
        f"{'':<20}{'round 1':>9}{'last':>8}{'worst':>8}{'own':>8}{'sent by a peer':>18}",
        f"{'before the rounds':<20}{'':>9}{_percent(first.mean_by_round[0]):>8}{_percent(first.worst_by_round[0]):>8}"
        f"{_percent(first.own_mean_by_round[0]):>8}",
    ]
    for method, each in found.items():
        line = f"{ROUND_METHODS[method].title:<20}{_percent(each.mean_by_round[1]):>9}"
        line += f"{_percent(each.mean_by_round[-1]):>8}"
        line += f"{_percent(each.worst_by_round[-1]):>8}{_percent(each.own_mean_by_round[-1]):>8}"
        line += f"{format_bytes(round(float(each.sent_bytes_by_round[-1]))):>18}"
        lines.append(line)
    rejected = {method: each.num_rejected for method, each in found.items() if each.num_rejected}
    if rejected:
        named = ", ".join(f"{ROUND_METHODS[method].title} {num:,}" for method, num in rejected.items())
        lines += ["", f"rejected by peers: {named} of {facts.num_peers * facts.config.rounds.num_rounds:,} proposals"]
    return "\n".join(lines)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"
