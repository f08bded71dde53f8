"""Measure the page of a sweep with many peers: ``python -m benchmarks.report_page --peers 100``.

The findings of a simulated sweep of 10 peers are enlarged: each new pair has the results of one of the pairs that were
simulated, so the page has the size of a real one. Its means stay those of 10 peers. The findings are not measured.

Shape suffixes: P = peers.
"""

import argparse
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peerkd.arrays import IntArray
from peerkd.config.data import PartitionConfig
from peerkd.reporting import html
from peerkd.reporting.facts import ExperimentFacts
from peerkd.reporting.findings import SweepFindings, compute_findings
from peerkd.reporting.trial_results import TrialResults
from peerkd.results.cost import Cost, RunCost
from peerkd.results.pair_advice import Predictions
from peerkd.results.selection import NO_ROW
from tests.tables import Study


@dataclass(frozen=True)
class Sources:
    """The simulated pair whose results each pair of the enlarged sweep has, as (num_peers, num_peers) indices."""

    student_PP: IntArray
    teacher_PP: IntArray

    @classmethod
    def of(cls, num_run: int, num_peers: int) -> "Sources":
        """Return the sources of ``num_peers`` peers that repeat ``num_run`` simulated peers in turn.

        If both peers of a new pair repeat the same simulated peer, the next simulated peer takes the place of the
        teacher.
        """
        student_PP, teacher_PP = np.indices((num_peers, num_peers)) % num_run
        twins = student_PP == teacher_PP
        return cls(student_PP, np.where(twins, (teacher_PP + 1) % num_run, teacher_PP))

    def enlarge(self, values_PP: NDArray[Any], missing: Any) -> NDArray[Any]:
        """Return the values of all new pairs, with ``missing`` on the diagonal."""
        enlarged = values_PP[self.student_PP, self.teacher_PP]
        diagonal = np.arange(len(enlarged))
        enlarged[diagonal, diagonal] = missing
        return enlarged


def enlarged(
    findings: SweepFindings, facts: ExperimentFacts, *, num_peers: int, num_settings: int
) -> tuple[SweepFindings, ExperimentFacts]:
    """Return findings and facts of more peers, with at most ``num_settings`` distillations for each pair."""
    sources, nan = Sources.of(facts.num_peers, num_peers), np.nan
    results, row_of = _results(findings.results, sources, num_settings=num_settings)

    def predictions(each: Predictions) -> Predictions:
        return Predictions(*(sources.enlarge(getattr(each, field.name), nan) for field in fields(each)))

    settings = {field.name: getattr(findings.settings, field.name) for field in fields(findings.settings)}
    choice, advice, position = findings.choice, findings.advice, findings.position
    peers = np.arange(num_peers) % facts.num_peers
    found = replace(
        findings,
        settings=replace(
            findings.settings, **{name: each[sources.student_PP, sources.teacher_PP] for name, each in settings.items()}
        ),
        choice=replace(
            choice,
            **{name: row_of(getattr(choice, name)) for name in ("chosen", "default", "control")},
            above_student=sources.enlarge(choice.above_student, False),
            above_control=sources.enlarge(choice.above_control, False),
        ),
        advice=replace(
            advice,
            decision=sources.enlarge(advice.decision, ""),
            **{name: predictions(getattr(advice, name)) for name in ("gain", "control_gain", "advantage")},
        ),
        gains={name: sources.enlarge(each, nan) for name, each in findings.gains.items()},
        gain_from_data=sources.enlarge(findings.gain_from_data, nan),
        gain_from_teacher=sources.enlarge(findings.gain_from_teacher, nan),
        position=replace(
            position,
            **{name: getattr(position, name)[peers] for name in ("as_student", "as_teacher")},
            **{name: getattr(position, name)[peers] for name in ("num_as_student", "num_as_teacher")},
            difference=sources.enlarge(position.difference, nan),
        ),
        results=results,
    )
    return found, _facts(facts, sources, peers)


def _facts(facts: ExperimentFacts, sources: Sources, peers: IntArray) -> ExperimentFacts:
    students = facts.improved.students
    config = facts.config.model_copy(update={"partition": PartitionConfig(num_peers=len(peers), public_fraction=0.1)})
    pairs = [
        (int(student), int(teacher)) for student, teacher in np.ndindex(len(peers), len(peers)) if student != teacher
    ]
    total = Cost(worker_seconds=facts.worker_seconds, gpu_seconds=0.0, money=None)
    cost = RunCost(total=total, steps={"distil_pairs": total}, pairs=dict.fromkeys(pairs, total))
    return replace(
        facts,
        config=config,
        train_counts_PK=facts.train_counts_PK[peers],
        distances={name: sources.enlarge(each, 0.0) for name, each in facts.distances.items()},
        peers=tuple(facts.peers[peer] for peer in peers),
        evaluation_sets=tuple(facts.evaluation_sets[peer] for peer in peers),
        improved=replace(
            facts.improved, students=tuple(replace(students[peer], student=new) for new, peer in enumerate(peers))
        ),
        cost=cost,
    )


