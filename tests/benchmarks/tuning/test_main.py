"""The comparison of tuners runs, names what it compares, and refuses bad input in one sentence."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.tuning.__main__ import main
from benchmarks.tuning.tuners import TUNERS
from tests.tables import Study

SMALL = {"num_peers": 3, "temperatures": (1.0, 4.0), "alphas": (0.1, 0.5), "transfer_sets": ("student", "both")}


class Ended(NamedTuple):
    exit_code: int
    out: str
    err: str


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Ended]:
    """Run the benchmark in an empty folder, in this process."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: Ended(main(words), *capsys.readouterr())


@pytest.fixture(scope="module")
def tables() -> list[pa.Table]:
    return [Study(**SMALL, seed=seed, by_epoch=True).table for seed in range(2)]


@pytest.fixture
def sweeps(tables: list[pa.Table], tmp_path: Path) -> list[str]:
    for name, table in zip("ab", tables, strict=True):
        (tmp_path / name).mkdir()
        pq.write_table(table, tmp_path / name / "trials.parquet")
    return ["a/trials.parquet", "b/trials.parquet"]


def rows_of(outcome: Ended) -> list[list[str]]:
    lines = [line for line in outcome.out.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_a_table_of_all_tuners_and_budgets_is_printed(run, sweeps: list[str]) -> None:
    outcome = run(sweeps[0], "--budget", "0.1", "--budget", "1", "--seeds", "2")
    assert (outcome.exit_code, outcome.err) == (0, "")
    rows = rows_of(outcome)
    assert [row[:2] for row in rows] == [[name, budget] for name in TUNERS for budget in ("10 %", "100 %")]
    (whole,) = [row for row in rows if row[:2] == ["random", "100 %"]]
    assert whole[4:7] == ["0.00", "100.00", "6"]
    assert "Tuners choose on validation; every number is of those choices on test" in outcome.out
    assert "- a: full sweep +" in outcome.out
    assert "Means over 2 seeds" in outcome.out


def test_several_experiments_are_averaged_in_the_table_and_separate_in_the_file(
    run, sweeps: list[str], tmp_path: Path
) -> None:
    options = [word for path in sweeps for word in (path, "--prior", path)]
    chosen = ("--tuner", "portfolio", "--tuner", "default", "--budget", "0", "--seeds", "2")
    outcome = run(*options, *chosen, "--output", "out.csv")
    assert outcome.exit_code == 0
    assert [row[0] for row in rows_of(outcome)] == ["portfolio", "default"]
    assert "Means over 2 experiments" in outcome.out
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["experiment"], row["tuner"]) for row in rows] == [
        (e, t) for t in ("portfolio", "default") for e in ("a", "b", "all")
    ]
    gains = [float(row["gain"]) for row in rows[:3]]
    assert gains[2] == pytest.approx(sum(gains[:2]) / 2, abs=1e-6)
    assert gains[0] != 0  # it knows the other experiment before its first measurement


def test_experience_is_not_learned_from_the_judged_sweep(run, sweeps: list[str]) -> None:
    outcome = run("a", "--learn-from", "a", "--learn-from", "b", "--tuner", "zero_shot", "--budget", "0")
    assert outcome.exit_code == 2
    assert "learn-from must leave two sweeps besides" in outcome.err
    outcome = run("a", "--batch-size", "0", "--tuner", "default", "--budget", "0")
    assert "batch-size must be at least 1, got 0." in outcome.err


def test_a_sweep_cannot_be_its_own_prior(run, sweeps: list[str]) -> None:
    outcome = run(sweeps[0], "--prior", "a", "--tuner", "portfolio", "--budget", "0")
    (row,) = rows_of(outcome)
    assert row[3] == "0.00"


def test_the_printed_table_can_be_written_to_a_file(run, sweeps: list[str], tmp_path: Path) -> None:
    outcome = run("a", "--tuner", "random", "--metric", "own_accuracy", "--output", "out.md")
    assert outcome.exit_code == 0
    assert (tmp_path / "out.md").read_text() == outcome.out
    assert outcome.out.startswith("# Tuners, by gain of own accuracy\n")
    assert [row[1] for row in rows_of(outcome)] == ["1 %", "2 %", "5 %", "10 %"]


