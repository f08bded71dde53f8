import math
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from peerkd.errors import ArtifactCorruptError, ArtifactNotFoundError
from peerkd.results import arrow
from peerkd.results.schema import BY_EPOCH_COLUMNS, TRIALS_SCHEMA
from peerkd.results.table import (
    DERIVED_COLUMNS,
    NOT_IN_FINGERPRINT,
    RECORD_COLUMNS,
    assemble,
    fingerprint,
    fingerprint_file,
    mapped_table,
    num_finite,
    read_table,
    write_table,
)
from tests.tables import Study, control, diverged, record

GAIN_PARTS = ("test_global_gain", "test_global_gain_from_data", "test_global_gain_from_teacher")


def values(table, row, columns=GAIN_PARTS):
    return [table[column][row].as_py() for column in columns]


def test_derived_columns_and_those_of_records_form_the_schema():
    assert set(RECORD_COLUMNS) | DERIVED_COLUMNS == set(TRIALS_SCHEMA.names)


def test_a_gain_is_divided_by_the_control_on_the_same_data():
    table = assemble(
        [
            record(test_global_accuracy_before=0.5, test_global_accuracy_after=0.8),
            control(test_global_accuracy_before=0.5, test_global_accuracy_after=0.6),
        ]
    )
    assert values(table, 0) == pytest.approx([0.1, 0.1, 0.0])  # the control
    assert values(table, 1) == pytest.approx([0.3, 0.1, 0.2])


def test_each_teachers_data_have_their_own_control():
    table = assemble(
        [
            control(teacher=1, transfer_set="teacher", test_global_accuracy_after=0.6),
            control(teacher=2, transfer_set="teacher", test_global_accuracy_after=0.9),
            record(teacher=1, transfer_set="teacher"),
            record(teacher=2, transfer_set="teacher"),
        ]
    )
    from_data = {
        row["teacher"]: row["test_global_gain_from_data"] for row in table.to_pylist() if row["distillation_weight"]
    }
    assert from_data == pytest.approx({1: 0.1, 2: 0.4})


def test_without_a_control_the_gain_is_not_divided():
    table = assemble([record(transfer_set="public_unlabelled", distillation_weight=1.0), control()])
    row = table.to_pylist()[1]
    assert row["transfer_set"] == "public_unlabelled"
    assert row["test_global_gain"] == 0
    assert row["test_global_gain_from_data"] is None
    assert row["test_global_gain_from_teacher"] is None


def test_forgetting_and_learning_are_means_over_classes_with_samples():
    table = assemble(
        [
            record(
                test_class_accuracy_before=[0.9, 0.2, math.nan, None],
                test_class_accuracy_after=np.array([0.6, 0.4, np.nan, np.nan]),
            )
        ]
    )
    assert values(table, 0, ["test_forgetting", "test_learning"]) == pytest.approx([0.15, 0.1])
    assert table["test_class_accuracy_before"][0].as_py() == [0.9, 0.2, None, None]


def test_forgetting_is_null_if_no_class_has_samples():
    table = assemble([record(test_class_accuracy_before=[None], test_class_accuracy_after=[None])])
    assert values(table, 0, ["test_forgetting", "test_learning"]) == [None, None]


def test_the_table_does_not_depend_on_the_order_of_the_records():
    records = [
        record(transfer_set=name, temperature=temperature, alpha=alpha, distillation_weight=alpha, teacher=teacher)
        for name in ("both", "student", "public")
        for temperature in (4.0, 1.0)
        for alpha in (0.5, 0.1)
        for teacher in (2, 1)
    ] + [control(), control(teacher=1, transfer_set="both")]
    expected = assemble(records)
    for seed in range(5):
        random.Random(seed).shuffle(records)
        assert assemble(records).equals(expected)