def _results(results: TrialResults, sources: Sources, *, num_settings: int) -> tuple[TrialResults, Any]:
    """Return the results of the new pairs, and a function from rows of simulated pairs to rows of new pairs.

    The function takes a (simulated peers, simulated peers) array of row numbers, and returns the (num_peers, num_peers)
    array of the corresponding rows in the new results.
    """
    is_control = np.array([each.is_control for each in results.settings])[results.setting]
    kept: dict[tuple[int, int], list[int]] = {}
    needed = {int(row) for by_set in results.roles.values() for rows_PP in by_set.values() for row in rows_PP.ravel()}
    num_kept: dict[tuple[int, int], int] = {}
    for row, pair in enumerate(zip(results.student.tolist(), results.teacher.tolist(), strict=True)):
        is_counted = not is_control[row] and row not in needed
        if is_counted and num_kept.get(pair, 0) >= num_settings:
            continue
        num_kept[pair] = num_kept.get(pair, 0) + (not is_control[row])
        kept.setdefault(pair, []).append(row)
    num_peers = len(sources.student_PP)
    olds, students, teachers = [], [], []
    starts: dict[tuple[int, int], int] = {}
    num = 0
    for student in range(num_peers):
        base = int(sources.student_PP[student, 0])
        for teacher in range(-1, num_peers):
            if teacher == student:
                continue
            pair = (base, -1) if teacher < 0 else (base, int(sources.teacher_PP[student, teacher]))
            rows = kept.get(pair, [])
            starts[student, teacher] = num
            num += len(rows)
            olds += rows
            students += [student] * len(rows)
            teachers += [teacher] * len(rows)
    place = {row: index for rows in kept.values() for index, row in enumerate(rows)}
    old = np.array(olds)

    def row_of(rows_PP: IntArray) -> IntArray:
        new_PP = np.full((num_peers, num_peers), NO_ROW, dtype=np.int64)
        for student, teacher in np.ndindex(num_peers, num_peers):
            row = int(rows_PP[sources.student_PP[student, teacher], sources.teacher_PP[student, teacher]])
            if student != teacher and row != NO_ROW:
                owner = teacher if results.teacher[row] >= 0 else -1
                new_PP[student, teacher] = starts[student, owner] + place[row]
        return new_PP

    changed: Mapping[str, Any] = {
        field.name: getattr(results, field.name)[old]
        for field in fields(results)
        if field.name in ("setting", "num_right", "num_wrong", "own_gain", "forgetting", "gain_from_teacher", "gain")
    }
    changes = {role: sources.enlarge(each, np.nan) for role, each in results.class_changes.items()}
    return (
        replace(
            results,
            student=np.array(students),
            teacher=np.array(teachers),
            roles={
                role: {name: row_of(rows) for name, rows in by_set.items()} for role, by_set in results.roles.items()
            },
            class_changes=changes,
            curves={},
            **changed,
        ),
        row_of,
    )


def measure(findings: SweepFindings, facts: ExperimentFacts) -> str:
    """Return the size of a page, the time to write it, and the largest memory of this process, in words."""
    start = time.perf_counter()
    page = html.render(findings, facts)
    seconds = time.perf_counter() - start
    peak_bytes = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (
        f"{facts.num_peers} peers, {len(findings.results.student):,} trials: {len(page.encode()) / 1e6:.1f} MB in "
        f"{seconds:.1f} s, {peak_bytes / 2**20:.0f} MiB at most"
    )


def main(arguments: list[str]) -> None:
    """Enlarge a simulated sweep of 10 peers and measure its page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report_page", description=__doc__)
    parser.add_argument("--peers", type=int, default=100)
    parser.add_argument("--settings", type=int, default=25, help="distillations of each pair")
    options = parser.parse_args(arguments)
    study = Study()
    findings = compute_findings(study.table, study.facts)
    print(measure(*enlarged(findings, study.facts, num_peers=options.peers, num_settings=options.settings)))


if __name__ == "__main__":
    main(sys.argv[1:])
