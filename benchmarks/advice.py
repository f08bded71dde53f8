"""Measure what the advice of sweeps and tuned studies is worth on test: ``python -m benchmarks.advice STORE ...``.

A STORE is a folder with one or more runs of jointkd that choose by global accuracy. The advice of a run follows from
validation alone, and this program compares it with the results on test. The table has a line for each study, and one
for all sweeps and one for all tuned studies together. A line shows the share of the 90 % intervals of predicted gains
that contain the gain on test. For the pairs that should learn from their teacher, it also shows the gain over the
better of the two controls. The test results of a tuned study are taken from a sweep of the same peers, because only a
sweep has all controls. This sweep must be in one of the stores.

Shape suffixes: P = peers.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from benchmarks.markdown import table as markdown_table
from peerkd.arrays import FloatArray
from peerkd.config.targets import TargetConfig
from peerkd.results import choices
from peerkd.results.advice import COVERAGE
from peerkd.results.pair_advice import Predictions, advise_pairs, gains_on_test
from peerkd.results.reproduction import find_row
from peerkd.results.schema import LOSS, TARGET
from peerkd.results.selection import candidates, choose, ranks_of, rows_of_pairs
from peerkd.results.table import mapped_table, read_table
from peerkd.stages.division import evaluation_sets
from peerkd.study import ties
from peerkd.study.defaults import UntunedDefault
from peerkd.study.objective import Objective
from peerkd.study.splits import EvaluationSets
from peerkd.study.trials import Trial

_SWEEP, _TUNED = "distill_pairs", "tune_pairs"
_NUM_DRAWS: Final = 2000
_HEADER: Final = (
    *("study", "pairs", f"{100 * COVERAGE:g} % intervals of gains that contain the test gain"),
    *("the same for the advantage over the control", "should learn", "worse on test than the better control"),
    "mean gain over the better control, points",
)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scored:
    """The advice of one study compared with its test results, as (num_peers, num_peers) arrays. NaN: no result."""

    name: str
    is_covered_PP: FloatArray
    """1 if the interval of the predicted gain contains the gain on test, else 0."""

    is_advantage_covered_PP: FloatArray
    over_control_PP: FloatArray
    """The test gain minus the test gain of the better control, as a fraction. NaN if the student should not learn."""

    num_pairs: int


def main(words: Sequence[str] | None = None) -> int:
    """Print the table of all studies in the given stores."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.advice", description=__doc__)
    parser.add_argument("stores", nargs="+", type=Path, metavar="STORE", help="folder of a store with runs of jointkd")
    stores = parser.parse_args(words).stores
    scored = [*_sweeps(stores), *_tuned_studies(stores)]
    if not scored:
        parser.error(f"stores must have a sweep, got {', '.join(map(str, stores))}")
    print(report(scored))
    return 0


def report(scored: Sequence[Scored]) -> str:
    """Return a table with a line for each study, one for all sweeps, and one for all tuned studies."""
    rows = [_row(each.name, [each]) for each in scored]
    for kind in (_SWEEP, _TUNED):
        together = [each for each in scored if each.name.startswith(kind)]
        if len(together) > 1:
            rows.append(_row(f"{kind}, all {len(together)}", together))
    return markdown_table(_HEADER, rows)


def score_sweep(
    name: str, trials: pa.Table, sets_P: Sequence[EvaluationSets], default: UntunedDefault | None = None
) -> Scored:
    """Return the advice of a sweep that chose by global accuracy, compared with its test results.

    Args:
        name: The name of the sweep.
        trials: The table of trials of the sweep.
        sets_P: The sizes of the evaluation sets of each peer.
        default: The untuned default, by which ties are broken. None: the sweep has one loss and target.
    """
    found = candidates(trials, metric="global_accuracy", default=default)
    advice = advise_pairs(
        trials,
        rows_of_pairs(found),
        Objective(),
        num_peers=len(sets_P),
        sets_P=sets_P,
        ranks=ranks_of(found, None),
    )
    gain_PP, control_PP = (gains_on_test(trials, rows, Objective()) for rows in (advice.distillation, advice.control))
    return Scored(
        name=name,
        is_covered_PP=_covered(advice.gain, gain_PP),
        is_advantage_covered_PP=_covered(advice.advantage, gain_PP - control_PP),
        over_control_PP=np.where(advice.decision == "distil", gain_PP - np.fmax(control_PP, 0), np.nan),
        num_pairs=int((advice.decision != "").sum()),
    )


def _covered(predictions: Predictions, measured_PP: FloatArray) -> FloatArray:
    is_known_PP = ~np.isnan(predictions.value) & ~np.isnan(measured_PP)
    return np.where(is_known_PP, predictions.covers(measured_PP), np.nan)


def _row(name: str, scored: Sequence[Scored]) -> tuple[str, ...]:
    over = np.concatenate([each.over_control_PP.ravel() for each in scored])
    over = over[~np.isnan(over)]
    num_worse = int(ties.is_above(0, over).sum())
    return (
        name,
        f"{sum(each.num_pairs for each in scored):,}",
        _share([each.is_covered_PP for each in scored]),
        _share([each.is_advantage_covered_PP for each in scored]),
        f"{len(over):,}",
        f"{num_worse:,} ({100 * num_worse / len(over):.0f} %)" if len(over) else "none",
        _mean_with_interval([each.over_control_PP for each in scored]) if len(over) else "none",
    )


def _share(covered: Sequence[FloatArray]) -> str:
    values = np.concatenate([each.ravel() for each in covered])
    values = values[~np.isnan(values)]
    return f"{100 * values.mean():.0f} % of {len(values):,}" if len(values) else "none"


