import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from benchmarks.tuning.replay import Replay, load_earlier, load_replay
from peerkd.study.objective import Objective
from peerkd.study.splits import OWN_WEIGHTS
from peerkd.tuning.space import SettingOnSet
from tests.benchmarks.tuning.conftest import NUM_EPOCHS, NUM_PAIRS, NUM_SETTINGS, STUDY
from tests.tables import Study


def test_pairs_and_settings_keep_the_order_of_the_table(replay: Replay, sweep: pa.Table) -> None:
    space = replay.space
    assert replay.gains_QSE.shape == (NUM_PAIRS, NUM_SETTINGS, NUM_EPOCHS)
    rows = [row for row in sweep.to_pylist() if row["distillation_weight"] > 0]
    assert list(zip(space.students_Q, space.teachers_Q, strict=True)) == sorted(
        {(r["student"], r["teacher"]) for r in rows}
    )
    of_first_pair = rows[:NUM_SETTINGS]
    assert [(each.transfer_set, each.temperature, each.alpha) for each in space.settings] == [
        (row["transfer_set"], row["temperature"], row["alpha"]) for row in of_first_pair
    ]
    default = space.settings[space.default_setting]
    assert (default.transfer_set, default.temperature, default.alpha) == ("student", 1.0, 0.5)
    assert space.num_samples_QS.tolist() == [[120] * NUM_SETTINGS] * NUM_PAIRS
    assert replay.name == "sweep"


@pytest.mark.parametrize("metric", ["global_accuracy", "own_accuracy"])
def test_gains_are_those_of_the_rows(sweep: pa.Table, written: Callable[..., Path], metric: str) -> None:
    replay = load_replay(written(sweep), objective=Objective(own_weight=OWN_WEIGHTS[metric]))
    scope, space = metric.removesuffix("_accuracy"), replay.space
    chosen = np.random.default_rng(0).integers(NUM_SETTINGS, size=NUM_PAIRS)
    expected = []
    for pair, place in enumerate(chosen):
        setting = space.settings[place]
        (row,) = [
            row
            for row in sweep.to_pylist()
            if (row["student"], row["teacher"]) == (space.students_Q[pair], space.teachers_Q[pair])
            and (row["transfer_set"], row["temperature"], row["alpha"]) == setting[:3]
        ]
        before = row[f"validation_{scope}_accuracy_before"]
        by_epoch = np.array(row[f"validation_{scope}_accuracy_by_epoch"])
        np.testing.assert_allclose(replay.gains_QSE[pair, place], by_epoch - before)
        np.testing.assert_allclose(replay.gains_QSE[pair, place, -1], row[f"validation_{scope}_gain"], atol=1e-12)
        expected.append(row[f"test_{scope}_gain"])
    assert replay.test_gains.mean_gain(chosen) == pytest.approx(np.mean(expected))


def test_unused_columns_may_be_missing(replay: Replay, sweep: pa.Table, written: Callable[..., Path]) -> None:
    gains = ("validation_global_accuracy_before", "validation_global_accuracy_by_epoch", "test_global_gain")
    identity = ("student", "teacher", "transfer_set", "temperature", "alpha", "distillation_weight")
    few = load_replay(written(sweep.select([*identity, "num_transfer_samples", "epochs", *gains]), name="few"))
    np.testing.assert_array_equal(few.gains_QSE, replay.gains_QSE)
    assert few.reference == replay.reference


def test_an_earlier_sweep_needs_no_accuracies_by_epoch(
    replay: Replay, sweep: pa.Table, written: Callable[..., Path]
) -> None:
    names = [name for name in sweep.column_names if not name.endswith("by_epoch")]
    path = written(sweep.select(names), name="old")
    np.testing.assert_allclose(load_earlier(path).gains_QS, replay.earlier.gains_QS, atol=1e-12)
    assert load_earlier(path.parent).space.num_epochs == NUM_EPOCHS
    with pytest.raises(ValueError, match=r"sweep.validate_every_epoch=true, got one without"):
        load_replay(path)


