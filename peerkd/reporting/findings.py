"""The findings of a full sweep as numbers. All forms of the report present these numbers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from peerkd.arrays import BoolArray, FloatArray, IntArray
from peerkd.losses.pairs import PAIR_LOSSES, sets_temperature
from peerkd.reporting.facts import ExperimentFacts
from peerkd.reporting.trial_results import TrialResults, trial_results
from peerkd.results.divergence import Divergence, divergence
from peerkd.results.forgetting import Forgetting, forgetting
from peerkd.results.grid_edges import MAX_CHANCE, GridEdge, edges_of_choice
from peerkd.results.intervals import Estimate, mean_over_pairs, spearman_over_pairs
from peerkd.results.pair_advice import AdviceOnTest, PairAdvice, advise_pairs, on_test
from peerkd.results.pair_rows import NO_ROW
from peerkd.results.pairs import TuningComparison, at, compare
from peerkd.results.position import Position, gain_standard_error, position
from peerkd.results.schema import LEARNING_RATE, LOSS
from peerkd.results.selection import (
    Candidates,
    ChosenRows,
    SingleSetting,
    candidates,
    choose,
    choose_single,
    is_default_recipe,
    ranks_of,
    rows_of_pairs,
)
from peerkd.results.without_tuning import WithoutTuning, without_tuning
from peerkd.study.defaults import UntunedDefault
from peerkd.study.objective import objective_of
from peerkd.study.splits import SCOPES
from peerkd.study.transfer_sets import TRANSFER_SETS, names_without_labels

Treatment: TypeAlias = Literal["chosen", "single", "default", "control"]

TREATMENTS: Final[tuple[Treatment, ...]] = ("chosen", "single", "default", "control")
"""The trainings of a pair that the report compares. They have the setting chosen for this pair, the single setting that
is best for all pairs, the untuned default, and the setting of the best control."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PairSettings:
    """The setting chosen for each ordered pair, as (num_peers, num_peers) arrays whose diagonals have no meaning."""

    transfer_set: NDArray[np.str_]
    temperature: FloatArray
    alpha: FloatArray
    distillation_weight: FloatArray
    learning_rate: FloatArray
    """The learning rate of the first step; NaN if the experiment tries only one."""

    loss: NDArray[np.object_]
    target: NDArray[np.object_]
    """The label of the target. The loss and the target are None if the experiment tries only one."""

    is_default_recipe: BoolArray
    """Whether the setting, except the transfer set, is the untuned default."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChoiceCounts:
    """The number of pairs that chose each value, including values that no pair chose."""

    temperature: Mapping[float, int]
    """The number of pairs that chose each temperature. Pairs whose loss sets its temperature itself are not counted."""

    alpha: Mapping[float, int]
    """The number of pairs that chose each alpha. Pairs that chose a transfer set without labels are not counted."""

    num_without_labels: int
    """The number of pairs that chose a transfer set without labels, where alpha has no effect."""

    dimensions: Mapping[str, Mapping[Any, int]]
    """The number of pairs that chose each value of a tuned dimension, by dimension and value. The dimensions are the
    learning rate, the loss and the target. A dimension of which the experiment tries only one value is omitted."""

    transfer_set: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SweepFindings:
    """All findings of a sweep. Gains are fractions of accuracy.

    Settings are chosen on the validation set. All other numbers are from the test set, unless stated otherwise.
    """

    scope: str
    """The kind of evaluation sets on which settings are chosen, ``global`` or ``own``. All gains are on sets of this
    kind, unless another kind is named."""

    default: UntunedDefault
    """The untuned default."""

    transfer_sets: tuple[str, ...]

    settings: PairSettings
    choice: ChosenRows
    advice: PairAdvice
    """What each pair should do, judged on validation: distil with its own setting, fine-tune, or stay unchanged."""

    advice_on_test: AdviceOnTest

    single: SingleSetting | None
    """The one setting that is best on validation for all pairs, or None if every setting diverged for some pair."""

    divergence: Divergence
    """The trainings that diverged, which no other finding includes."""

    num_pairs_without: Mapping[Treatment, int]
    """The number of pairs, by treatment, that have no result of the treatment, because all their trainings with it
    diverged."""

    gains: Mapping[Treatment, FloatArray]
    """(num_peers, num_peers) gain on test of the trials of each treatment, NaN for a pair that has no such trial."""

    gain_from_data: FloatArray
    gain_from_teacher: FloatArray
    """(num_peers, num_peers) gain of the chosen setting minus ``gain_from_data``, which is the gain of fine-tuning on
    the same data with the same learning rate."""

    mean_gains: Mapping[tuple[Treatment, str], Estimate]
    """Mean gains on test by treatment and scope."""

    mean_gain_from_data: Estimate
    mean_gain_from_teacher: Estimate

    comparison: TuningComparison
    """The setting chosen from the whole grid, compared with the untuned default on the default transfer set."""

    comparison_within: Mapping[str, TuningComparison]
    """The setting chosen within each transfer set, compared with the untuned default on the same set."""

    tuned_over_single: Estimate
    """Test gain of each pair's own setting minus that of one setting for all pairs."""

    tuned_over_control: Estimate
    """Test gain of each pair's own setting minus that of the pair's best control."""

    num_imitations: int
    """The number of pairs whose best control imitates the student's old self. For every other pair that has a control,
    the best one is fine-tuning."""

    without_tuning: WithoutTuning | None
    """The gain of tuning T and alpha, compared with the gain of another loss or target at T = 1 and the default alpha.

    None unless the untuned default and at least one other loss or target have a result for every pair."""

    optimism: Estimate
    """Gain of the chosen setting on validation, where it was chosen, minus its gain on test."""

    num_not_above_student: int
    """Number of pairs for which no distillation is better on validation than the unchanged student."""

    num_not_above_control: int
    """Number of pairs for which no distillation is better on validation than the best control."""

    num_pairs_where_nothing_helps: int
    """Number of pairs that ``num_not_above_student`` or ``num_not_above_control`` counts, or both."""

    counts: ChoiceCounts
    edges: Sequence[GridEdge]
    """The edges of the grid that more pairs choose than chance explains. Empty if no pair should distil."""

    position: Position
    forgetting: Forgetting

    results: TrialResults
    """The results of every trial, and the row numbers of each pair's trials by treatment."""

    skew: Mapping[str, Estimate]
    """The rank correlation, over pairs, between the gain of the chosen setting and the distance of the two peers'
    classes, by measure of distance."""

    @property
    def default_transfer_set(self) -> str | None:
        """The transfer set of the untuned default."""
        return self.default.transfer_set

    @property
    def has_rates(self) -> bool:
        """Whether the experiment tries several learning rates, so that one is chosen for each pair."""
        return self.default.learning_rate is not None

    @property
    def has_intervals(self) -> bool:
        """Whether means over pairs have intervals, which need at least ``MIN_PEERS`` peers that did not diverge."""
        return self.comparison.chosen.has_interval

    @property
    def num_pairs(self) -> int:
        """The number of ordered pairs with a distillation that did not diverge."""
        return self.comparison.chosen.num


