"""Test accuracies of all runs by seed, and the differences between methods.

The result of a run is the test accuracy of the method's deployed predictor after the last epoch. The epoch and the
predictor are fixed before the run. The accuracy after the best epoch is reported separately. The best epoch is the
epoch with the highest validation accuracy, while much of the literature selects it by test accuracy.

A run that diverged has no result. Such runs are counted, and no other number includes them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from peerkd.config.methods import METHODS, Method, deployed_predictor
from peerkd.results.curves import Curve, CurveKey
from peerkd.results.intervals import Estimate
from peerkd.results.seeds import Spread, paired_difference, spread

Role: TypeAlias = Literal["deployed", "ensemble", "branch", "mean_branch", "best_epoch"]

ROLES: Final[Mapping[Role, str]] = {
    "deployed": "the method's result, after the last epoch",
    "ensemble": "the ensemble of the branches, after the last epoch",
    "branch": "branch 1 of the trained network, after the last epoch",
    "mean_branch": "branch 1 of the mean network, after the last epoch",
    "best_epoch": "the deployed predictor, at the epoch with the best validation accuracy",
}
"""The meaning of each role: the predictor of a method that has the accuracy, and the epoch after which it is
measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """Test accuracies of one predictor by seed, as fractions."""

    predictor: str
    by_seed: Mapping[int, float]

    @property
    def spread(self) -> Spread:
        """Mean and standard deviation over seeds."""
        return spread([self.by_seed[seed] for seed in sorted(self.by_seed)])


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodComparison:
    """Accuracies of all architectures and methods."""

    architectures: tuple[str, ...]
    methods: tuple[Method, ...]
    baseline: Method
    """The method that all others are compared with."""

    last_epoch: int
    scores: Mapping[tuple[str, Method, Role], Scores]
    """Scores by architecture, method and role. A role that a method does not have is missing."""

    best_epochs: Mapping[tuple[str, Method], Mapping[int, int]]
    """The epoch with the highest validation accuracy of each run: a mapping from seed to epoch for each architecture
    and method."""

    num_diverged: Mapping[tuple[str, Method], int]
    """The number of runs that diverged, by architecture and method. No score includes them."""

    @property
    def num_differences(self) -> int:
        """The number of differences from the baseline. Each has its own interval."""
        return len(self.architectures) * (len(self.methods) - 1)

    def spread(self, architecture: str, method: Method, role: Role) -> Spread | None:
        """Return mean and standard deviation over seeds, or None if the method has no such predictor."""
        scores = self.scores.get((architecture, method, role))
        return scores.spread if scores else None

    def difference(
        self,
        architecture: str,
        first: Method,
        second: Method,
        *,
        role: Role = "deployed",
        second_role: Role = "deployed",
    ) -> Estimate | None:
        """Return the mean difference in accuracy of two methods, first minus second, over their common seeds.

        Args:
            architecture: The architecture of both.
            first: The first method.
            second: The second method.
            role: The predictor of the first method.
            second_role: The predictor of the second method.

        Returns:
            The difference with its interval, or None if one of the methods has no such predictor.
        """
        scores = self.scores.get((architecture, first, role)), self.scores.get((architecture, second, second_role))
        if scores[0] is None or scores[1] is None:
            return None
        return paired_difference(scores[0].by_seed, scores[1].by_seed)

    def over_baseline(self, architecture: str, method: Method, *, role: Role = "deployed") -> Estimate | None:
        """Return the accuracy of a method minus the accuracy of the baseline's deployed predictor.

        The result is None for the baseline itself, and for a method that does not have the predictor.
        """
        if method == self.baseline:
            return None
        return self.difference(architecture, method, self.baseline, role=role)


