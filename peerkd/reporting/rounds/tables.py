"""The findings of rounds as text: a CSV file, flat numbers, and lines for a terminal."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from peerkd.excerpt import plain
from peerkd.reporting.facts import RoundsFacts
from peerkd.reporting.rounds.findings import MethodRounds
from peerkd.reporting.wording import points
from peerkd.rounds import ROUND_METHODS
from peerkd.wording import format_bytes, plural

COLUMNS: Final = (
    *("method", "round", "mean_test_accuracy", "worst_test_accuracy", "mean_own_test_accuracy"),
    *("mean_validation_accuracy", "sent_bytes_per_peer", "received_bytes_per_peer", "num_samples_per_peer"),
    *("num_rejected", "total_sent_bytes_per_peer", "total_num_samples_per_peer"),
)

Found = Mapping[str, MethodRounds]


def methods_csv(found: Found) -> str:
    """Return one line for each method and round. Bytes and samples are means over the peers.

    The columns whose names begin with ``total_`` cover all rounds up to the end of this one. The other columns with
    bytes and samples cover this round alone.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for method, each in found.items():
        accuracies = (each.mean_by_round, each.worst_by_round, each.own_mean_by_round, each.validation_RP.mean(axis=1))
        means = (each.sent_bytes_RP, each.received_bytes_RP, each.num_samples_RP)
        num_rejected = (~each.is_accepted_RP).sum(axis=1)
        totals = (each.sent_bytes_by_round, each.num_samples_by_round)
        columns = (*accuracies, *(values_RP.mean(axis=1) for values_RP in means), num_rejected, *totals)
        for round, values in enumerate(zip(*columns, strict=True)):
            writer.writerow((method, round, *(_number(value) for value in values)))
    return text.getvalue()


def classes_csv(found: Found, class_names: Sequence[str]) -> str:
    """Return one line for each method, round and class, with the accuracy on the common test samples of the class."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("method", "round", "class", "mean_test_accuracy", "worst_test_accuracy"))
    for method, each in found.items():
        if each.class_RPK is None:
            continue
        for round, accuracy_PK in enumerate(each.class_RPK):
            for name, accuracy_P in zip(class_names, accuracy_PK.T, strict=True):
                values = (accuracy_P.mean(), accuracy_P.min())
                writer.writerow((method, round, name, *("" if np.isnan(value) else _number(value) for value in values)))
    return text.getvalue()


def teachers_csv(found: Found, peers: Sequence[int]) -> str:
    """Return one line for each peer and each of its teachers in each round: whose knowledge the peer accepted.

    Args:
        found: The findings.
        peers: The number of each peer that takes part.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("method", "round", "peer", "teacher", "share", "is_accepted"))
    for method, each in found.items():
        for round, shares_P in enumerate(each.shares_RP):
            for index, shares in enumerate(shares_P):
                is_accepted = str(bool(each.is_accepted_RP[round, index])).lower()
                for teacher, share in shares.items():
                    writer.writerow((method, round, peers[index], teacher, _number(share), is_accepted))
    return text.getvalue()


def metrics(found: Found) -> dict[str, float]:
    """Return the headline numbers as floats, for a table of metrics. Their names contain the units."""
    values: dict[str, float] = {}
    for method, each in found.items():
        values[f"{method}_mean_accuracy_pct"] = 100 * float(each.mean_by_round[-1])
        values[f"{method}_worst_accuracy_pct"] = 100 * float(each.worst_by_round[-1])
        values[f"{method}_own_accuracy_pct"] = 100 * float(each.own_mean_by_round[-1])
        values[f"{method}_sent_bytes_per_peer"] = float(each.sent_bytes_by_round[-1])
        values[f"{method}_num_samples_per_peer"] = float(each.num_samples_by_round[-1])
        change_K = each.class_changes
        if change_K is not None:
            values[f"{method}_worst_class_change_points"] = 100 * float(np.nanmin(change_K))
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
        f"{'':<22}{'round 1':>9}{'last':>8}{'worst':>8}{'own':>8}{'sent by a peer':>16}",
        f"{'before the rounds':<22}{'':>9}{_percent(first.mean_by_round[0]):>8}{_percent(first.worst_by_round[0]):>8}"
        f"{_percent(first.own_mean_by_round[0]):>8}",
    ]
    for method, each in found.items():
        line = f"{ROUND_METHODS[method].title:<22}{_percent(each.mean_by_round[1]):>9}"
        line += f"{_percent(each.mean_by_round[-1]):>8}"
        line += f"{_percent(each.worst_by_round[-1]):>8}{_percent(each.own_mean_by_round[-1]):>8}"
        line += f"{format_bytes(round(float(each.sent_bytes_by_round[-1]))):>16}"
        lines.append(line)
    lines += ["", *_classes_lines(first, facts)] if first.class_changes is not None else []
    rejected = [
        f"{ROUND_METHODS[method].title} {each.num_rejected:,} of {each.num_proposals:,}"
        for method, each in found.items()
        if each.num_rejected
    ]
    lines += ["", "proposals that peers rejected:", *(f"  {text}" for text in rejected)] if rejected else []
    return "\n".join(lines)


def _classes_lines(main: MethodRounds, facts: RoundsFacts) -> list[str]:
    """Return lines of text on how the accuracy on each class changed with the first method."""
    change_K = main.class_changes
    assert change_K is not None
    known = [k for k in np.argsort(change_K) if not np.isnan(change_K[k])]
    num_gain = sum(change_K[k] > 0 for k in known)
    ends = [f"{plain(facts.class_names[k])} {points(float(change_K[k]))}" for k in (known[0], known[-1])]
    title = ROUND_METHODS[facts.config.rounds.methods[0]].title
    return [
        f"{num_gain} of {plural(len(known), 'class', 'classes')} gain with {title};",
        f"change in points from {ends[0]} to {ends[1]}",
    ]


def _number(value: float) -> str:
    return f"{value:.6g}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"