def compute_findings(table: pa.Table, facts: ExperimentFacts) -> SweepFindings:
    """Return the findings of an experiment from its table of trials.

    Raises:
        ValueError: If the table lacks the untuned default of a pair, or any trial of a pair whose peers did not
            diverge, or if every distillation diverged.
    """
    sweep = facts.config.sweep
    default = facts.config.untuned_default
    trials = candidates(
        table,
        metric=sweep.selection_metric,
        default=default,
        is_pair_PP=facts.pairs.as_matrix(facts.num_peers),
    )
    _check_trials(trials, facts)
    default_transfer_set = sweep.resolved_default_transfer_set
    scope = sweep.selection_metric.removesuffix("_accuracy")

    choice = choose(trials, default_transfer_set=default_transfer_set)
    objective = objective_of(sweep.selection_metric)
    advice = advise_pairs(
        table,
        rows_of_pairs(trials),
        objective,
        num_peers=facts.num_peers,
        sets_P=facts.evaluation_sets,
        ranks=ranks_of(trials, default_transfer_set),
    )
    single = choose_single(trials, default_transfer_set=default_transfer_set)
    choice_within: dict[str, ChosenRows] = {
        name: choose(trials, default_transfer_set=name, transfer_sets=(name,)) for name in sweep.tried_transfer_sets
    }
    rows: dict[Treatment, IntArray] = {
        "chosen": choice.chosen,
        "single": np.full_like(choice.chosen, NO_ROW) if single is None else single.rows,
        "default": choice.default,
        "control": choice.control,
    }
    gains = {treatment: at(table, f"test_{scope}_gain", rows[treatment]) for treatment in TREATMENTS}
    validation_gain_PP = at(table, f"validation_{scope}_gain", choice.chosen)
    gain_from_data_PP = at(table, f"test_{scope}_gain_from_data", choice.chosen)
    gain_from_teacher_PP = at(table, f"test_{scope}_gain_from_teacher", choice.chosen)
    is_pair_PP = choice.chosen != NO_ROW

    return SweepFindings(
        scope=scope,
        default=default,
        transfer_sets=sweep.tried_transfer_sets,
        settings=_settings(table, trials, choice),
        choice=choice,
        advice=advice,
        advice_on_test=on_test(advice, table, objective),
        single=single,
        divergence=divergence(table, is_finite_P=facts.peers_are_finite, num_pairs_left_out=facts.num_pairs_left_out),
        num_pairs_without=_num_pairs_without(trials, rows),
        gains=gains,
        gain_from_data=gain_from_data_PP,
        gain_from_teacher=gain_from_teacher_PP,
        mean_gains={
            (treatment, of): mean_over_pairs(at(table, f"test_{of}_gain", rows[treatment]))
            for treatment in TREATMENTS
            for of in SCOPES
        },
        mean_gain_from_data=mean_over_pairs(gain_from_data_PP),
        mean_gain_from_teacher=mean_over_pairs(gain_from_teacher_PP),
        comparison=compare(table, trials, choice, scope=scope, num_test_samples=facts.num_test_samples),
        comparison_within={
            name: compare(table, trials, within, scope=scope, num_test_samples=facts.num_test_samples)
            for name, within in choice_within.items()
        },
        tuned_over_single=mean_over_pairs(gains["chosen"] - gains["single"]),
        tuned_over_control=mean_over_pairs(gains["chosen"] - gains["control"]),
        num_imitations=int(
            ((choice.control != NO_ROW) & (trials.distillation_weight[choice.control] > 0)).sum(),
        ),
        without_tuning=without_tuning(table, trials, default_transfer_set=default_transfer_set, scope=scope),
        optimism=mean_over_pairs(validation_gain_PP - gains["chosen"]),
        num_not_above_student=int((is_pair_PP & ~choice.above_student).sum()),
        num_not_above_control=int((is_pair_PP & ~choice.above_control).sum()),
        num_pairs_where_nothing_helps=int((is_pair_PP & ~(choice.above_student & choice.above_control)).sum()),
        counts=_counts(table, trials, choice),
        edges=edges_of_choice(trials, choice, max_chance=MAX_CHANCE) if advice.count("distil") else (),
        position=position(
            gains["chosen"],
            validation_gain_PP,
            _standard_error(table, choice, scope, num_test_samples=facts.num_test_samples),
        ),
        forgetting=forgetting(table, choice_within),
        results=trial_results(
            table, trials, _roles(rows, choice_within), scope=scope, num_test_samples=facts.num_test_samples
        ),
        skew={name: spearman_over_pairs(distance_PP, gains["chosen"]) for name, distance_PP in facts.distances.items()},
    )


