"""``peerkd tune``: a comparison of tuners on full sweeps that were done before."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import typer

from peerkd.config.sweep import OWN_WEIGHTS
from peerkd.excerpt import plain, plain_path
from peerkd.results.objective import Objective
from peerkd.tuning.contest import Standing, compete, standings, together
from peerkd.tuning.held_out import compete_held_out, folds
from peerkd.tuning.replay import check_budgets, load_earlier, load_replay
from peerkd.tuning.scoring import Reference, Score
from peerkd.tuning.sweep_table import table_path
from peerkd.tuning.tables import EXPERIMENTS, Section, markdown, to_csv
from peerkd.tuning.tuners import TUNERS, find

BUDGETS: Final = (0.01, 0.02, 0.05, 0.1)

_METRIC: Final = "global_accuracy"
_NUM_FOLDS: Final = 5
_MAX_SEEDS: Final = 1_000
_SUFFIXES: Final = (".md", ".csv")


def tune(
    *,
    replays: Sequence[Path],
    priors: Sequence[Path],
    tuners: Sequence[str],
    budgets: Sequence[float],
    num_seeds: int,
    metric: str | None,
    own_weight: float | None,
    max_own_drop: float | None,
    chooses_epochs: bool,
    default_learning_rate: float | None,
    is_augmented: bool,
    held_out: Sequence[str],
    num_folds: int | None,
    output: Path | None,
) -> None:
    """Replay sweeps with every tuner, and print what each would have reached.

    Args:
        replays: Tables of full sweeps.
        priors: Tables that the tuners may start from; for each replay, those of them that are other files.
        tuners: Names; none for all.
        budgets: Shares of a full sweep's cost; none for ``BUDGETS``.
        num_seeds: For each tuner that draws.
        metric: The accuracy whose gains count. None: global accuracy, unless a weight says it.
        own_weight: Of the own accuracy in a mean with the global one. None: as the metric says.
        max_own_drop: The most that a choice may lose of own accuracy on validation. None: no limit.
        chooses_epochs: Whether a choice has an epoch to stop after.
        default_learning_rate: Of the untuned default, where tables have several.
        is_augmented: Whether the sweeps augmented their views.
        held_out: Parts of each sweep that tuners are also scored on, starting from the rest of it.
        num_folds: Into which such parts are divided. None: 5.
        output: Also write the table there as Markdown, or the numbers as CSV.

    Raises:
        ValueError: If a table is not of a full sweep or cannot be replayed, or an option breaks its rule.
    """
    budgets, names = budgets or BUDGETS, tuple(dict.fromkeys(tuners)) or tuple(TUNERS)
    for name in names:
        find(name)
    check_budgets(budgets)
    if not 1 <= num_seeds <= _MAX_SEEDS:
        raise ValueError(f"seeds must be from 1 to {_MAX_SEEDS:,}, got {num_seeds}.")
    if num_folds is not None and not held_out:
        raise ValueError(f"folds must be given with held-out parts, got {num_folds} without.")
    if default_learning_rate is not None and not (default_learning_rate > 0 and math.isfinite(default_learning_rate)):
        raise ValueError(f"default-learning-rate must be a finite number above 0, got {default_learning_rate}.")
    num_folds = _NUM_FOLDS if num_folds is None else num_folds
    objective = _objective(metric, own_weight=own_weight, max_own_drop=max_own_drop)
    if output is not None:
        _check_output(output)

    paths = [table_path(path).resolve() for path in replays]
    if len(set(paths)) < len(paths):
        raise ValueError(f"replay must name each table once, got {', '.join(map(str, replays))}.")
    loaded = [
        load_replay(
            path,
            objective=objective,
            chooses_epochs=chooses_epochs,
            default_learning_rate=default_learning_rate,
            is_augmented=is_augmented,
        )
        for path in paths
    ]
    earlier = {
        path: load_earlier(
            path, objective=objective, chooses_epochs=chooses_epochs, default_learning_rate=default_learning_rate
        )
        for path in (table_path(prior).resolve() for prior in priors)
    }
    experiments = _distinct([str(path) for path in paths], [replay.name for replay in loaded])
    parts = tuple(dict.fromkeys(held_out))
    divided = {part: [folds(replay.space, part, num_folds=num_folds) for replay in loaded] for part in parts}

    def on_experiments(name: str, place: int) -> list[list[Score]]:
        known = [each for other, each in earlier.items() if other != paths[place]]
        return compete(name, loaded[place], budgets, seeds=range(num_seeds), earlier=known)

    sections = [_section(EXPERIMENTS, 0, names, experiments, on_experiments)]
    for part in parts:

        def on_part(name: str, place: int, part: str = part) -> list[list[Score]]:
            pairs = divided[part][place]
            return compete_held_out(name, loaded[place], budgets, seeds=range(num_seeds), held_out=pairs)

        sections.append(_section(part, num_folds, names, experiments, on_part))
    text = markdown(sections, objective=objective, chooses_epochs=chooses_epochs, num_priors=len(earlier))
    typer.echo(text, nl=False)
    if output is not None:
        output.write_text(to_csv(sections) if output.suffix == ".csv" else text, encoding="utf-8")


def _section(
    part: str,
    num_folds: int,
    names: Sequence[str],
    experiments: Sequence[str],
    runs_of: Callable[[str, int], list[list[Score]]],
) -> Section:
    """Have all tuners compete on one part of each experiment."""
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


def _objective(metric: str | None, *, own_weight: float | None, max_own_drop: float | None) -> Objective:
    weights = {str(name): weight for name, weight in OWN_WEIGHTS.items()}
    if metric is not None and own_weight is not None:
        raise ValueError(
            f"own-weight must not be given beside a metric, which it stands in place of, got {own_weight} and "
            f"{plain(metric)}."
        )
    metric = metric or _METRIC
    if metric not in weights:
        raise ValueError(f"metric must be one of {', '.join(weights)}, got {plain(metric)}.")
    return Objective(own_weight=weights[metric] if own_weight is None else own_weight, max_own_drop=max_own_drop)


def _check_output(output: Path) -> None:
    if output.suffix not in _SUFFIXES:
        raise ValueError(f"output must be a file that ends in {' or '.join(_SUFFIXES)}, got {plain_path(output)}.")
    if output.is_dir() or not output.absolute().parent.is_dir():
        raise ValueError(f"output must be a file in a folder that exists, got {plain_path(output)}.")


def _distinct(paths: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return a name for each table: its own, or its path where others have the same."""
    return [name if names.count(name) == 1 else path for path, name in zip(paths, names, strict=True)]