def test_the_table_has_the_schema_with_its_descriptions():
    assert assemble([record()]).schema.equals(TRIALS_SCHEMA, check_metadata=True)
    assert assemble([]).schema.equals(TRIALS_SCHEMA, check_metadata=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_global_gain": 0.0}, "must not have test_global_gain"),
        ({"student": None}, "lacks student"),
        ({"transfer_set": "mine"}, "transfer_set must be one of student, teacher, both"),
        ({"test_class_accuracy_after": [0.5]}, "equally many, got 2, 1"),
    ],
)
def test_an_invalid_record_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        assemble([record(**changes)])


@pytest.mark.parametrize("name", ["seconds", "learning_rate", "is_finite", "test_own_accuracy_by_epoch"])
def test_a_record_and_a_table_without_a_column_are_refused(tmp_path, name):
    incomplete = record()
    del incomplete[name]
    with pytest.raises(ValueError, match=f"lacks {name}"):
        assemble([incomplete])
    path = tmp_path / "trials.parquet"
    pq.write_table(assemble([record()]).drop_columns([name]), path)
    message = rf"does not contain a table of trials: .* the columns of TRIALS_SCHEMA, got differing in {name}\.$"
    with pytest.raises(ArtifactCorruptError, match=message):
        read_table(path)
    with pytest.raises(ArtifactCorruptError, match=message), mapped_table(path):
        pass


def test_a_duplicate_trial_is_refused():
    with pytest.raises(ValueError, match="got two with student 0, teacher 1, transfer_set student, temperature 1"):
        assemble([record(), record(seconds=2.0)])


def test_two_controls_of_the_same_data_are_refused():
    with pytest.raises(ValueError, match="must have one control, got two with student 0"):
        assemble([control(), control(teacher=1)])


def test_the_fingerprint_covers_every_value_except_seconds():
    plain = fingerprint(assemble([record()]))
    assert fingerprint(assemble([record(seconds=9.0)])) == plain
    different = [
        record(student=2),
        record(teacher=None),
        record(transfer_set="both"),
        record(validation_own_accuracy_after=0.25),
        record(test_class_accuracy_after=[0.5, None]),
        record(test_correct_bits=None),
        record(test_correct_bits=b""),
    ]
    fingerprints = [fingerprint(assemble([one])) for one in different]
    assert len({plain, *fingerprints}) == len(different) + 1


BY_EPOCH = {name: [0.25 + 0.125 * place, 0.5] for place, name in enumerate(BY_EPOCH_COLUMNS.values())}


def test_the_fingerprint_covers_accuracies_by_epoch(tmp_path):
    tables = [
        assemble([record(), record(teacher=2)]),
        assemble([record(), record(teacher=2, **BY_EPOCH)]),
        assemble([record(), record(teacher=2, **(BY_EPOCH | {"validation_own_accuracy_by_epoch": None}))]),
    ]
    assert len({fingerprint(table) for table in tables}) == len(tables)
    for table in tables:
        write_table(table, tmp_path / "trials.parquet")
        assert fingerprint_file(tmp_path / "trials.parquet") == fingerprint(table)


def test_accuracies_by_epoch_are_read_back(tmp_path):
    table = assemble([record(**BY_EPOCH)])
    write_table(table, tmp_path / "trials.parquet")
    (row,) = read_table(tmp_path / "trials.parquet").select(list(BY_EPOCH)).to_pylist()
    assert row == BY_EPOCH


def test_the_fingerprint_does_not_depend_on_chunks_and_slices():
    table = Study(num_peers=3, temperatures=(1.0,), alphas=(0.5, 0.9)).table
    parts = [table.slice(0, 5), table.slice(5)]
    assert fingerprint(pa.concat_tables(parts)) == fingerprint(table)
    assert fingerprint(table.slice(3, 4)) == fingerprint(table.take(list(range(3, 7))))


def test_a_table_is_read_back(tmp_path):
    table = Study(num_peers=3, temperatures=(1.0,), alphas=(0.5,)).table
    write_table(table, tmp_path / "trials.parquet")
    again = read_table(tmp_path / "trials.parquet")
    assert again.schema.equals(TRIALS_SCHEMA, check_metadata=True)
    assert again.equals(table)
    assert fingerprint(again) == fingerprint(table)


