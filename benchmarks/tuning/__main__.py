"""Compare tuners on replays of full sweeps, of which each tuner may spend a part of the cost.

A TABLE is the trials.parquet of a sweep that was run with sweep.validate_every_epoch=true, or the folder that contains
it. Without a TABLE, the two small sweeps of digits in benchmarks/tuning/data are used.
"""

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.tuning.contest import Standing, compete, standings, together
from benchmarks.tuning.held_out import PARTS, compete_held_out, folds
from benchmarks.tuning.held_out_experience import learned_without
from benchmarks.tuning.replay import Replay, check_budgets, load_earlier, load_replay
from benchmarks.tuning.report import EXPERIMENTS, Section, markdown, to_csv
from benchmarks.tuning.sample_counts import BATCH_SIZE
from benchmarks.tuning.scoring import Reference, Score
from benchmarks.tuning.sweep_table import table_path
from benchmarks.tuning.tuners import TUNERS, find
from peerkd.study.objective import Objective
from peerkd.study.splits import OWN_WEIGHTS
from peerkd.tuning.experience import Experience

DATA: Final = Path(__file__).with_name("data")

_BUDGETS: Final = (0.01, 0.02, 0.05, 0.1)
_NUM_SEEDS: Final = 5
_QUICK_BUDGETS: Final = (0.05,)
_QUICK_NUM_SEEDS: Final = 1
_MAX_SEEDS: Final = 1_000
_NUM_FOLDS: Final = 5
_METRIC: Final = "global_accuracy"
_SUFFIXES: Final = (".md", ".csv")
_EXIT_USER_ERROR: Final = 2


def main(words: Sequence[str] | None = None) -> int:
    """Compare the tuners that the arguments name, print the comparison, and return the exit code."""
    arguments = _parser().parse_intermixed_args(words)
    try:
        _compare(arguments)
    except ValueError as error:
        print(f"benchmarks.tuning: {error}", file=sys.stderr)
        return _EXIT_USER_ERROR
    return 0


def _compare(arguments: argparse.Namespace) -> None:
    """Replay the sweeps with every tuner, and print the scores of each.

    Raises:
        ValueError: If a table is not of a full sweep or cannot be replayed, or an option breaks its rule.
    """
    names = tuple(dict.fromkeys(arguments.tuner)) or tuple(TUNERS)
    budgets = arguments.budget or (_QUICK_BUDGETS if arguments.quick else _BUDGETS)
    num_seeds = _QUICK_NUM_SEEDS if arguments.quick else _NUM_SEEDS
    seeds = range(num_seeds if arguments.seeds is None else arguments.seeds)
    num_folds = _NUM_FOLDS if arguments.folds is None else arguments.folds
    _check(arguments, names=names, budgets=budgets, num_seeds=len(seeds))
    objective = _objective(arguments.metric, own_weight=arguments.own_weight, max_own_drop=arguments.max_own_drop)
    paths = [table_path(path).resolve() for path in arguments.tables or sorted(DATA.glob("*/trials.parquet"))]
    if len(set(paths)) < len(paths):
        raise ValueError(f"Each table must be given once, got {', '.join(map(str, arguments.tables))}.")
    replays = [
        load_replay(
            path,
            objective=objective,
            chooses_epochs=arguments.choose_epochs,
            default_learning_rate=arguments.default_learning_rate,
            is_augmented=arguments.augmented,
            batch_size=arguments.batch_size,
        )
        for path in paths
    ]
    experiences = learned_without(arguments.learn_from, paths, replays)
    earlier = {
        path: load_earlier(
            path,
            objective=objective,
            chooses_epochs=arguments.choose_epochs,
            default_learning_rate=arguments.default_learning_rate,
        )
        for path in (table_path(prior).resolve() for prior in arguments.prior)
    }
    experiments = _distinct([str(path) for path in paths], [replay.name for replay in replays])

    def on_experiments(name: str, place: int) -> list[list[Score]]:
        known = [each for other, each in earlier.items() if other != paths[place]]
        return compete(name, replays[place], budgets, seeds=seeds, earlier=known, experience=experiences[place])

    # All folds are divided first, so that a bad number of folds is refused before any work.
    held_out = {
        part: _runs_on_part(part, replays, experiences, num_folds=num_folds, budgets=budgets, seeds=seeds)
        for part in dict.fromkeys(arguments.held_out)
    }
    sections = [_section(EXPERIMENTS, 0, names, experiments, on_experiments)]
    sections += [_section(part, num_folds, names, experiments, runs_of) for part, runs_of in held_out.items()]
    text = markdown(
        sections,
        objective=objective,
        chooses_epochs=arguments.choose_epochs,
        num_priors=len(earlier),
        num_learned_from=len(arguments.learn_from),
    )
    print(text, end="")
    if arguments.output:
        is_csv = arguments.output.suffix == ".csv"
        arguments.output.write_text(to_csv(sections) if is_csv else text, encoding="utf-8")


_RunsOf = Callable[[str, int], list[list[Score]]]
"""A function that takes the name of a tuner and the index of an experiment, and returns the scores of the tuner for
each seed and budget."""


def _runs_on_part(
    part: str,
    replays: Sequence[Replay],
    experiences: Sequence[Experience | None],
    *,
    num_folds: int,
    budgets: Sequence[float],
    seeds: Sequence[int],
) -> _RunsOf:
    divided = [folds(replay.space, part, num_folds=num_folds) for replay in replays]

    def runs_of(name: str, place: int) -> list[list[Score]]:
        return compete_held_out(
            name, replays[place], budgets, seeds=seeds, held_out=divided[place], experience=experiences[place]
        )

    return runs_of


