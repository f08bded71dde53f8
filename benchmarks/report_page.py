"""Measure the report of a sweep with many peers: ``python -m benchmarks.report_page --peers 100``.

The table of a simulated sweep of 10 peers is enlarged: each new pair has the trials of one of the pairs that were
simulated, so the table, the findings and the page have the size of real ones.

Shape suffixes: P = peers, K = classes.
"""

import argparse
import resource
import sys
import time
from dataclasses import replace

import numpy as np
import pyarrow as pa

from peerkd.arrays import IntArray
from peerkd.config.data import PartitionConfig
from peerkd.reporting import html
from peerkd.reporting.facts import ExperimentFacts
from peerkd.reporting.findings import compute_findings
from peerkd.results.cost import Cost, RunCost
from peerkd.study.pairs import Pairs
from tests.tables import Study

TEMPERATURES = (1.0, 2.0, 4.0, 8.0, 16.0)
ALPHAS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""The alphas of the grid. With one transfer set, each pair has 25 distillations and a control."""


def enlarged(study: Study, *, num_peers: int) -> tuple[pa.Table, ExperimentFacts]:
    """Return the table of trials and the facts for the report of more peers than were simulated.

    Every two peers are a pair.
    """
    pairs = Pairs(range(num_peers))
    rows_of = simulated_rows(study)
    listed = [pairs.pair(number) for number in range(pairs.num_pairs)]
    parts = [rows_of[simulated_pair(pair, num_run=len(study.facts.peers))] for pair in listed]
    table = study.table.take(pa.array(np.concatenate(parts)))
    lengths = [len(part) for part in parts]
    for name, peers in zip(("student", "teacher"), pairs.as_arrays(), strict=True):
        column = pa.array(np.repeat(peers, lengths), table.schema.field(name).type)
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), column)
    # A table is in memory as a whole when it is read, not as pieces of another one.
    return table.combine_chunks(), enlarged_facts(study, num_peers=num_peers, num_trials=table.num_rows)


def simulated_rows(study: Study) -> dict[tuple[int, int], IntArray]:
    """Return the rows of each simulated pair, by student and teacher."""
    student, teacher = (study.table[name].to_numpy() for name in ("student", "teacher"))
    pairs = Pairs(range(len(study.facts.peers)))
    return {
        pair: np.flatnonzero((student == pair[0]) & (teacher == pair[1]))
        for pair in map(pairs.pair, range(pairs.num_pairs))
    }


def simulated_pair(pair: tuple[int, int], *, num_run: int) -> tuple[int, int]:
    """Return the simulated pair whose trials a pair repeats.

    Peer ``p`` repeats the simulated peer ``p`` modulo their number. If both peers of a pair repeat the same simulated
    peer, the next simulated peer takes the place of the teacher.
    """
    student, teacher = (peer % num_run for peer in pair)
    return student, teacher if student != teacher else (teacher + 1) % num_run


def enlarged_facts(
    study: Study, *, num_peers: int, num_trials: int, num_partners: int | None = None
) -> ExperimentFacts:
    """Return the facts for the report of an experiment with more peers, each of which repeats a simulated one."""
    facts = study.facts
    sources_P = np.arange(num_peers) % len(facts.peers)
    students = facts.improved.students
    sweep = facts.config.sweep.model_copy(update={"num_partners": num_partners})
    partition = PartitionConfig(num_peers=num_peers, public_fraction=0.1)
    config = facts.config.model_copy(update={"partition": partition, "sweep": sweep})
    total = Cost(worker_seconds=facts.worker_seconds, gpu_seconds=0.0, money=None)
    pairs = config.pairs()
    return replace(
        facts,
        config=config,
        names=tuple(map(str, range(num_peers))),
        train_counts_PK=facts.train_counts_PK[sources_P],
        distances={name: each[np.ix_(sources_P, sources_P)] for name, each in facts.distances.items()},
        peers=tuple(facts.peers[peer] for peer in sources_P),
        evaluation_sets=tuple(facts.evaluation_sets[peer] for peer in sources_P),
        improved=replace(
            facts.improved, students=tuple(replace(students[peer], student=new) for new, peer in enumerate(sources_P))
        ),
        num_trials=num_trials,
        cost=RunCost(
            total=total,
            steps={"distil_pairs": total},
            pairs=dict.fromkeys(map(pairs.pair, range(pairs.num_pairs)), total),
        ),
    )


def measure(table: pa.Table, facts: ExperimentFacts) -> str:
    """Return the times to compute the findings and to write the page, its size, and the peak memory, in words."""
    start = time.perf_counter()
    findings = compute_findings(table, facts)
    computed = time.perf_counter()
    page = html.render(findings, facts)
    rendered = time.perf_counter()
    peak_bytes = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (
        f"{facts.num_peers} peers, {table.num_rows:,} trials: findings in {computed - start:.1f} s, page of "
        f"{len(page.encode()) / 1e6:.1f} MB in {rendered - computed:.1f} s, {peak_bytes / 2**20:.0f} MiB at most"
    )


def main(arguments: list[str]) -> None:
    """Enlarge a simulated sweep of 10 peers and measure its report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report_page", description=__doc__)
    parser.add_argument("--peers", type=int, default=100)
    options = parser.parse_args(arguments)
    study = Study(temperatures=TEMPERATURES, alphas=ALPHAS, transfer_sets=("both",))
    print(measure(*enlarged(study, num_peers=options.peers)))


if __name__ == "__main__":
    main(sys.argv[1:])