def test_a_table_without_the_schema_of_trials_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="differing in seconds"):
        write_table(assemble([record()]).drop_columns("seconds"), tmp_path / "trials.parquet")


def test_a_file_that_is_not_a_table_of_trials_is_not_read(tmp_path):
    path = tmp_path / "trials.parquet"
    with pytest.raises(ArtifactNotFoundError, match="No table of trials"):
        read_table(path)
    path.write_bytes(b"not parquet")
    with pytest.raises(ArtifactCorruptError, match="cannot be read as Parquet"):
        read_table(path)
    pq.write_table(pa.table({"student": [0]}), path)
    with pytest.raises(ArtifactCorruptError, match="does not contain a table of trials"):
        read_table(path)
    wrong_type = assemble([record()])
    wrong_type = wrong_type.set_column(0, "student", pa.array([0.0]))
    pq.write_table(wrong_type, path)
    with pytest.raises(ArtifactCorruptError, match="student must be int32, got double"):
        read_table(path)


def test_bits_may_be_hexadecimal_as_in_a_journal():
    (bits,) = assemble([record(test_correct_bits="f00a")])["test_correct_bits"].to_pylist()
    assert bits == b"\xf0\x0a"


def with_rates(**changes):
    """Return a trial and a control at two rates, the higher rate first."""
    return [
        make(learning_rate=rate, **changes, test_global_accuracy_after=0.5 + rate + more)
        for rate in (0.1, 0.02)
        for make, more in ((record, 0.2), (control, 0.1))
    ]


def test_a_trial_is_compared_with_the_control_at_the_same_rate():
    table = assemble(with_rates())
    assert table["learning_rate"].to_pylist() == [0.02, 0.1, 0.02, 0.1]
    assert table["distillation_weight"].to_pylist() == [0.0, 0.0, 0.5, 0.5]
    assert table["test_global_gain_from_data"].to_pylist() == pytest.approx([0.12, 0.2, 0.12, 0.2])
    assert table["test_global_gain_from_teacher"].to_pylist() == pytest.approx([0, 0, 0.1, 0.1])


def test_a_duplicate_trial_at_one_rate_is_refused():
    with pytest.raises(ValueError, match=r"got two with student 0, .* alpha 0.5, learning_rate 0.1\."):
        assemble([record(learning_rate=0.1), record(learning_rate=0.1)])
    with pytest.raises(ValueError, match=r"got two with student 0, .* alpha 0.5\."):
        assemble([record(), record()])


def test_the_fingerprint_covers_learning_rates():
    tables = [assemble([record(**changes)]) for changes in ({}, {"learning_rate": 0.1}, {"learning_rate": 0.2})]
    assert len({fingerprint(table) for table in tables}) == 3


def test_a_diverged_trial_has_nulls_and_so_have_values_relative_to_it():
    table = assemble([diverged(control()), record(test_global_accuracy_after=0.8), diverged(record(temperature=4.0))])
    lost, kept, other = table.to_pylist()
    assert [row["is_finite"] for row in (lost, kept, other)] == [False, True, False]
    for row in (lost, other):
        assert {row[name] for name in row if "accuracy_after" in name or "_gain" in name or "_flips" in name} == {None}
        assert (row["test_forgetting"], row["test_correct_bits"], row["test_global_accuracy_before"]) == (
            None,
            None,
            0.5,
        )
    assert kept["test_global_gain"] == pytest.approx(0.3)
    assert kept["test_global_gain_from_data"] is None
    assert kept["test_global_gain_from_teacher"] is None
    assert num_finite(table) == 1


