"""The memory of the process of a stage in a large sweep: plan, record and write the table, without the training."""

import tracemalloc
from pathlib import Path
from typing import Any

from peerkd.artifacts.filesystem_workspace import FolderWorkspace
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.launch.worker import Worker
from peerkd.results.spill import WrittenTable, write_trials
from peerkd.stages.shard_queue import StageWork, open_shard_queue
from peerkd.stages.shards import split_into_shards
from peerkd.study.trials import Trial, record_identity, without
from tests.plans import whole_plan
from tests.tables import record

GRID = "sweep.transfer_sets=[student] sweep.temperatures=[1] sweep.alphas=[0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,0.95,1]"

MAX_GROWTH_BYTES = 3 * 2**19
"""Limit on the additional memory for 1,200 trials instead of 230. Their records are several times as large."""


def record_of(trial: Trial) -> dict[str, Any]:
    """Return a record as in the journal of a sweep with ten classes, 270 validation samples and 450 test samples."""
    class_accuracies = {
        f"{split}_class_accuracy_{moment}": [0.1 * k + 0.01 for k in range(10)]
        for split in ("validation", "test")
        for moment in ("before", "after")
    }
    return record(
        student=trial.student,
        teacher=trial.teacher,
        transfer_set=trial.transfer_set,
        temperature=trial.setting.temperature,
        alpha=trial.setting.alpha,
        distillation_weight=trial.setting.distillation_weight,
        validation_correct_bits=bytes(34).hex(),
        test_correct_bits=bytes(57).hex(),
        **class_accuracies,
    )


def sweep(folder: Path, config: ExperimentConfig) -> WrittenTable:
    """Run a sweep without the training, and return the written table."""
    work = StageWork(
        stage="distill_pairs",
        shards=split_into_shards(whole_plan(config), num_records=lambda units: units.num_trials, max_shards=256),
        identity=record_identity,
        remaining=without,
        on_recovered=lambda _: None,
        on_done_elsewhere=lambda _: None,
    )
    worker = Worker(index=0, num_workers=1)
    (folder / "scratch").mkdir(parents=True)
    with open_shard_queue(FolderWorkspace(folder), work, worker, is_published=lambda: False) as queue:
        for task in queue.tasks():
            assert task is not None
            claimed, unit = task
            for trial in unit.trials:
                queue.add_record(claimed, record_of(trial))
        return write_trials(queue.records(), folder / "trials.parquet", scratch_folder=folder / "scratch")


def config_of(num_peers: int) -> ExperimentConfig:
    return resolve(JOINTKD, preset="digits", overrides=f"partition.num_peers={num_peers} {GRID}")


def measured(folder: Path, *, num_peers: int) -> tuple[WrittenTable, int]:
    """Run a sweep, and return the written table and the peak of allocated bytes."""
    config = config_of(num_peers)
    tracemalloc.start()
    try:
        return sweep(folder, config), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_five_times_as_many_trials_use_hardly_more_memory(tmp_path: Path) -> None:
    sweep(tmp_path / "first", config_of(2))  # imports and their caches
    few, few_bytes = measured(tmp_path / "few", num_peers=5)
    many, many_bytes = measured(tmp_path / "many", num_peers=11)
    assert (few.num_trials, many.num_trials) == (225, 1_221)
    assert many_bytes - few_bytes < MAX_GROWTH_BYTES
