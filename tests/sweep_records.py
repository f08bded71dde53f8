"""Records of trials that a sweep runner has made in this process."""

from typing import Any

from peerkd.study.trials import Unit
from peerkd.training.inputs import EngineChoice, EpochRange
from peerkd.training.sweep import SweepRunner


def records_of(sweep: SweepRunner, task: Unit | EpochRange) -> list[dict[str, Any]]:
    return [made for made in sweep.do(task) if not isinstance(made, EngineChoice)]


def without_seconds(record):
    return {name: value for name, value in record.items() if name != "seconds"}
