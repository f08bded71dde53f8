"""Run the fault harness: ``make faults``, or a part of it with ``make faults ARGS="--families power-cuts"``."""

import argparse
import math
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults import inputs, small_runs, store_faults, studies
from tests.faults.faulty_proxy import FAULT_NAMES
from tests.faults.report import Case, Report
from tests.faults.shim import why_not
from tests.s3_server import S3Server, find_minio, running_minio, running_moto

NUM_CASES = {
    "kills": 1_000,
    "disk": 1_000,
    "power-cuts": 1_000,
    "damage": 1_000,
    "store": 60,
    "data": 4_000,
    "tables": 1_500,
    "weights": 500,
    "configs": 4_000,
    "studies-kills": 200,
    "studies-disk": 40,
    "studies-power-cuts": 40,
    "studies-two": 6,
    "studies-clocks": 3,
}
"""Number of cases of each family with a scale of 1, which takes hours on two cores."""

_STORE_SHARE = 0.3


def main() -> int:
    """Run all cases, print the report, and return 1 if any case went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the seed that determines all cases (default: 0)")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the number of cases (default: 1)")
    parser.add_argument("--families", nargs="+", choices=NUM_CASES, default=list(NUM_CASES), metavar="NAME")
    parser.add_argument("--output", type=Path, help="a file to which the report is also written")
    options = parser.parse_args()
    if reason := why_not():
        parser.error(reason)
    report, started = Report(), time.monotonic()
    for family in options.families:
        num_cases = math.ceil(NUM_CASES[family] * options.scale)
        report.add(_announced(family, _cases(family, num_cases, options.seed, report)))
    text = "\n".join(
        [
            f"seed {options.seed}, {report.num_tried:,} cases in {(time.monotonic() - started) / 60:.0f} min",
            *report.lines(),
        ]
    )
    print(text)  # noqa: T201
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")
    return 1 if report.wrong else 0


def _cases(family: str, num_cases: int, seed: int, report: Report) -> Iterator[Case]:
    with tempfile.TemporaryDirectory(prefix="peerkd-faults-") as name:
        folder = Path(name)
        if family == "store":
            with _server(folder) as server:
                tried: Counter[str] = Counter()
                yield from store_faults.studies_with_faulty_requests(
                    server, num_cases, share=_STORE_SHARE, seed=seed, tried=tried
                )
                report.notes += [f"requests that went wrong, {name}: {tried[name]:,}" for name in FAULT_NAMES]
        elif family == "data":
            yield from inputs.data_sets(num_cases, seed=seed)
        elif family == "tables":
            yield from inputs.tables(num_cases, seed=seed)
        elif family == "weights":
            yield from inputs.weights(num_cases, seed=seed)
        elif family == "configs":
            yield from inputs.command_lines(num_cases, seed=seed)
        elif family.startswith("studies-"):
            yield from _whole_studies(family, num_cases, seed, folder)
        else:
            tries = {
                "kills": small_runs.kills,
                "disk": small_runs.refusals,
                "power-cuts": small_runs.power_cuts,
                "damage": small_runs.damages,
            }
            with small_runs.small_runs(folder / "small") as runs:
                yield from tries[family](runs, num_cases, seed=seed)


def _whole_studies(family: str, num_cases: int, seed: int, folder: Path) -> Iterator[Case]:
    undisturbed = studies.undisturbed(folder)
    match family:
        case "studies-kills":
            yield from studies.kills(undisturbed, num_cases, seed=seed)
        case "studies-disk":
            yield from studies.refusals(undisturbed, num_cases, seed=seed)
        case "studies-power-cuts":
            for study in undisturbed:
                yield from studies.power_cuts(study, math.ceil(num_cases / len(undisturbed)), seed=seed)
        case "studies-two":
            yield from studies.two_at_once(undisturbed, num_cases, seed=seed)
        case "studies-clocks":
            yield from studies.wild_clocks(undisturbed, num_cases)


@contextmanager
def _server(folder: Path) -> Iterator[S3Server]:
    with running_minio(folder) if find_minio() else running_moto() as server:
        yield server


def _announced(family: str, cases: Iterable[Case]) -> Iterator[Case]:
    started = time.monotonic()
    for number, case in enumerate(cases, start=1):
        if case.complaint:
            print(f"{case.family} {case.number}: {case.complaint}", file=sys.stderr, flush=True)  # noqa: T201
        if number % 50 == 0:
            print(f"{family}: {number:,} cases, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)  # noqa: T201
        yield case


if __name__ == "__main__":
    sys.exit(main())
