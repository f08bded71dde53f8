"""Compare the time of a sweep in peerkd and in simpler programs: ``python -m benchmarks.sweep --help``."""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path
from statistics import mean

from benchmarks.machine_facts import closing_facts, load_average
from benchmarks.markdown import facts_table
from benchmarks.sweep.agreement import Agreement, compare, reference_accuracies
from benchmarks.sweep.arithmetic import MatrixRates, count_flops
from benchmarks.sweep.contestants import ENGINE, GROUPED, LOOP, PROCESS, VMAP, contestants
from benchmarks.sweep.outcome import Layout
from benchmarks.sweep.prepare import prepare
from benchmarks.sweep.rounds import Measured, time_in_turn
from benchmarks.sweep.tables import agreement_table, quotient_table, rate_table
from benchmarks.sweep.workloads import SYNTHETIC_NAME, WORKLOADS, Workload, find_workload
from peerkd.config.peer_experiment import ComputeConfig
from peerkd.cores import count_cores
from peerkd.data.packed import read_packed
from peerkd.data.partition.assignment import Assignment
from peerkd.stages.machine import choose_device, describe_processor

_NO_GPU = 2
_DISAGREEMENT = 1
_QUICK_GPU_SECONDS = 240.0


def main(words: Sequence[str] | None = None) -> int:
    """Time the workloads that the arguments name, and print a table. Return 1 if two programs disagree, else 0."""
    arguments = _parse(words)
    try:
        choose_device(ComputeConfig(device=arguments.device))
    except ValueError:
        print("There is no GPU here that torch can use, so nothing can be timed on one.", file=sys.stderr)
        return _NO_GPU
    layouts = _layouts(arguments.device)
    loads = [load_average()]
    sections, document, all_agree = [], "", True
    deadline = time.monotonic() + _limit_seconds(arguments)
    with tempfile.TemporaryDirectory(prefix="peerkd-bench-") as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name in arguments.workloads:
            if sections and time.monotonic() > deadline:
                sections.append(f"## {name}\n\nOmitted, because the time of --limit-seconds was used up.")
                document = _document(sections, loads, arguments.device, layouts)
                continue
            workload = find_workload(
                name,
                num_processes=max(layout.num_processes for layout in layouts),
                is_quick=arguments.quick,
                num_rounds=arguments.rounds,
                num_samples=arguments.samples,
                batch_size=arguments.batch,
                data=arguments.data,
            )
            section, agrees = _time_workload(name, workload, folder, arguments, layouts, deadline)
            sections.append(section)
            all_agree = all_agree and agrees
            document = _document(sections, loads, arguments.device, layouts)
            if arguments.output:
                # The results so far are written after each workload, because a workload takes minutes.
                arguments.output.write_text(document, encoding="utf-8")
    print(document, end="")
    return 0 if all_agree else _DISAGREEMENT


def _document(sections: Sequence[str], loads: Sequence[float], device: str, layouts: Sequence[Layout]) -> str:
    facts = {
        "Machine": describe_processor(),
        "Device": "the processor" if device == "cpu" else _gpu_name(),
        **closing_facts([*loads, load_average()], own_load=layouts[0].num_processes),
    }
    return "\n\n".join(["# Time of a sweep", facts_table(facts), *sections]) + "\n"


def compare_all(all_measured: Sequence[Measured]) -> dict[tuple[str, str], Agreement]:
    """Return the differences between each program and peerkd in float32, by name and precision of the program."""
    (engine,) = (
        each for each in all_measured if (each.contestant.name, each.contestant.precision) == (ENGINE, "float32")
    )
    reference = reference_accuracies(lap.outcomes for lap in engine.laps)
    return {
        (each.contestant.name, each.contestant.precision): compare(
            [outcome for lap in each.laps for outcome in lap.outcomes],
            reference,
            has_same_batches=each.contestant.name != PROCESS and each.contestant.precision == "float32",
        )
        for each in all_measured
        if each is not engine
    }


