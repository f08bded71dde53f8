"""A small space, invented gains and a scripted tuner for the decisions of a tuned study."""

import numpy as np

from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.stages.work.tuning.study import (
    TunedStudy,
)
from peerkd.tuning.accounting import CostLedger
from peerkd.tuning.space import NO_SETTING
from peerkd.tuning.validation import ValidationResult

CONFIG = resolve(
    JOINTKD,
    preset="digits",
    overrides="partition.num_peers=5 distill.epochs=4 sweep.temperatures=[1,4] sweep.alphas=[0.5,0.9] "
    "partition.public_fraction=0.1 sweep.transfer_sets=[public_unlabelled,both,student]",
)
SIZES = [30, 50, 70, 90, 110]


def gain(suggestion):
    """Return a gain that depends only on the trial and grows with its epochs."""
    return float(np.sin(7 * suggestion.pair + 3 * suggestion.setting)) * suggestion.num_epochs / 100


class Scripted:
    """A tuner with scripted suggestions and one fixed choice."""

    def __init__(self, space, suggestions, choice=NO_SETTING):
        self._space, self.batches, self.told, self._choice = space, list(suggestions), [], choice

    def ask(self, num):
        return self.batches.pop(0) if self.batches else []

    def tell(self, observation):
        self.told.append(observation)

    def choices(self):
        return np.full(self._space.num_pairs, self._choice)


def opened(space, tuner, *, budget=0.3):
    return TunedStudy(space, lambda: tuner, CostLedger(space), budget_fraction=budget)


def step(study):
    """Observe all results that are needed, and return the next iteration."""
    while True:
        while study.num_observed < study.num_needed:
            study.observe(
                [ValidationResult(gain(suggestion)) for suggestion in study.iterations[study.num_observed].suggestions]
            )
        if planned := study.plan(seconds=1.0):
            study.accept(planned)
            return planned


def finished(study):
    while step(study).phase != "end":
        pass
    return study