def _mean_with_interval(values: Sequence[FloatArray]) -> str:
    """Return the mean over pairs in points with a 95 % bootstrap interval.

    The bootstrap draws students with replacement instead of pairs, because pairs with the same student have the same
    data and controls, and are therefore not independent.
    """
    sums_S = np.concatenate([np.nansum(each_PP, axis=1) for each_PP in values])
    nums_S = np.concatenate([(~np.isnan(each_PP)).sum(axis=1) for each_PP in values])
    draws = np.random.default_rng(0).integers(len(sums_S), size=(_NUM_DRAWS, len(sums_S)))
    nums = nums_S[draws].sum(axis=1)
    means = 100 * sums_S[draws].sum(axis=1)[nums > 0] / nums[nums > 0]
    low, high = np.percentile(means, [2.5, 97.5])
    return f"{100 * sums_S.sum() / nums_S.sum():+.2f} ({low:+.2f} to {high:+.2f})"


def _sweeps(stores: Sequence[Path]) -> Iterator[Scored]:
    for store, manifest in _manifests(stores, _SWEEP):
        with mapped_table(store / manifest["key"] / "trials.parquet") as trials:
            default = untuned_default(manifest, trials)
            yield score_sweep(_name(manifest, trials), trials, _evaluation_sets(store, manifest), default)


def untuned_default(manifest: Mapping[str, Any], trials: pa.Table) -> UntunedDefault:
    """Return the untuned default of a sweep without its transfer set.

    The loss is None if the sweep tries only one loss, and the target is None if the sweep tries only one target.
    """
    recipe = manifest["metadata"]
    tries_losses, tries_targets = (trials[name].null_count < trials.num_rows for name in (LOSS, TARGET))
    return UntunedDefault(
        None,
        loss=recipe["loss"]["kind"] if tries_losses else None,
        target=TargetConfig(**recipe["target"]).label if tries_targets else None,
    )


def _name(manifest: Mapping[str, Any], trials: pa.Table) -> str:
    return f"{manifest['key']}, seed {trials['seed'][0].as_py()}"


def _manifests(stores: Sequence[Path], stage: str) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for store in stores:
        for path in sorted(store.glob(f"{stage}/*/manifest.json")):
            yield store, json.loads(path.read_text(encoding="utf-8"))


def _evaluation_sets(store: Path, manifest: Mapping[str, Any]) -> list[EvaluationSets]:
    peers = _read(store, manifest["metadata"]["inputs"]["peers"]["key"])
    return evaluation_sets(_read(store, peers["metadata"]["inputs"]["partition"]["key"])["metadata"])


def _read(store: Path, key: str) -> Mapping[str, Any]:
    manifest: Mapping[str, Any] = json.loads((store / key / "manifest.json").read_text(encoding="utf-8"))
    return manifest


def _tuned_studies(stores: Sequence[Path]) -> Iterator[Scored]:
    sweeps = {
        manifest["metadata"]["inputs"]["peers"]["fingerprint"]: store / manifest["key"]
        for store, manifest in _manifests(stores, _SWEEP)
    }
    for store, manifest in _manifests(stores, _TUNED):
        folder, sweep = store / manifest["key"], sweeps.get(manifest["metadata"]["inputs"]["peers"]["fingerprint"])
        if sweep is None:
            print(f"{folder} is left out: no store has a sweep of its peers", file=sys.stderr)
            continue
        rows = choices.read_table(folder / "choices.parquet", choices.CHOICES).to_pylist()
        trials, swept = (read_table(each / "trials.parquet") for each in (folder, sweep))
        default = untuned_default(_read(sweep.parent.parent, f"{_SWEEP}/{sweep.name}"), swept)
        yield score_tuned(_name(manifest, trials), rows, swept, default)


def score_tuned(
    name: str, rows: Sequence[Mapping[str, Any]], swept: pa.Table, default: UntunedDefault | None = None
) -> Scored:
    """Return the advice of a tuned study, compared with the test results of a sweep.

    Args:
        name: The name of the study.
        rows: The rows of the table of choices of the study.
        swept: The trials of a full sweep of the same peers, which has the test gains of all choices and controls.
        default: The untuned default of the sweep. None: the sweep has one loss and target.
    """
    # The controls of a sweep are chosen on validation, among all transfer sets.
    found = candidates(swept, metric="global_accuracy", default=default)
    controls = choose(found, default_transfer_set="student").control
    control_PP = gains_on_test(swept, controls, Objective())
    over_PP, covered_PP = (np.full(controls.shape, np.nan) for _ in range(2))
    for row in rows:
        pair = row["student"], row["teacher"]
        if row["corrected_gain"] is None:
            continue
        trial = find_row(swept, Trial.from_record(row).identity)
        if trial is None:
            raise ValueError(f"The sweep must have every setting of {name}, got none for the choice of pair {pair}.")
        gain = trial["test_global_gain"][0].as_py()
        covered_PP[pair] = _is_within(gain, row, "corrected_gain")
        if row["decision"] == "distil":
            over_PP[pair] = gain - np.fmax(control_PP[pair], 0)
    return Scored(
        name=name,
        is_covered_PP=covered_PP,
        # The study compares with the controls that it has trained, which may be fewer than those of a sweep.
        is_advantage_covered_PP=np.full(controls.shape, np.nan),
        over_control_PP=over_PP,
        num_pairs=len(rows),
    )


def _is_within(value: float, row: Mapping[str, Any], name: str) -> bool:
    return bool(ties.is_at_least(value, row[f"{name}_low"]) & ties.is_at_least(row[f"{name}_high"], value))


if __name__ == "__main__":
    sys.exit(main())