def _roles(
    rows: Mapping[Treatment, IntArray], choice_within: Mapping[str, ChosenRows]
) -> dict[str, dict[str, IntArray]]:
    """Return the row number of each pair's trial by treatment and by name of the transfer set.

    The empty name stands for the choice among all transfer sets; the single setting for all pairs has only this name. A
    transfer set is omitted for a treatment if no pair has a trial of the treatment on it.
    """
    roles: dict[str, dict[str, IntArray]] = {name: {"": rows_PP} for name, rows_PP in rows.items()}
    for name, within in choice_within.items():
        for role, rows_PP in (("chosen", within.chosen), ("default", within.default), ("control", within.control)):
            if (rows_PP != NO_ROW).any():
                roles[role][name] = rows_PP
    return {role: by_set for role, by_set in roles.items() if (by_set[""] != NO_ROW).any()}


def _check_trials(trials: Candidates, facts: ExperimentFacts) -> None:
    """Check that a table of trials belongs to an experiment and has results.

    Raises:
        ValueError: If the peers of the table are not the peers of the experiment that did not diverge, if the table has
            a loss or a target that the experiment does not try, or if every distillation diverged.
    """
    wanted, found = np.flatnonzero(facts.peers_are_finite), np.unique(trials.student)
    if not np.array_equal(wanted, found):
        raise ValueError(f"The table must have the {len(wanted)} peers of the run, got {len(found)}.")
    distill, sweep = facts.config.distill, facts.config.sweep
    known = {
        "losses": (trials.loss, [*facts.config.tried_losses] if sweep.losses else []),
        "targets": (trials.target, [*facts.config.tried_targets] if sweep.targets else []),
    }
    for nouns, (column, names) in known.items():
        others = sorted(set(column) - {None, *names})
        if others:
            tried = ", ".join(names) or "only those of the recipe, which the table does not name"
            raise ValueError(f"The table must have the {nouns} of the run ({tried}), got {', '.join(others)} too.")
    is_distillation = ~trials.is_control
    if not trials.is_finite[is_distillation].any():
        rates = ", ".join(f"{rate:g}" for rate in sweep.learning_rates) or f"{distill.learning_rate:g}"
        field = "sweep.learning_rates" if sweep.learning_rates else "distill.learning_rate"
        listed = [f", with each of the {nouns} {', '.join(names)}" for nouns, (_, names) in known.items() if names]
        raise ValueError(
            f"At least one distillation must end in finite numbers, but all {int(is_distillation.sum()):,} diverged"
            f"{''.join(listed)}. Lower {field}, now {rates}."
        )


