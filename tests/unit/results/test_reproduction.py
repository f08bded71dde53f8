"""Whether a trial that was trained again is the one in the table."""

import pytest

from peerkd.results.reproduction import differing_columns, find_row
from peerkd.results.schema import BY_EPOCH_COLUMNS
from peerkd.results.table import assemble
from peerkd.study.trials import record_identity
from tests.tables import control, record


def by_epoch(row, *values):
    return {**row, "epochs": len(values), **{name: list(values) for name in BY_EPOCH_COLUMNS.values()}}


def test_the_row_of_a_trial_is_found_among_others_and_of_no_other():
    rows = [record(), record(temperature=2.0), record(student=2, teacher=1), control()]
    table = assemble(rows)
    for row in rows:
        found = find_row(table, record_identity(row))
        assert [record_identity(each) for each in found.to_pylist()] == [record_identity(row)]
    assert find_row(table, record_identity(record(temperature=3.0))) is None
    assert find_row(table, record_identity(record(learning_rate=0.1))) is None


def test_an_equal_trial_differs_nowhere_however_long_it_took():
    assert differing_columns(record(seconds=5.0), assemble([record(seconds=1.0)])) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("test_global_accuracy_after", 0.123),
        ("validation_own_accuracy_after", 0.123),
        ("num_transfer_samples", 3),
    ],
)
def test_a_value_that_differs_is_named(name, value):
    assert differing_columns(record(**{name: value}), assemble([record()])) == [name]


def test_bits_that_differ_are_named():
    bits = record()["test_correct_bits"]
    other = bytes([bits[0] ^ 1]) + bits[1:]
    assert differing_columns(record(test_correct_bits=other), assemble([record()])) == ["test_correct_bits"]


def test_a_trial_that_stops_early_is_compared_up_to_its_last_epoch():
    row = assemble([by_epoch(record(), 0.25, 0.5, 0.75)])
    assert differing_columns(by_epoch(record(), 0.25, 0.5), row) == []
    assert differing_columns(by_epoch(record(), 0.25, 0.75), row) == list(BY_EPOCH_COLUMNS.values())


def test_without_a_result_after_as_many_epochs_nothing_can_be_said():
    assert differing_columns(by_epoch(record(), 0.25, 0.5), assemble([by_epoch(record(), 0.25)])) is None
    assert differing_columns(record(epochs=1), assemble([record(epochs=3)])) is None


def test_a_row_from_before_the_validation_bits_were_recorded_is_compared_in_everything_else():
    old = assemble([record(validation_correct_bits=None)])
    assert differing_columns(record(), old) == []
    assert differing_columns(record(test_global_accuracy_after=0.75), old) == ["test_global_accuracy_after"]