def _time_workload(
    name: str,
    workload: Workload,
    folder: Path,
    arguments: argparse.Namespace,
    layouts: Sequence[Layout],
    deadline: float,
) -> tuple[str, bool]:
    # The preparation runs in its own process, so that the memory it leaves allocated is not counted for a contestant.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        inputs = executor.submit(prepare, workload.config, folder, device=arguments.device).result()
    dataset, assignment = read_packed(inputs.dataset_folder), Assignment.load(inputs.partition_folder)
    flops = count_flops(
        workload.config.architectures[0], image_shape_CHW=dataset.image_shape, num_classes=dataset.num_classes
    )
    with closing(MatrixRates(device=arguments.device, seconds=0.1 if arguments.quick else 0.5)) as rates:
        all_measured = time_in_turn(
            list(contestants(workload, inputs, layouts, is_quick=arguments.quick)),
            rates,
            num_rounds=workload.num_rounds,
            name=name,
            deadline=deadline,
        )
        product_rates = rates.measure_all(layouts[0])
    recipe = workload.config.distill
    num_judged = len(assignment.validation) + len(assignment.test)
    start_fractions = [
        lap.start_fraction or 0 for each in all_measured if each.contestant.name == PROCESS for lap in each.laps
    ]
    agreements = compare_all(all_measured)
    present = {each.contestant.name for each in all_measured}
    left_out = [each for each in (PROCESS, LOOP, VMAP, GROUPED) if each not in present]
    facts = {
        "Network": f"{workload.config.architectures[0]}, {flops.step / 1e6:,.1f} MFLOP a sample and step",
        "Images": f"{_data_text(workload)}, {'x'.join(map(str, dataset.image_shape))}",
        "Transfer sets": ", ".join(workload.config.sweep.tried_transfer_sets)
        + f"; {mean(map(len, assignment.train)):,.0f} samples of each peer",
        "Trial": f"epochs: {recipe.epochs}, in batches of up to {recipe.batch_size}; then {num_judged} samples judged",
        "Rounds": f"{max(len(each.laps) for each in all_measured)}",
        "Matrix products": ", ".join(f"{kind} {rate / 1e9:,.0f} GFLOP/s" for kind, rate in product_rates.items()),
        "Ways to run": "the first of each program's, unmeasured"
        if arguments.quick
        else "the fastest of each program's, measured before",
        **(
            {"A process a trial": f"{100 * mean(start_fractions):.0f} % of its time go by before it trains"}
            if start_fractions
            else {}
        ),
        **({"Left out for their time": ", ".join(left_out)} if left_out else {}),
    }
    parts = [
        f"## {name}",
        facts_table(facts),
        rate_table(all_measured, flops, epochs=recipe.epochs, num_judged=num_judged),
        quotient_table(all_measured),
        "Test accuracy against peerkd in float32, in percentage points:",
        agreement_table(agreements),
    ]
    return "\n\n".join(parts), all(agreement.holds for agreement in agreements.values())


def _data_text(workload: Workload) -> str:
    data = workload.config.data
    return (
        "synthetic, a pattern for each class under noise" if data.path == SYNTHETIC_NAME else data.path or data.source
    )


def _layouts(device: str) -> list[Layout]:
    """Return the layouts from which programs may choose. peerkd uses the first one."""
    if device == "cuda":
        return [Layout(1, 1), Layout(4, 1)]
    num_cores = count_cores()
    return [Layout(num_cores, 1), Layout(1, num_cores)] if num_cores > 1 else [Layout(1, 1)]


def _limit_seconds(arguments: argparse.Namespace) -> float:
    if arguments.limit_seconds is not None:
        return float(arguments.limit_seconds)
    return _QUICK_GPU_SECONDS if arguments.quick and arguments.device == "cuda" else math.inf


def _gpu_name() -> str:
    import torch

    return torch.cuda.get_device_name()


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks.sweep", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--workloads",
        nargs="+",
        choices=list(WORKLOADS),
        default=["digits", "resnet20", "resnet18"],
        metavar="NAME",
        help=f"the workloads to time: {', '.join(WORKLOADS)}",
    )
    parser.add_argument(
        "--quick", action="store_true", help="run one round of few trials, to see that the programs run"
    )
    parser.add_argument(
        "--limit-seconds",
        type=float,
        help="the time after which no further program begins; None: no limit, or 240 for a quick run on a GPU",
    )
    parser.add_argument("--rounds", type=int, help="the number of rounds; None: the number of the workload")
    parser.add_argument(
        "--samples", type=int, help="samples of a transfer set of a ResNet; None: the number of the workload"
    )
    parser.add_argument("--batch", type=int, help="samples of a step of a ResNet; None: the number of the workload")
    parser.add_argument(
        "--data", type=Path, metavar="FOLDER", help="a folder with train/<class>/*.jpg; None: synthetic images"
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument(
        "--folder",
        type=Path,
        help="a folder in which data and peers are kept for the next run; None: they are not kept",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="a file to which the tables are also written")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
