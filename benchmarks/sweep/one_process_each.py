"""A contestant that starts the script ``train_student`` in a new process for each trial, several at once."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.sweep.outcome import Lap, Layout, Outcome
from benchmarks.sweep.tasks import Task
from peerkd.training.inputs import SweepInputs

_ROOT = Path(__file__).parents[2]


class OneProcessEach:
    """A contestant that starts the script once for each trial."""

    def __init__(self, inputs: SweepInputs, tasks: Sequence[Task], *, layout: Layout, num_loader_workers: int) -> None:
        self.layout = layout
        self._inputs = inputs
        self._tasks = tasks
        self._num_loader_workers = num_loader_workers
        self._running: dict[int, subprocess.Popen[str]] = {}
        self._num_laps = 0

    def process_ids(self) -> set[int]:
        """Return the scripts that are running."""
        return set(self._running)

    def lap(self) -> Lap:
        """Run all trials. The order and the views of samples differ between laps."""
        self._num_laps += 1
        started = time.perf_counter()
        with ThreadPoolExecutor(self.layout.num_processes) as executor:
            outcomes, start_fractions = zip(*executor.map(self._run, self._tasks), strict=True)
        return Lap(
            time.perf_counter() - started,
            list(outcomes),
            num_taught=sum(outcome.num_samples for outcome in outcomes),
            start_fraction=sum(start_fractions) / len(start_fractions),
        )

    def close(self) -> None:
        """End the scripts that are still running."""
        for process in self._running.values():
            process.kill()

    def _run(self, task: Task) -> tuple[Outcome, float]:
        options = script_options(self._inputs, task, num_loader_workers=self._num_loader_workers, seed=self._num_laps)
        command = [sys.executable, "-m", "benchmarks.sweep.train_student", json.dumps(options)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.layout.num_threads)}
        started = time.time()
        with subprocess.Popen(command, cwd=_ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
            self._running[process.pid] = process
            output, _ = process.communicate()
            del self._running[process.pid]
        seconds = time.time() - started
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        printed = json.loads(output.splitlines()[-1])
        outcome = Outcome(
            task.identity, printed["num_samples"], printed["validation_accuracy"], printed["test_accuracy"]
        )
        return outcome, (printed["started"] - started) / seconds


def script_options(inputs: SweepInputs, task: Task, *, num_loader_workers: int, seed: int) -> dict[str, Any]:
    """Return the argument of the script for one trial."""
    recipe = inputs.config.distill
    return {
        **{name: str(getattr(inputs, name)) for name in ("dataset_folder", "partition_folder", "peers_folder")},
        "architecture": inputs.config.architectures[task.student],
        "student": task.student,
        "teacher": task.teacher,
        "owners": task.owners,
        "temperature": task.temperature,
        "distillation_weight": task.distillation_weight,
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "sgd": {
            "lr": recipe.learning_rate,
            "momentum": recipe.momentum,
            "nesterov": recipe.nesterov,
            "weight_decay": recipe.weight_decay,
        },
        "augment": inputs.config.augmentation.horizontal_flip,
        "num_loader_workers": num_loader_workers,
        "device": inputs.device,
        "seed": seed,
    }