def test_a_mixed_objective_and_a_limit_are_printed_and_change_choices(run, sweeps: list[str], tmp_path: Path) -> None:
    def full(*options: str) -> str:
        outcome = run("a", "--tuner", "random", "--budget", "1", "--seeds", "1", *options)
        assert (outcome.exit_code, outcome.err) == (0, "")
        (line,) = [line for line in outcome.out.splitlines() if line.startswith("- a: full sweep")]
        assert rows_of(outcome)[0][4] == "0.00"
        texts.append(outcome.out)
        return line

    texts: list[str] = []
    lines = [full(), full("--own-weight", "0.5"), full("--own-weight", "0.5", "--max-own-drop", "0.01")]
    assert len(set(lines)) == 3
    assert full("--own-weight", "1") == full("--metric", "own_accuracy")
    assert texts[1].startswith("# Tuners, by gain of accuracy (50 % global, 50 % own)\n")
    assert "own accuracy." not in texts[1]
    assert "the student loses at most 1 points of its own accuracy. A student whose choice was not measured" in texts[2]


def test_held_out_parts_have_separate_tables(run, sweeps: list[str], tmp_path: Path) -> None:
    parts = ("--held-out", "pairs", "--held-out", "peers", "--folds", "3")
    chosen = ("--tuner", "portfolio", "--budget", "0", "--budget", "0.5", "--seeds", "2")
    outcome = run("a", *parts, *chosen, "--output", "out.csv")
    assert (outcome.exit_code, outcome.err) == (0, "")
    titles = [line for line in outcome.out.splitlines() if line.startswith("## ")]
    assert titles == ["## Held-out experiments", "## Held-out pairs", "## Held-out peers"]
    assert "3 folds of pairs: on each, tuners start from whole trials of all other pairs" in outcome.out
    assert "3 folds of peers: on the pairs of each" in outcome.out
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["held_out"], row["folds"], row["budget"]) for row in rows] == [
        (part, folds, budget)
        for part, folds in (("experiments", "0"), ("pairs", "3"), ("peers", "3"))
        for budget in ("0", "0.5")
    ]
    # Prior knowledge comes only from other pairs.
    assert [float(row["gain"]) != 0 for row in rows if row["budget"] == "0"] == [False, True, True]


def test_a_choice_may_stop_after_any_epoch(run, sweeps: list[str], tables: list[pa.Table], tmp_path: Path) -> None:
    turned = tables[0]
    for name in [name for name in turned.column_names if name.startswith("validation") and name.endswith("by_epoch")]:
        lists = pa.array([values[::-1] for values in turned[name].to_pylist()], turned.schema.field(name).type)
        turned = turned.set_column(turned.column_names.index(name), turned.schema.field(name), lists)
    pq.write_table(turned, tmp_path / "a" / "trials.parquet")
    command = ("a", "--prior", "b", "--tuner", "random", "--budget", "1", "--seeds", "1")
    plain, choosing = (run(*command, *more) for more in ((), ("--choose-epochs",)))
    assert choosing.exit_code == 0
    assert "A choice stops after the epoch that was best on validation" in choosing.out
    assert float(rows_of(choosing)[0][3]) != float(rows_of(plain)[0][3])
    assert rows_of(choosing)[0][4:6] == rows_of(plain)[0][4:6] == ["0.00", "100.00"]


def test_sweeps_with_several_learning_rates_are_replayed(run, tmp_path: Path) -> None:
    pq.write_table(Study(**SMALL, learning_rates=(0.02, 0.1), by_epoch=True).table, tmp_path / "trials.parquet")
    outcome = run("trials.parquet", "--budget", "0.3", "--seeds", "1")
    assert (outcome.exit_code, outcome.err.split(", got")[-1]) == (2, " none.\n")
    outcome = run(*("trials.parquet", "--budget", "0.3", "--seeds", "1", "--default-learning-rate", "0.02"))
    assert (outcome.exit_code, outcome.err) == (0, "")
    assert [row[0] for row in rows_of(outcome)] == list(TUNERS)


