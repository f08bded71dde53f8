"""Compare the time of a step of PCL with that of a plain step: ``python -m benchmarks.pcl_step --help``."""

import argparse
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import torch

from benchmarks.machine_facts import closing_facts, load_average
from benchmarks.markdown import facts_table
from benchmarks.pcl_step.contestants import Lap, PclContestant, Precision, StepTask, own_lap, straightforward_lap
from benchmarks.pcl_step.equivalence import compare_losses
from benchmarks.pcl_step.table import PLAIN, Seconds, step_table
from peerkd.config.architectures import Architecture
from peerkd.stages.machine import describe_processor
from peerkd.training.cpu import keep_freed_memory

_NUM_COMPARED_SAMPLES = 8


def main(words: Sequence[str] | None = None) -> None:
    """Time the contestants that the arguments name, and print a table."""
    arguments = _parse(words)
    device = torch.device(arguments.device)
    processor = describe_processor()
    loads = [load_average()]
    if device.type == "cpu":
        _pin(arguments.core)
    torch.set_num_threads(1)
    keep_freed_memory()
    sections = []
    for architecture in arguments.architectures:
        task = StepTask(
            architecture=architecture,
            image_shape_CHW=(arguments.channels, arguments.pixels, arguments.pixels),
            num_classes=arguments.classes,
            batch_size=arguments.batch,
            num_steps=arguments.steps,
            # The first one warms up.
            num_rounds=arguments.rounds + 1,
            device=device,
        )
        differences = compare_losses(
            architecture,
            image_shape_CHW=task.image_shape_CHW,
            num_classes=task.num_classes,
            num_samples=_NUM_COMPARED_SAMPLES,
        )
        seconds = time_in_turn(_laps(task), num_rounds=task.num_rounds)
        sections.append(
            f"## {architecture}\n\n{step_table(seconds)}\n\n"
            f"At equal weights and images peerkd and the straightforward program differ by {differences.loss:.1e} in "
            f"the loss and by {differences.gradient_fraction:.1e} of its length in the gradient."
        )
    loads.append(load_average())
    facts = {
        "Images": f"{arguments.channels}x{arguments.pixels}x{arguments.pixels}, {arguments.classes} classes, noise",
        "Batch": f"{arguments.batch} samples",
        "Rounds": f"{arguments.rounds} of {arguments.steps} steps each, after one that is not counted",
        "Device": torch.cuda.get_device_name(device) if device.type == "cuda" else "one core of the processor",
        "Machine": processor,
        "Threads": "1",
        **closing_facts(loads, own_load=1),
    }
    document = "\n\n".join(["# Time of a PCL step", facts_table(facts), *sections]) + "\n"
    print(document, end="")
    if arguments.output:
        arguments.output.write_text(document, encoding="utf-8")


def time_in_turn(laps: Sequence[Lap], *, num_rounds: int) -> Seconds:
    """Return the seconds of a step of each contestant by round, without the first round.

    Each contestant has one turn in each round, so the load and the temperature of the machine affect all alike.
    """
    seconds: dict[PclContestant, list[float]] = defaultdict(list)
    for number in range(num_rounds):
        for lap in laps:
            for contestant, value in lap().items():
                if number:
                    seconds[contestant].append(value)
    return seconds


def _laps(task: StepTask) -> list[Lap]:
    laps = []
    for precision in get_args(Precision):
        laps.append(own_lap(task, PclContestant(PLAIN, precision), method="plain"))
        laps.append(own_lap(task, PclContestant("PCL", precision), method="pcl"))
        joined = PclContestant("PCL, views joined", precision)
        laps.append(own_lap(task, joined, method="pcl", view_batch_norm="joined"))
    return [*laps, straightforward_lap(task)]


def _pin(core: int | None) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0)) if core is None else core})


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks.pcl_step", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--architectures",
        nargs="+",
        choices=get_args(Architecture),
        default=["resnet32", "resnet110"],
        metavar="NAME",
        help="networks, as in a config",
    )
    parser.add_argument("--channels", type=int, default=3, help="the number of channels of an image")
    parser.add_argument("--pixels", type=int, default=32, help="the height and width of an image")
    parser.add_argument("--classes", type=int, default=100, help="the number of classes")
    parser.add_argument("--batch", type=int, default=128, help="the number of samples in a step")
    parser.add_argument("--steps", type=int, default=2, help="the number of steps in a round")
    parser.add_argument("--rounds", type=int, default=7, help="the number of rounds")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--core", type=int, help="the core on which the process stays if it uses no GPU; None: the first available core"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="a file to which the tables are also written")
    return parser.parse_args(words)


if __name__ == "__main__":
    main()