def _section(part: str, num_folds: int, names: Sequence[str], experiments: Sequence[str], runs_of: _RunsOf) -> Section:
    """Score all tuners on one part of each experiment."""
    reached: list[Standing] = []
    references: dict[str, Reference] = {}
    for name in names:
        by_experiment: list[list[Standing]] = []
        for place, experiment in enumerate(experiments):
            runs = runs_of(name, place)
            references[experiment] = runs[0][0].reference
            by_experiment.append(list(standings(experiment, name, runs)))
        reached.extend(standing for of_experiment in by_experiment for standing in of_experiment)
        if len(experiments) > 1:
            reached.extend(together(of_budget) for of_budget in zip(*by_experiment, strict=True))
    return Section(part, num_folds, reached, references)


def _check(arguments: argparse.Namespace, *, names: Sequence[str], budgets: Sequence[float], num_seeds: int) -> None:
    for name in names:
        find(name)
    check_budgets(budgets)
    if not 1 <= num_seeds <= _MAX_SEEDS:
        raise ValueError(f"seeds must be from 1 to {_MAX_SEEDS:,}, got {num_seeds}.")
    if arguments.folds is not None and not arguments.held_out:
        raise ValueError(f"folds must be given with held-out parts, got {arguments.folds} without.")
    rate = arguments.default_learning_rate
    if rate is not None and not (rate > 0 and math.isfinite(rate)):
        raise ValueError(f"default-learning-rate must be a finite number above 0, got {rate}.")
    if arguments.batch_size < 1:
        raise ValueError(f"batch-size must be at least 1, got {arguments.batch_size}.")
    output = arguments.output
    if output is not None and output.suffix not in _SUFFIXES:
        raise ValueError(f"output must be a file that ends in {' or '.join(_SUFFIXES)}, got {output}.")
    if output is not None and (output.is_dir() or not output.absolute().parent.is_dir()):
        raise ValueError(f"output must be a file in a folder that exists, got {output}.")


def _objective(metric: str | None, *, own_weight: float | None, max_own_drop: float | None) -> Objective:
    weights = {str(name): weight for name, weight in OWN_WEIGHTS.items()}
    if metric is not None and own_weight is not None:
        raise ValueError(f"own-weight must not be given beside a metric, got {own_weight} and {metric}.")
    own_weight = weights[metric or _METRIC] if own_weight is None else own_weight
    return Objective(own_weight=own_weight, max_own_drop=max_own_drop)


def _distinct(paths: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return a distinct name for each table: its name, or its path if several tables have this name."""
    return [name if names.count(name) == 1 else path for path, name in zip(paths, names, strict=True)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.tuning", description=__doc__)
    parser.add_argument("tables", nargs="*", type=Path, metavar="TABLE", help="the tables of the sweeps to replay")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one seed and a budget of 5 %%, in less than a minute: shows that all tuners run, not how good they are",
    )
    add = parser.add_argument
    add(
        "--prior",
        action="append",
        default=[],
        type=Path,
        metavar="TABLE",
        help="a sweep that tuners may start from, except for a replay of the same sweep; repeatable",
    )
    add(
        "--learn-from",
        action="append",
        default=[],
        type=Path,
        metavar="TABLE",
        help="a sweep from which the experience of peerkd and zero_shot is learned, in place of the shipped one; it "
        "is not used on itself or on a sweep with the same seed; repeatable",
    )
    add(
        "--tuner",
        action="append",
        default=[],
        metavar="NAME",
        help=f"one of {', '.join(TUNERS)}; repeatable (default: all)",
    )
    add(
        "--budget",
        action="append",
        default=[],
        type=float,
        metavar="FRACTION",
        help="fraction of the full sweep's cost; repeatable, ascending (default: 0.01 0.02 0.05 0.1)",
    )
    add("--seeds", type=int, metavar="NUM", help=f"seeds of each tuner that draws at random (default: {_NUM_SEEDS})")
    add(
        "--metric",
        choices=[str(name) for name in OWN_WEIGHTS],
        help=f"the accuracy whose gain is the objective (default: {_METRIC})",
    )
    add(
        "--own-weight",
        type=float,
        metavar="WEIGHT",
        help="the weight of own accuracy in an objective with both accuracies, in place of --metric",
    )
    add("--max-own-drop", type=float, metavar="FRACTION", help="largest loss of own accuracy on validation, as in 0.02")
    add("--choose-epochs", action="store_true", help="a choice may stop after any epoch that was measured")
    add(
        "--default-learning-rate",
        type=float,
        metavar="RATE",
        help="learning rate of the untuned default; required if the sweeps tried several",
    )
    add(
        "--batch-size",
        type=int,
        default=BATCH_SIZE,
        metavar="NUM",
        help="batch size of the distillations, on which the cost of some transfer sets depends (default: %(default)s)",
    )
    add(
        "--augmented",
        action="store_true",
        help="the sweeps augmented their views, or had teachers in train mode, so each epoch pays for teacher logits",
    )
    add(
        "--held-out",
        action="append",
        default=[],
        choices=PARTS,
        help="also score tuners on held-out pairs or peers, starting from all other pairs; repeatable",
    )
    add("--folds", type=int, metavar="NUM", help=f"folds of pairs or peers, with --held-out (default: {_NUM_FOLDS})")
    add(
        "--output",
        type=Path,
        metavar="FILE",
        help="a file to which the comparison is also written, with the ending .md or .csv",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