def test_features_next_to_the_table_are_sorted_by_pair(sweep: pa.Table, written: Callable[..., Path]) -> None:
    path = written(sweep)
    pairs = [(student, teacher) for student in range(4) for teacher in range(4) if student != teacher]
    students, teachers = np.array(pairs[::-1]).T
    columns = {"student": students, "teacher": teachers, "sum": students + teachers, "product": students * teachers}
    pq.write_table(
        pa.table({name: pa.array(values.astype(float)) for name, values in columns.items()}),
        path.parent / "features.parquet",
    )
    space = load_replay(path).space
    assert space.feature_names == ("sum", "product")
    assert space.features_QF.tolist() == [[i + j, i * j] for i, j in pairs]
    columns["product"] = np.full(len(pairs), np.inf)
    pq.write_table(pa.table(columns), path.parent / "features.parquet")
    with pytest.raises(ValueError, match=r"product of .*features.parquet must be a finite number in every row, got"):
        load_replay(path)
    columns["product"] = students
    pq.write_table(pa.table(columns).slice(1), path.parent / "features.parquet")
    with pytest.raises(ValueError, match="must have features of each pair, got none of student 3 and teacher 2"):
        load_replay(path)
    pq.write_table(pa.table({"sum": [1.0]}), path.parent / "features.parquet")
    with pytest.raises(ValueError, match="must be a table of features of pairs, got one that lacks student, teacher"):
        load_replay(path)


def test_the_transfer_set_of_the_default_can_be_specified(sweep: pa.Table, written: Callable[..., Path]) -> None:
    path = written(sweep)
    space = load_replay(path, default_transfer_set="both").space
    assert space.settings[space.default_setting][:3] == ("both", 1.0, 0.5)
    with pytest.raises(ValueError, match="must have a trial of the default on teacher, got none"):
        load_replay(path, default_transfer_set="teacher")


def test_a_file_that_is_not_a_table_of_trials_is_refused(
    sweep: pa.Table, written: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"no.parquet must be a table of trials, got no such file"):
        load_replay(tmp_path / "no.parquet")
    (tmp_path / "text.parquet").write_text("trials")
    with pytest.raises(ValueError, match="must be a table of trials as Parquet, got a file that cannot be read so"):
        load_replay(tmp_path / "text.parquet")
    with pytest.raises(ValueError, match="must be a table of trials, got one that lacks teacher, alpha"):
        load_replay(written(sweep.drop_columns(["teacher", "alpha"])))
    with pytest.raises(ValueError, match="must be a table with distillations, got none"):
        load_replay(written(sweep.filter(pc.equal(sweep["distillation_weight"], 0))))
    with pytest.raises(ValueError, match=r"temperature of .* must be a finite number above 0 in every row, got null"):
        load_replay(written(sweep, temperature=[None] * sweep.num_rows))


def test_damage_within_the_data_pages_is_refused(sweep: pa.Table, written: Callable[..., Path]) -> None:
    path = written(sweep)
    content = bytearray(path.read_bytes())
    first_page = pq.read_metadata(path).row_group(0).column(0).dictionary_page_offset
    content[first_page : first_page + 32] = bytes(32)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"must be a table of trials as Parquet, got a file that cannot be read so\.$"):
        load_replay(path)


def test_a_sweep_that_was_not_validated_after_each_epoch_is_refused(written: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match=r"sweep.validate_every_epoch=true, got one without"):
        load_replay(written(Study(**STUDY).table))


def test_a_sweep_without_test_accuracies_by_epoch_cannot_choose_epochs(
    sweep: pa.Table, written: Callable[..., Path]
) -> None:
    path = written(sweep.drop_columns(["test_global_accuracy_by_epoch"]))
    assert load_replay(path).space.num_epochs == NUM_EPOCHS
    with pytest.raises(ValueError, match=r"validate_every_epoch=true, got one without test accuracies after each"):
        load_replay(path, chooses_epochs=True)


def test_an_incomplete_sweep_is_refused(sweep: pa.Table, written: Callable[..., Path]) -> None:
    rows = sweep.to_pylist()
    dropped = next(
        n for n, row in enumerate(rows) if (row["student"], row["teacher"], row["temperature"]) == (2, 1, 4.0)
    )
    table = pa.concat_tables([sweep.slice(0, dropped), sweep.slice(dropped + 1)])
    with pytest.raises(ValueError, match="all 18 settings, got 17 for student 2 and teacher 1"):
        load_replay(written(table))
    no_pair = sweep.filter(pc.invert(pc.and_kleene(pc.equal(sweep["student"], 3), pc.equal(sweep["teacher"], 0))))
    with pytest.raises(ValueError, match="all 18 settings, got 0 for student 3 and teacher 0"):
        load_replay(written(no_pair))


