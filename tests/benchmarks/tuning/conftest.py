"""Full sweeps on disk: one small simulated study, in whose columns a best setting can be planted."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.tuning.replay import Replay, load_replay
from peerkd.study.objective import Objective
from peerkd.tuning.protocol import Observation, Suggestion, Tuner
from tests.tables import Study

STUDY = {
    "num_peers": 4,
    "temperatures": (1.0, 2.0, 4.0),
    "alphas": (0.1, 0.5, 0.9),
    "transfer_sets": ("student", "both"),
}
NUM_PAIRS, NUM_SETTINGS, NUM_EPOCHS = 12, 18, 3


@pytest.fixture(scope="session")
def sweep() -> pa.Table:
    return Study(**STUDY, by_epoch=True).table


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write a table as a study does, with some columns replaced, and return its path."""

    def write(table: pa.Table, *, name: str = "sweep", **columns: object) -> Path:
        for column, values in columns.items():
            place = table.column_names.index(column)
            table = table.set_column(place, column, pa.array(values, table.schema.field(column).type))
        path = tmp_path / name / "trials.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(table, path)
        return path

    return write


@pytest.fixture
def replay(sweep: pa.Table, written: Callable[..., Path]) -> Replay:
    return load_replay(written(sweep))


@pytest.fixture
def planted(sweep: pa.Table, written: Callable[..., Path]) -> Callable[..., Replay]:
    """Return a replay in which one setting of each pair is by far the best on validation, from the first epoch on.

    This setting gains as much on the student's own classes as on all classes. ``tempting`` is the global and own gain
    of the setting after it. ``progress`` is the fraction of its gain that a trial has after each epoch.
    """

    def plant(
        seed: int = 0,
        *,
        one_for_all: bool = False,
        test_sign: float = 1.0,
        objective: Objective | None = None,
        tempting: tuple[float, float] | None = None,
        chooses_epochs: bool = False,
        progress: tuple[float, ...] = (0.5, 0.8, 1.0),
    ) -> tuple[Replay, np.ndarray]:
        rows = sweep.to_pylist()
        pairs = sorted({(row["student"], row["teacher"]) for row in rows if row["teacher"] is not None})
        settings = sorted({setting_of(row) for row in rows if row["distillation_weight"] > 0})
        drawn = np.random.default_rng(seed).integers(len(settings), size=len(pairs))
        drawn = np.full_like(drawn, drawn[0]) if one_for_all else drawn
        best = {pair: settings[place] for pair, place in zip(pairs, drawn, strict=True)}
        after_best = dict(zip(settings, settings[1:] + settings[:1], strict=True))
        columns: dict[str, list[object]] = {}
        for number, row in enumerate(rows):
            of_pair = best.get((row["student"], row["teacher"]))
            gains = (0.2, 0.2) if of_pair == setting_of(row) else (0.001 * (number % 7),) * 2
            if tempting and after_best.get(of_pair) == setting_of(row):
                gains = tempting
            for scope, gain in zip(("global", "own"), gains, strict=True):
                for split, sign in (("validation", 1.0), ("test", test_sign)):
                    # Accuracies must stay fractions after any gain or loss.
                    before = min(max(row[f"{split}_{scope}_accuracy_before"], 0.4), 0.6)
                    by_epoch = [before + sign * gain * part for part in progress]
                    columns.setdefault(f"{split}_{scope}_accuracy_before", []).append(before)
                    columns.setdefault(f"{split}_{scope}_accuracy_by_epoch", []).append(by_epoch)
                columns.setdefault(f"test_{scope}_gain", []).append(test_sign * gain * progress[-1])
        found = load_replay(
            written(sweep, name="planted", **columns), objective=objective, chooses_epochs=chooses_epochs
        )
        places = {(each.transfer_set, each.temperature, each.alpha): n for n, each in enumerate(found.space.settings)}
        return found, np.array([places[best[pair]] for pair in pairs])

    return plant


def setting_of(row: dict[str, object]) -> tuple[object, ...]:
    return row["transfer_set"], row["temperature"], row["alpha"]


class Recorded:
    """A tuner that records the suggestions and observations of another tuner."""

    def __init__(self, tuner: Tuner) -> None:
        self.tuner = tuner
        self.asks: list[Suggestion] = []
        self.told: list[Observation] = []

    def ask(self, num: int) -> list[Suggestion]:
        asks = list(self.tuner.ask(num))
        self.asks += asks
        return asks

    def tell(self, observation: Observation) -> None:
        self.told.append(observation)
        self.tuner.tell(observation)

    def choices(self) -> np.ndarray:
        return self.tuner.choices()