def test_a_finite_trial_must_have_all_values():
    with pytest.raises(ValueError, match="lacks test_global_accuracy_after"):
        assemble([record(test_global_accuracy_after=None)])
    with pytest.raises(ValueError, match="test_own_accuracy_after must have no value where is_finite is False"):
        assemble([diverged(record()) | {"test_own_accuracy_after": 0.5}])


@pytest.mark.parametrize(
    ("column", "row", "value", "message"),
    [
        ("test_global_accuracy_after", 1, math.nan, "must be a finite number in every row, got nan in row 1"),
        ("seconds", 0, math.inf, "must be a finite number in every row, got inf in row 0"),
        ("validation_own_accuracy_before", 1, 1.5, "must be a fraction from 0 to 1 in every row, got 1.5 in row 1"),
        ("test_class_accuracy_after", 1, [0.5, -0.1], "must be a fraction from 0 to 1 in every row, got -0.1 in row 1"),
        ("test_class_accuracy_after", 1, [0.5, math.nan], "must be a finite number in every row, got nan in row 1"),
    ],
)
@pytest.mark.parametrize("reads", [read_table, lambda path: mapped_table(path).__enter__()], ids=["read", "mapped"])
def test_invalid_numbers_are_refused_with_column_and_row(tmp_path, reads, column, row, value, message):
    table = assemble([control(), record()])
    values = table[column].to_pylist()
    values[row] = value
    place = table.column_names.index(column)
    path = tmp_path / "trials.parquet"
    pq.write_table(table.set_column(place, table.schema.field(column), pa.array(values, table[column].type)), path)
    with pytest.raises(
        ArtifactCorruptError, match=f"trials.parquet does not contain a table of trials: {column} {message}"
    ):
        reads(path)


def test_a_table_from_before_losses_and_targets_were_columns_is_read_with_none_and_keeps_its_fingerprint(tmp_path):
    table, path = assemble([record(), control()]), tmp_path / "trials.parquet"
    before = table.drop_columns(["loss", "target"])
    pq.write_table(before, path)
    assert read_table(path).equals(table)
    with mapped_table(path) as mapped:
        assert mapped.equals(table)
    write_table(table, path)
    without_time = arrow.fingerprint(before, without=NOT_IN_FINGERPRINT)
    assert fingerprint(table) == fingerprint_file(path) == without_time
    named = assemble([record(loss="dkd", target="mean"), control()])
    write_table(named, path)
    assert fingerprint(named) == fingerprint_file(path) != without_time


def test_a_record_from_before_losses_and_targets_were_columns_is_one_with_none():
    rows = [record(), control()]
    before = [{name: value for name, value in row.items() if name not in ("loss", "target")} for row in rows]
    assert assemble(before).equals(assemble(rows))


def test_trials_that_differ_in_loss_or_target_are_different_trials_in_a_fixed_order():
    rows = [record(loss=loss, target=target) for loss, target in (("kl", "mean"), ("dkd", "teacher"), ("dkd", "mean"))]
    table = assemble([*rows, control()])
    assert table.select(["loss", "target"]).to_pylist() == [
        {"loss": None, "target": None},
        {"loss": "dkd", "target": "mean"},
        {"loss": "dkd", "target": "teacher"},
        {"loss": "kl", "target": "mean"},
    ]
    # All have the gain of the one control subtracted.
    assert table["test_global_gain_from_data"].null_count == 0
    with pytest.raises(ValueError, match=r"^Each trial must appear once, got two with .*, loss kl, target mean\.$"):
        assemble([rows[0], rows[0]])


def test_a_table_and_a_record_from_before_the_validation_bits_were_recorded_have_none(tmp_path):
    old = assemble([record()]).drop_columns(["validation_correct_bits"])
    pq.write_table(old, tmp_path / "trials.parquet")
    assert read_table(tmp_path / "trials.parquet")["validation_correct_bits"].to_pylist() == [None]
    earlier = {name: value for name, value in record().items() if name != "validation_correct_bits"}
    assert assemble([earlier]).equals(read_table(tmp_path / "trials.parquet"))