def test_trials_of_different_lengths_are_refused(sweep: pa.Table, written: Callable[..., Path]) -> None:
    epochs = sweep["epochs"].to_pylist()
    with pytest.raises(ValueError, match="must have the same epochs, got from 2 to 3"):
        load_replay(written(sweep, epochs=[2, *epochs[1:-1], 2]))
    with pytest.raises(ValueError, match="must have an accuracy after each of 4 epochs"):
        load_replay(written(sweep, epochs=[4] * len(epochs)))


RATES = (0.005, 0.02, 0.08)


@pytest.fixture
def at_rates(written: Callable[..., Path]) -> Path:
    return written(Study(**{**STUDY, "temperatures": (1.0, 4.0)}, learning_rates=RATES, by_epoch=True).table)


def test_learning_rates_are_a_dimension_of_the_settings(at_rates: Path) -> None:
    replay = load_replay(at_rates, default_learning_rate=0.02)
    space = replay.space
    assert len(space.settings) == len(set(space.settings)) == 2 * 2 * 3 * 3
    assert {setting.learning_rate for setting in space.settings} == set(RATES)
    assert space.settings[space.default_setting] == SettingOnSet("student", 1.0, 0.5, 0.5, 0.02)
    rows = [row for row in pq.read_table(at_rates).to_pylist() if row["distillation_weight"] > 0]
    names = ("transfer_set", "temperature", "alpha", "distillation_weight", "learning_rate", "loss", "target")
    assert [tuple(setting) for setting in space.settings] == [tuple(row[n] for n in names) for row in rows[:36]]
    gains = [row["validation_global_accuracy_after"] - row["validation_global_accuracy_before"] for row in rows]
    np.testing.assert_allclose(replay.gains_QSE[:, :, -1].ravel(), gains, atol=1e-12)


@pytest.mark.parametrize(("rate", "got"), [(None, "none"), (0.1, "0.1")])
def test_several_learning_rates_require_the_rate_of_the_default(at_rates: Path, rate: float | None, got: str) -> None:
    for load in (load_replay, load_earlier):
        with pytest.raises(ValueError, match=r"default_learning_rate must be one of \[0.005, 0.02, 0.08\]") as caught:
            load(at_rates, default_learning_rate=rate)
        assert str(caught.value).endswith(f"trials.parquet, got {got}.")


def test_a_single_learning_rate_needs_no_rate_of_the_default(written: Callable[..., Path]) -> None:
    path = written(Study(**STUDY, learning_rates=(0.08,), by_epoch=True).table)
    space = load_replay(path).space
    assert {setting.learning_rate for setting in space.settings} == {0.08}
    assert space.settings[space.default_setting].learning_rate == 0.08


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("validation_global_accuracy_before", math.nan, "must be a fraction from 0 to 1 in every row, got nan in row"),
        ("validation_global_accuracy_before", 1.01, "must be a fraction from 0 to 1 in every row, got 1.01 in row"),
        ("validation_global_accuracy_before", None, "must be a fraction from 0 to 1 in every row, got null in row"),
        ("validation_global_accuracy_by_epoch", [0.5, math.inf, 0.5], "must be a fraction .* got inf in row"),
        ("validation_global_accuracy_by_epoch", [0.5, None, 0.5], "must be a fraction .* got null in row"),
        ("validation_global_accuracy_by_epoch", None, "must be a fraction .* got null in row"),
        ("test_global_gain", -1.5, "must be a difference of fractions, from -1 to 1 in every row, got -1.5 in row"),
        ("temperature", 0.0, "must be a finite number above 0 in every row, got 0.0 in row"),
        ("temperature", math.inf, "must be a finite number above 0 in every row, got inf in row"),
        ("distillation_weight", math.nan, "must be a fraction from 0 to 1 in every row, got nan in row"),
        ("distillation_weight", None, "must be a fraction from 0 to 1 in every row, got null in row"),
        ("transfer_set", "mine", "must be one of student, .* in every row, got mine in row"),
        ("teacher", -1, "must be the number of a peer, from 0 in every row, got -1 in row"),
        ("num_transfer_samples", 0, "must be a whole number from 1 in every row, got 0 in row"),
    ],
)
def test_an_invalid_value_is_refused_with_its_file_column_and_row(
    sweep: pa.Table, written: Callable[..., Path], column: str, value: object, message: str
) -> None:
    row = next(place for place, each in enumerate(sweep["distillation_weight"].to_pylist()) if each) + 7
    values = sweep[column].to_pylist()
    values[row] = value
    with pytest.raises(ValueError, match=rf"^{column} of .*trials.parquet {message} {row}\.$"):
        load_replay(written(sweep, **{column: values}))


