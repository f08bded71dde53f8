"""The findings of a study of methods as numbers. All forms of the report present these numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from peerkd.config.methods import METHODS, Method
from peerkd.reporting.facts import PclFacts
from peerkd.results.comparison import MethodComparison, compare_methods
from peerkd.results.curves import Curve, CurveKey, curves_by_key, diverged_runs
from peerkd.results.intervals import Estimate
from peerkd.results.seeds import Spread, spread

MAIN_METHOD: Final[Method] = "pcl"
"""The method that is compared with every other method, and not only with the baseline."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodCost:
    """The cost of the runs of one architecture and method.

    ``seconds`` has the mean and the standard deviation of the duration over seeds.
    """

    num_training_parameters: int
    num_deployed_parameters: int
    num_samples_per_epoch: int
    seconds: Spread
    least_seconds: float
    most_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodFindings:
    """All findings of a study, on test unless stated otherwise. All differences are differences of accuracies."""

    comparison: MethodComparison

    over_baseline: Mapping[tuple[str, Method], Estimate]
    """Accuracy of each method's deployed predictor minus that of the baseline, for each architecture."""

    main_over_others: Mapping[tuple[str, Method], Estimate]
    """Accuracy of PCL minus that of each other method. Empty if PCL is not in the study, or is its baseline."""

    from_mean: Mapping[tuple[str, Method], Estimate]
    """Accuracy of branch 1 of the mean network minus that of branch 1 of the trained network, in the same runs."""

    branch_over_baseline: Mapping[tuple[str, Method], Estimate]
    """Accuracy of branch 1 of the trained network minus that of the baseline, for methods with a mean network."""

    from_ensemble: Mapping[tuple[str, Method], Estimate]
    """Accuracy of the ensemble minus that of the deployed predictor, in the same runs."""

    disagreement: Mapping[tuple[str, Method], Spread]
    """Share of validation samples on which two branches predict different classes, after the last epoch."""

    costs: Mapping[tuple[str, Method], MethodCost]
    curves: Mapping[CurveKey, Curve]

    @property
    def num_comparisons(self) -> int:
        """The number of differences between two methods for which the report states a verdict."""
        return len(self.over_baseline) + len(self.main_over_others)


def compute_findings(table: pa.Table, facts: PclFacts) -> MethodFindings:
    """Return the findings of a study from its table of curves.

    Raises:
        ValueError: If the table lacks an architecture and method of the study, or its last epoch.
    """
    config, curves = facts.config, curves_by_key(table)
    comparison = compare_methods(
        curves,
        architectures=config.architectures,
        methods=config.methods,
        num_branches=config.collaboration.num_branches,
        baseline=config.baseline,
        diverged=diverged_runs(table),
    )
    over_baseline: dict[tuple[str, Method], Estimate] = {}
    main_over_others: dict[tuple[str, Method], Estimate] = {}
    from_mean: dict[tuple[str, Method], Estimate] = {}
    branch_over_baseline: dict[tuple[str, Method], Estimate] = {}
    from_ensemble: dict[tuple[str, Method], Estimate] = {}
    has_main = MAIN_METHOD in config.methods and config.baseline != MAIN_METHOD
    for architecture in config.architectures:
        for method in config.methods:
            pair = architecture, method
            _put(over_baseline, pair, comparison.over_baseline(*pair))
            if has_main and method not in (MAIN_METHOD, config.baseline):
                _put(main_over_others, pair, comparison.difference(architecture, MAIN_METHOD, method))
            if METHODS[method].has_mean_network:
                within = comparison.difference(*pair, method, role="mean_branch", second_role="branch")
                _put(from_mean, pair, within)
                _put(branch_over_baseline, pair, comparison.over_baseline(*pair, role="branch"))
            _put(from_ensemble, pair, comparison.difference(*pair, method, role="ensemble"))
    return MethodFindings(
        comparison=comparison,
        over_baseline=over_baseline,
        main_over_others=main_over_others,
        from_mean=from_mean,
        branch_over_baseline=branch_over_baseline,
        from_ensemble=from_ensemble,
        disagreement=_disagreement(curves, comparison),
        costs=_costs(facts),
        curves=curves,
    )


def _put(found: dict[tuple[str, Method], Estimate], pair: tuple[str, Method], estimate: Estimate | None) -> None:
    # A difference does not exist if every run of one of the two methods diverged.
    if estimate is not None and estimate.num:
        found[pair] = estimate


def _disagreement(curves: Mapping[CurveKey, Curve], comparison: MethodComparison) -> dict[tuple[str, Method], Spread]:
    found = {}
    for architecture in comparison.architectures:
        for method in comparison.methods:
            last = [
                float(curve.values[-1])
                for key, curve in curves.items()
                if key[:2] == (architecture, method) and key[3:] == ("validation", "disagreement")
                if key.seed in comparison.scores[architecture, method, "deployed"].by_seed
            ]
            if last and not np.isnan(last).any():
                found[architecture, method] = spread(last)
    return found


def _costs(facts: PclFacts) -> dict[tuple[str, Method], MethodCost]:
    found: dict[tuple[str, Method], MethodCost] = {}
    for architecture in facts.config.architectures:
        for method in facts.config.methods:
            # A run that diverged ended early, so its cost is not the cost of the method.
            runs = [
                run for run in facts.runs if (run.architecture, run.method) == (architecture, method) and run.is_finite
            ]
            if runs:
                seconds = [run.seconds for run in runs]
                found[architecture, method] = MethodCost(
                    num_training_parameters=runs[0].num_training_parameters,
                    num_deployed_parameters=runs[0].num_deployed_parameters,
                    num_samples_per_epoch=runs[0].num_samples_per_epoch,
                    seconds=spread(seconds),
                    least_seconds=min(seconds),
                    most_seconds=max(seconds),
                )
    return found