def _num_pairs_without(trials: Candidates, rows: Mapping[Treatment, IntArray]) -> dict[Treatment, int]:
    num = {name: int((trials.is_pair_PP & (rows_PP == NO_ROW)).sum()) for name, rows_PP in rows.items()}
    # If no transfer set has labels, controls do not exist and none is missing.
    return num if trials.is_control.any() else {**num, "control": 0}


def _settings(table: pa.Table, trials: Candidates, choice: ChosenRows) -> PairSettings:
    return PairSettings(
        transfer_set=trials.transfer_set[choice.chosen],
        temperature=at(table, "temperature", choice.chosen),
        alpha=at(table, "alpha", choice.chosen),
        distillation_weight=at(table, "distillation_weight", choice.chosen),
        learning_rate=at(table, LEARNING_RATE, choice.chosen),
        loss=trials.loss[choice.chosen],
        target=trials.target[choice.chosen],
        is_default_recipe=is_default_recipe(trials)[choice.chosen],
    )


def _counts(table: pa.Table, trials: Candidates, choice: ChosenRows) -> ChoiceCounts:
    # The other columns of a large table take hundreds of megabytes.
    counted = table.select(["transfer_set", "temperature", "alpha", *trials.default.dimensions])
    tried = counted.filter(~trials.is_control)
    chosen = counted.take(choice.chosen[choice.chosen != NO_ROW])

    with_labels = ~pc.field("transfer_set").isin(names_without_labels())
    own = list(filter(sets_temperature, PAIR_LOSSES))
    # Older tables have no column for the loss.
    with_temperature = ~pc.field(LOSS).isin(own) if LOSS in trials.default.dimensions else None

    def count(column: str, *, where: pc.Expression | None = None) -> dict[Any, int]:
        chosen_rows, tried_rows = (each if where is None else each.filter(where) for each in (chosen, tried))
        num_of = Counter(chosen_rows[column].to_pylist())
        return {value: num_of[value] for value in sorted(pc.unique(tried_rows[column]).to_pylist())}

    sets = count("transfer_set")
    return ChoiceCounts(
        temperature=count("temperature", where=with_temperature),
        alpha=count("alpha", where=with_labels),
        num_without_labels=chosen.filter(~with_labels).num_rows,
        dimensions={name: count(name) for name in trials.default.dimensions},
        transfer_set={name: sets[name] for name in TRANSFER_SETS if name in sets},
    )


def _standard_error(table: pa.Table, choice: ChosenRows, scope: str, *, num_test_samples: int) -> FloatArray:
    if scope != "global":
        # Flips are counted only on the global test set.
        return np.full(choice.chosen.shape, np.nan)
    return gain_standard_error(
        at(table, "test_positive_flips", choice.chosen),
        at(table, "test_negative_flips", choice.chosen),
        num_test_samples=num_test_samples,
    )