@pytest.mark.parametrize("column", ["test_global_accuracy_after", "test_own_gain", "validation_own_accuracy_before"])
@pytest.mark.parametrize("is_control", [True, False])
def test_a_wrong_value_is_refused_even_if_it_is_not_used(
    sweep: pa.Table, written: Callable[..., Path], column: str, is_control: bool
) -> None:
    row = [weight == 0 for weight in sweep["distillation_weight"].to_pylist()].index(is_control)
    values = sweep[column].to_pylist()
    values[row] = math.nan
    with pytest.raises(ValueError, match=rf"^{column} of .*trials.parquet must be a .* got nan in row {row}\.$"):
        load_replay(written(sweep, **{column: values}))


def test_columns_of_wrong_types_are_refused(sweep: pa.Table, written: Callable[..., Path]) -> None:
    for column, kind in (("temperature", pa.string()), ("student", pa.float64()), ("epochs", pa.string())):
        place = sweep.column_names.index(column)
        other = sweep.set_column(place, column, sweep[column].cast(kind))
        with pytest.raises(ValueError, match=rf"^{column} of .* must be .*, got values of type {kind}\.$"):
            load_replay(written(other))


def test_is_finite_must_be_true_or_false(sweep: pa.Table, written: Callable[..., Path]) -> None:
    text = pa.array(["yes"] * sweep.num_rows)
    path = written(sweep.set_column(sweep.column_names.index("is_finite"), "is_finite", text))
    with pytest.raises(ValueError, match=r"^is_finite of .+ must be true or false in every row, got .+ string\.$"):
        load_replay(path)


def test_a_damaged_column_name_is_refused(sweep: pa.Table, written: Callable[..., Path]) -> None:
    path = written(sweep.append_column("zz", pa.array([0] * sweep.num_rows)).replace_schema_metadata())
    path.write_bytes(path.read_bytes().replace(b"zz", b"\xe8z"))
    with pytest.raises(ValueError, match=r"got a file that cannot be read so\.$"):
        load_replay(path)


def test_a_duplicate_or_diverged_trial_is_refused(sweep: pa.Table, written: Callable[..., Path]) -> None:
    last = sweep.num_rows - 1
    with pytest.raises(
        ValueError, match=rf"must have each trial once, got one in row {last} and again in row {last + 1}"
    ):
        load_replay(written(pa.concat_tables([sweep, sweep.slice(last)])))
    is_finite = [row != last for row in range(sweep.num_rows)]
    with pytest.raises(ValueError, match=rf"got 1 of [\d,]+ that diverged, the first in row {last}\.$"):
        load_replay(written(sweep, is_finite=is_finite))


def test_losses_and_targets_of_a_table_are_dimensions(sweep: pa.Table, written: Callable[..., Path]) -> None:
    # Half of the temperatures take the place of a second loss and a second target.
    rows = [row for row in sweep.to_pylist() if row["temperature"] in (1.0, 2.0)]
    several = pa.Table.from_pylist(rows, schema=sweep.schema)
    is_second = [row["temperature"] == 2.0 for row in rows]
    path = written(
        several,
        temperature=[1.0] * len(rows),
        loss=["ttm" if second else "kl" for second in is_second],
        target=["masks" if second else "teacher" for second in is_second],
    )
    replay = load_replay(path)
    assert {(each.loss, each.target) for each in replay.space.settings} == {("kl", "teacher"), ("ttm", "masks")}
    default = replay.space.settings[replay.space.default_setting]
    assert (default.loss, default.target) == ("kl", "teacher")
    assert replay.seed == 0
    taught = replay.space.num_taught_samples_QS / replay.space.num_samples_QS
    assert taught[0].tolist() == [2.0 if each.target == "masks" else 1.0 for each in replay.space.settings]
    strange = written(several, loss=["strange"] * len(rows))
    with pytest.raises(ValueError, match=r"loss of .* must be one of kl, "):
        load_replay(strange)