def test_teachers_cost_more_where_views_are_augmented(run, sweeps: list[str]) -> None:
    command = ("a", "--tuner", "successive_halving", "--budget", "1", "--seeds", "1")
    plain, augmented = (float(rows_of(run(*command, *more))[0][5]) for more in ((), ("--augmented",)))
    assert plain != augmented


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("no.parquet",), "{here}/no.parquet must be a table of trials, got no such file."),
        (
            ("a", "a/trials.parquet"),
            "Each table must be given once, got a, a/trials.parquet.",
        ),
        (
            ("a", "--tuner", "luck"),
            f"tuner must be one of {', '.join(TUNERS)}, got luck.",
        ),
        (("a", "--budget", "2"), "budget must be at least one share from 0 to 1, got [2.0]."),
        (("a", "--seeds", "0"), "seeds must be from 1 to 1,000, got 0."),
        (("a", "--folds", "2"), "folds must be given with held-out parts, got 2 without."),
        (
            ("a", "--default-learning-rate", "nan"),
            "default-learning-rate must be a finite number above 0, got nan.",
        ),
        (
            ("a", "--own-weight", "0.5", "--metric", "own_accuracy"),
            "own-weight must not be given beside a metric, got 0.5 and own_accuracy.",
        ),
        (
            ("a", "--held-out", "pairs", "--folds", "7"),
            "folds must be from 2 to the 6 pairs that there are, got 7.",
        ),
        (("a", "--own-weight", "2"), "own_weight must be from 0 to 1, got 2.0."),
        (("a", "--max-own-drop", "-0.1"), "max_own_drop must be from 0 to 1, got -0.1."),
        (("a", "--output", "out.txt"), "output must be a file that ends in .md or .csv, got out.txt."),
        (("a", "--output", "no/out.md"), "output must be a file in a folder that exists, got no/out.md."),
    ],
)
def test_bad_input_ends_with_exit_code_two_and_one_sentence(
    run, sweeps: list[str], tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    assert run(*options) == Ended(2, "", f"benchmarks.tuning: {message.format(here=tmp_path)}\n")


def test_sweeps_that_cannot_be_replayed_are_refused(
    run, sweeps: list[str], tables: list[pa.Table], tmp_path: Path
) -> None:
    pq.write_table(tables[0].slice(1), tmp_path / "b" / "trials.parquet")
    pq.write_table(Study(**SMALL).table, tmp_path / "a" / "trials.parquet")
    (tmp_path / "text.parquet").write_text("trials")
    for path, words in (("a", "validate_every_epoch=true"), ("text.parquet", "cannot be read so")):
        outcome = run(path)
        assert (outcome.exit_code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
        assert words in outcome.err
    rows = tables[0].to_pylist()
    first = next(number for number, row in enumerate(rows) if row["distillation_weight"] > 0)
    part = pa.concat_tables([tables[0].slice(0, first), tables[0].slice(first + 1)])
    pq.write_table(part, tmp_path / "b" / "trials.parquet")
    outcome = run("b")
    assert outcome.exit_code == 2
    assert "must have a trial under all 8 settings, got 7 for student 0 and teacher 1" in outcome.err


def test_without_a_table_the_two_small_sweeps_of_the_repository_are_replayed(run) -> None:
    outcome = run("--quick", "--tuner", "default")
    assert (outcome.exit_code, outcome.err) == (0, "")
    assert "Means over 2 experiments" in outcome.out
    assert [line.split(":")[0] for line in outcome.out.splitlines() if "best single setting +" in line] == [
        "- classes",
        "- dirichlet",
    ]
    assert [row[:2] for row in rows_of(outcome)] == [["default", "5 %"]]
