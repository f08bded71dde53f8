"""Compare the methods of rounds over seeds and over the skew of the peers' data: ``make bench-rounds``.

A cell is one concentration of the Dirichlet distribution and one seed. Each cell is a run of ``peerkd run collaborate``
with a store of its own, which keeps the table of rounds. Repeat a command that was stopped, and it continues within the
cell that it was stopped in. The file of ``--output`` is written again after each seed.
"""

import argparse
import contextlib
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks.machine_facts import closing_facts, load_average
from benchmarks.markdown import facts_table
from benchmarks.rounds.tables import Cells, section
from peerkd.artifacts import references
from peerkd.artifacts.open import open_store
from peerkd.config.pipelines import COLLABORATE
from peerkd.config.resolve import load
from peerkd.reporting.rounds.findings import MethodRounds, compute_findings
from peerkd.results.rounds import read_rounds
from peerkd.rounds import ROUND_METHODS
from peerkd.stages.collaborate_peers import TABLE_NAME
from peerkd.stages.in_process import run_in_process
from peerkd.stages.machine import describe_processor

_STANDARD_ERROR: Final = 2


def main(words: Sequence[str] | None = None) -> int:
    """Run the cells, and print the tables after the last seed."""
    arguments = _parse(words)
    load_before = load_average()
    cells: dict[float, Cells] = {concentration: {} for concentration in arguments.concentrations}
    text = ""
    for seed in arguments.seeds:
        for concentration in arguments.concentrations:
            began = time.perf_counter()
            found = _measure(arguments, concentration, seed)
            if found is None:
                return 1
            cells[concentration][seed] = found
            seconds = time.perf_counter() - began
            print(f"Dirichlet {concentration:g}, seed {seed}: {seconds:.0f} s", file=sys.stderr)
        text = _document(arguments, cells, load_before=load_before)
        if arguments.output:
            arguments.output.write_text(text, encoding="utf-8")
    print(text, end="")
    return 0


def _document(arguments: argparse.Namespace, cells: Mapping[float, Cells], *, load_before: float) -> str:
    facts = {
        "Preset": arguments.preset,
        "Settings": ", ".join(f"`{setting}`" for setting in _settings(arguments)),
        "Seeds": ", ".join(map(str, next(iter(cells.values())))),
        "Values": "percent, as means over the peers and then over seeds, with 95 % intervals over seeds (Student's t); "
        "bytes are those that a peer sends in all rounds, and samples those that it trains on in all rounds; the peers "
        "that lose are those with a lower own accuracy after the last round than before, as a mean number over seeds",
        "Machine": describe_processor(),
        **closing_facts([load_before, load_average()], own_load=2),
    }
    sections = [section(f"Dirichlet {concentration:g}", of_seeds) for concentration, of_seeds in cells.items()]
    return "\n\n".join(["# Rounds between peers", facts_table(facts), *sections]) + "\n"


def _measure(arguments: argparse.Namespace, concentration: float, seed: int) -> Mapping[str, MethodRounds] | None:
    """Run a cell unless its store has the results, and return the rounds of each method; None if the run failed."""
    address = str(arguments.runs / f"dirichlet-{concentration:g}" / f"seed-{seed}")
    settings = [f"seed={seed}", f"partition.label_skew.concentration={concentration:g}", *_settings(arguments)]
    config = load(COLLABORATE, preset=arguments.preset, config_file=None, overrides=settings)
    if arguments.workers != 0:
        command = [sys.executable, "-m", "peerkd", "run", "collaborate", "--preset", arguments.preset]
        command += ["--output", address, *(word for setting in settings for word in ("--set", setting))]
        command += [] if arguments.workers is None else ["--workers", str(arguments.workers)]
        # The progress of the run goes to standard error, so that standard output has the tables alone.
        if subprocess.run(command, check=False, stdout=_STANDARD_ERROR).returncode:
            return None
    with contextlib.redirect_stdout(sys.stderr):
        # After the command, everything is done, and this only finds the report.
        key = run_in_process(config, address)
    store = open_store(address)
    report = store.find(key)
    assert report is not None, "the run has published its report"
    rounds = references.follow(report.metadata["inputs"]["rounds"], store)
    return compute_findings(read_rounds(store.fetch(rounds.key) / TABLE_NAME))


def _settings(arguments: argparse.Namespace) -> list[str]:
    methods = f"rounds.methods=[{','.join(arguments.methods)}]"
    return [f"rounds.num_rounds={arguments.num_rounds}", methods, *arguments.set]


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rounds", description=__doc__)
    parser.add_argument("--preset", default="digits", help="the preset of the runs (default: digits)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], metavar="SEED")
    parser.add_argument("--concentrations", type=float, nargs="+", default=[0.1, 0.3, 1.0], metavar="NUMBER")
    parser.add_argument(
        "--methods",
        nargs="+",
        default=list(ROUND_METHODS),
        metavar="METHOD",
        help="the methods, each of which is compared with the first one",
    )
    parser.add_argument("--num-rounds", type=int, default=10, help="the number of rounds (default: 10)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="an override of the preset")
    parser.add_argument(
        "--workers", type=int, help="the number of workers, as in 'peerkd run'; 0: this process does the work"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/rounds"), help="a folder for the results")
    parser.add_argument("--output", type=Path, help="a file to which the tables are also written")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
