"""Measure a study of a thousand peers: ``python -m benchmarks.many_peers --peers 1000 --partners 10``.

The plan is made as ``peerkd plan`` makes it, the table is written by the functions of a sweep, and the report is
computed from the file. Only the trainings are simulated: each pair has the records of one of the pairs of ten simulated
peers.
"""

import argparse
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.machine_facts import load_average
from benchmarks.markdown import table as markdown_table
from benchmarks.report_page import enlarged_facts, simulated_pair, simulated_rows
from peerkd.cli.plan_lines import sweep_lines
from peerkd.config.experiment import ExperimentConfig
from peerkd.reporting import html, tables
from peerkd.reporting.findings import compute_findings
from peerkd.results.schema import CORRECT_BITS
from peerkd.results.spill import write_trials
from peerkd.results.table import RECORD_COLUMNS, mapped_table
from peerkd.stages.work.tuning.space import build_space
from peerkd.training.forecast import PartitionSizes, forecast
from tests.tables import Study

TEMPERATURES = (1.0, 2.0, 4.0, 8.0)
ALPHAS = (0.5, 0.9)
"""The alphas of the grid. With one transfer set, each pair has eight distillations and a control."""

_HEADER = ("step", "size", "CPU seconds", "seconds", "largest memory so far, MiB")


class Steps:
    """The time and the memory of each step, as rows of a table."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, ...]] = []

    @contextmanager
    def measured(self, name: str) -> Iterator[list[str]]:
        """Measure the time and the memory of a ``with`` block.

        The block appends the size of its result, in words, to the list.
        """
        size: list[str] = []
        cpu, start = time.process_time(), time.perf_counter()
        yield size
        seconds = (time.process_time() - cpu, time.perf_counter() - start)
        peak_bytes = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        texts = [f"{each:.1f}" for each in seconds]
        self.rows.append((name, ", ".join(size), *texts, f"{peak_bytes / 2**20:,.0f}"))
        print(" | ".join(self.rows[-1]), file=sys.stderr, flush=True)


def records(study: Study, config: ExperimentConfig) -> Iterator[dict[str, Any]]:
    """Yield the records of all pairs, in the form in which journals have them."""
    simulated = study.table.select(RECORD_COLUMNS).to_pylist()
    for record in simulated:
        record |= {name: record[name].hex() for name in CORRECT_BITS.values()}
    rows_of, pairs = simulated_rows(study), config.pairs()
    for number in range(pairs.num_pairs):
        student, teacher = pairs.pair(number)
        for row in rows_of[simulated_pair((student, teacher), num_run=len(study.facts.peers))].tolist():
            yield simulated[row] | {"student": student, "teacher": teacher}


def measure(study: Study, folder: Path, *, num_peers: int, num_partners: int | None) -> list[tuple[str, ...]]:
    """Measure each step of a study and return the rows of the table of results."""
    steps = Steps()
    sizes = np.random.default_rng(0).integers(50, 400, num_peers).tolist()
    samples = PartitionSizes(
        training_by_peer=tuple(sizes),
        validation=study.facts.num_validation_samples,
        test=study.facts.num_test_samples,
        public=1_000,
        own=100,
        total=sum(sizes),
        image_shape_CHW=(1, 8, 8),
        num_classes=10,
    )
    with steps.measured("plan") as size:
        facts = enlarged_facts(study, num_peers=num_peers, num_trials=0, num_partners=num_partners)
        expected = forecast(facts.config, samples)
        assert list(sweep_lines(facts.config, expected))
        size.append(f"{expected.num_pairs:,} pairs, {expected.num_trials:,} trials")
    with steps.measured("space of a tuned study") as size:
        space = build_space(facts.config, num_train=sizes, num_public=samples.public, features=None)
        size.append(f"{space.num_pairs:,} pairs, {len(space.settings)} settings")
    path = folder / "trials.parquet"
    with steps.measured("table of trials") as size:
        written = write_trials(records(study, facts.config), path, scratch_folder=folder)
        size.append(f"{written.num_trials:,} rows, {path.stat().st_size / 1e6:.1f} MB")
    facts = enlarged_facts(study, num_peers=num_peers, num_trials=written.num_trials, num_partners=num_partners)
    with mapped_table(path) as trials:
        with steps.measured("findings") as size:
            findings = compute_findings(trials, facts)
            size.append(f"{findings.num_pairs:,} pairs")
        with steps.measured("page") as size:
            size.append(f"{len(html.render(findings, facts).encode()) / 1e6:.1f} MB")
        with steps.measured("pairs.csv") as size:
            size.append(f"{len(tables.pairs_csv(findings)) / 1e6:.1f} MB")
    return steps.rows


def main(words: Sequence[str] | None = None) -> int:
    """Print the table of results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_peers", description=__doc__)
    parser.add_argument("--peers", type=int, default=1000)
    parser.add_argument("--partners", type=int, default=10)
    options = parser.parse_args(words)
    study = Study(temperatures=TEMPERATURES, alphas=ALPHAS, transfer_sets=("both",))
    before = load_average()
    with TemporaryDirectory() as folder:
        rows = measure(study, Path(folder), num_peers=options.peers, num_partners=options.partners)
    print(markdown_table(_HEADER, rows))
    print(f"\nLoad average: {before:.1f} before, {load_average():.1f} after.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
