"""Measure for which transfer sets, losses and targets a teacher is worth something: ``make bench-teacher``.

A sweep is run for each seed, by the command that a person would type. Repeat a command that was stopped, and it
continues. With ``--tables``, the tables of trials of earlier sweeps are read instead, and no sweep is run.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.machine_facts import closing_facts, load_average
from benchmarks.markdown import facts_table
from benchmarks.teacher_part import controls
from benchmarks.teacher_part.measure import COLUMNS, measure
from benchmarks.teacher_part.report import document
from peerkd.results.table import read_table
from peerkd.stages.machine import describe_processor

_STANDARD_ERROR = 2
_TRANSFER_SETS = ("student", "public_unlabelled", "student_and_public", "teacher_unlabelled")
_LOSSES = ("kl", "reverse_kl", "jensen_shannon", "ttm", "wttm", "standardised_kl", "ctkd", "dts")
_TARGETS = (
    *("teacher", "teacher+prior_adjusted", "mean", "mean+prior_adjusted", "class_counts"),
    *("class_counts+prior_adjusted", "masks", "student"),
)


def main(words: Sequence[str] | None = None) -> int:
    """Run the sweeps, and print the tables."""
    arguments = _parse(words)
    loads = [load_average()]
    by_seed, controls_by_seed = [], []
    for path in arguments.tables or _swept(arguments):
        if path is None:
            return 1
        trials = read_table(path)
        by_seed.append(measure(trials.select(COLUMNS)))
        controls_by_seed.append(controls.measure_controls(trials))
    loads.append(load_average())
    facts = {
        **_origin(arguments),
        "Values": "percentage points of global test accuracy, means over pairs, with 95 % intervals over seeds",
        "Machine": describe_processor(),
        **closing_facts(loads, own_load=2),
    }
    tables = document(by_seed, loss=arguments.losses[0], target=arguments.targets[0])
    single = controls.section(controls_by_seed)
    text = f"# The teacher's part\n\n{facts_table(facts)}\n\n{tables}\n\n{single}\n"
    print(text, end="")
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")
    return 0


def _swept(arguments: argparse.Namespace) -> Iterator[Path | None]:
    """Run the sweep of each seed, and yield its table of trials; None if it failed."""
    for seed in arguments.seeds:
        settings = [f"seed={seed}", *_grid(arguments), *arguments.set]
        yield _sweep(arguments.preset, settings, arguments.runs / f"seed-{seed}")


def _sweep(preset: str, settings: Sequence[str], folder: Path) -> Path | None:
    """Run a sweep, or take its results from an earlier run, and return its table of trials; None if it failed."""
    command = [sys.executable, "-m", "peerkd", "run", "jointkd", "--preset", preset, "--output", str(folder)]
    for setting in settings:
        command += ["--set", setting]
    # The progress of the run goes to standard error, so that standard output has the tables alone.
    if subprocess.run(command, check=False, stdout=_STANDARD_ERROR).returncode:
        return None
    # The newest table belongs to this run, if an earlier one in this folder had other settings.
    return max(folder.glob("distill_pairs/*/trials.parquet"), key=lambda each: each.stat().st_mtime_ns)


def _origin(arguments: argparse.Namespace) -> dict[str, str]:
    if arguments.tables:
        return {"Trials": f"of earlier sweeps, {len(arguments.tables)} tables"}
    return {
        "Preset": arguments.preset,
        "Settings": ", ".join(f"`{setting}`" for setting in (*_grid(arguments), *arguments.set)),
        "Seeds": ", ".join(map(str, arguments.seeds)),
    }


def _grid(arguments: argparse.Namespace) -> list[str]:
    return [
        f"partition.public_fraction={arguments.public_fraction}",
        f"sweep.transfer_sets=[{','.join(arguments.transfer_sets)}]",
        f"sweep.losses=[{','.join(arguments.losses)}]",
        f"sweep.targets=[{','.join(arguments.targets)}]",
        f"sweep.temperatures={arguments.temperatures}",
        f"sweep.alphas={arguments.alphas}",
    ]


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.teacher_part", description=__doc__)
    parser.add_argument("--preset", default="digits", help="the preset of the sweeps (default: digits)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], metavar="SEED")
    parser.add_argument("--transfer-sets", nargs="+", default=_TRANSFER_SETS, metavar="KIND")
    parser.add_argument("--losses", nargs="+", default=_LOSSES, metavar="LOSS")
    parser.add_argument("--targets", nargs="+", default=_TARGETS, metavar="TARGET")
    parser.add_argument(
        "--temperatures", default="[1,2,4]", help="the temperatures, as a list in YAML (default: [1,2,4])"
    )
    parser.add_argument("--alphas", default="[0.5,0.9]", help="the alphas, as a list in YAML (default: [0.5,0.9])")
    parser.add_argument(
        "--public-fraction", type=float, default=0.3, help="the share of samples in the public set (default: 0.3)"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="an override of the preset")
    parser.add_argument("--runs", type=Path, default=Path("runs/teacher_part"), help="a folder for the results")
    parser.add_argument("--tables", type=Path, nargs="+", metavar="FILE", help="tables of earlier sweeps, one per seed")
    parser.add_argument("--output", type=Path, help="a file to which the tables are also written")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