def compare_methods(
    curves: Mapping[CurveKey, Curve],
    *,
    architectures: Sequence[str],
    methods: Sequence[Method],
    num_branches: int,
    baseline: Method,
    diverged: Collection[tuple[str, str, int]] = (),
) -> MethodComparison:
    """Return the comparison of methods by the test accuracies of all runs.

    Args:
        curves: The curves of all runs, by key.
        architectures: The architectures of the study.
        methods: The methods of the study.
        num_branches: The number of branches in the methods that train several branches.
        baseline: One of the methods.
        diverged: Architecture, method and seed of the runs that diverged.

    Raises:
        ValueError: If an architecture has no run of one of the methods, or if a run that did not diverge was not
            evaluated after the last epoch.
    """
    num_diverged: dict[tuple[str, Method], int] = {}
    finite = {key: curve for key, curve in curves.items() if key[:3] not in diverged}
    last_epoch = max((int(curve.epochs[-1]) for curve in finite.values()), default=0)
    scores: dict[tuple[str, Method, Role], Scores] = {}
    best_epochs: dict[tuple[str, Method], Mapping[int, int]] = {}
    for architecture in architectures:
        for method in methods:
            runs = _Runs(curves, architecture, method, diverged)
            num_diverged[architecture, method] = runs.num_diverged
            predictors = _predictors(method, num_branches)
            for role, predictor in predictors.items():
                by_seed = {seed: runs.at(seed, predictor, epoch=last_epoch) for seed in runs.seeds}
                scores[architecture, method, role] = Scores(predictor=predictor, by_seed=by_seed)
            deployed = predictors["deployed"]
            best = {seed: runs.best_epoch(seed, deployed) for seed in runs.seeds}
            best_epochs[architecture, method] = best
            scores[architecture, method, "best_epoch"] = Scores(
                predictor=deployed, by_seed={seed: runs.at(seed, deployed, epoch=best[seed]) for seed in runs.seeds}
            )
    return MethodComparison(
        architectures=tuple(architectures),
        methods=tuple(methods),
        baseline=baseline,
        last_epoch=last_epoch,
        scores=scores,
        best_epochs=best_epochs,
        num_diverged=num_diverged,
    )


def _predictors(method: Method, num_branches: int) -> dict[Role, str]:
    made_of = METHODS[method]
    predictors: dict[Role, str] = {"deployed": deployed_predictor(method, num_branches=num_branches)}
    if made_of.ensemble:
        predictors["ensemble"] = made_of.ensemble
    predictors["branch"] = "branch_1"
    if made_of.has_mean_network:
        predictors["mean_branch"] = "mean_branch_1"
    return predictors


class _Runs:
    """The evaluations of one architecture and method, for the seeds whose run did not diverge."""

    def __init__(
        self,
        curves: Mapping[CurveKey, Curve],
        architecture: str,
        method: Method,
        diverged: Collection[tuple[str, str, int]],
    ) -> None:
        self._curves, self._names = curves, (architecture, method)
        seeds = {key.seed for key in curves if (key.architecture, key.method) == self._names}
        if not seeds:
            raise ValueError(f"Each architecture and method must have a run, got none of {method} with {architecture}.")
        self.seeds = sorted(seed for seed in seeds if (architecture, method, seed) not in diverged)
        self.num_diverged = len(seeds) - len(self.seeds)

    def at(self, seed: int, predictor: str, *, epoch: int) -> float:
        curve = self._accuracy(seed, "test", predictor)
        (place,) = np.nonzero(curve.epochs == epoch)
        if not place.size or np.isnan(curve.values[place[0]]):
            raise ValueError(f"{self._name(seed, predictor)} must have a test accuracy after epoch {epoch}, got none.")
        return float(curve.values[place[0]])

    def best_epoch(self, seed: int, predictor: str) -> int:
        """Return the first of the epochs with the highest validation accuracy.

        Epochs without a test accuracy are excluded, because the weights or logits may not have been finite then.
        Otherwise the test set has no influence on the selection.
        """
        curve, test = (self._accuracy(seed, split, predictor) for split in ("validation", "test"))
        has_test = np.isin(curve.epochs, test.epochs[~np.isnan(test.values)])
        values = np.where(has_test, curve.values, np.nan)
        if np.isnan(values).all():
            raise ValueError(f"{self._name(seed, predictor)} must have a validation accuracy, got none.")
        return int(curve.epochs[np.nanargmax(values)])

    def _accuracy(self, seed: int, split: str, predictor: str) -> Curve:
        curve = self._curves.get(CurveKey(*self._names, seed, split, f"accuracy/{predictor}"))
        if curve is None:
            raise ValueError(f"{self._name(seed, predictor)} must have accuracies on {split}, got none.")
        return curve

    def _name(self, seed: int, predictor: str) -> str:
        architecture, method = self._names
        return f"{predictor} of {method} with {architecture}, seed {seed},"
