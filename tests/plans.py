"""The plan of an experiment in which no peer has diverged."""

from peerkd.config.experiment import ExperimentConfig
from peerkd.study.plan import Plan, plan


def whole_plan(config: ExperimentConfig) -> Plan:
    return plan(config.grid, config.pairs())
