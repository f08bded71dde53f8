import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peerkd.results import spill
from peerkd.results.schema import CORRECT_BITS
from peerkd.results.spill import write_trials
from peerkd.results.table import RECORD_COLUMNS, assemble, fingerprint, read_table
from tests.tables import Study, control, record


def as_in_a_journal(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {name: row[name].hex() if name in CORRECT_BITS.values() else row[name] for name in RECORD_COLUMNS}
        for row in rows
    ]


STUDY = Study(
    num_peers=4, temperatures=(1.0, 4.0), alphas=(0.5,), transfer_sets=("student", "both", "public", "teacher")
).table
RECORDS = as_in_a_journal(STUDY.to_pylist())


@given(order=st.permutations(range(len(RECORDS))), buffer_bytes=st.sampled_from([0, 5_000, 2**20]))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_table_equals_that_of_all_records_together(
    order: list[int], buffer_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spill, "_BUFFER_BYTES", buffer_bytes)
    path = tmp_path / "trials.parquet"
    written = write_trials((RECORDS[place] for place in order), path, scratch_folder=tmp_path)
    table = read_table(path)
    assert table.equals(assemble(RECORDS))
    assert table.equals(STUDY)
    assert written.fingerprint == fingerprint(STUDY)
    assert written.num_trials == STUDY.num_rows
    assert written.seconds == pytest.approx(sum(STUDY["seconds"].to_pylist()))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("rates", [(), (0.02, 0.1)])
def test_the_table_is_correct_with_and_without_learning_rates(rates: tuple[float, ...], tmp_path: Path) -> None:
    study = Study(num_peers=3, temperatures=(1.0,), alphas=(0.5,), learning_rates=rates).table
    path = tmp_path / "trials.parquet"
    written = write_trials(as_in_a_journal(study.to_pylist()), path, scratch_folder=tmp_path)
    assert read_table(path).equals(study)
    assert written.fingerprint == fingerprint(study)


def test_a_table_without_records_is_possible(tmp_path: Path) -> None:
    written = write_trials([], tmp_path / "trials.parquet", scratch_folder=tmp_path)
    assert read_table(tmp_path / "trials.parquet").equals(assemble([]))
    assert written == (0, 0, 0.0, fingerprint(assemble([])))


@pytest.mark.parametrize(
    "rows",
    [
        [record(), record(seconds=2.0)],
        [record(student=2), control(), control(teacher=1)],
        [record(student=None)],
        [record(), record(student=3, test_global_gain=0.0)],
        [record(student=1, transfer_set="mine")],
    ],
    ids=["twice the same trial", "two controls", "no student", "a column too many", "no such set"],
)
def test_errors_have_the_same_message(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    rows = [json.loads(json.dumps(row | dict.fromkeys(CORRECT_BITS.values(), "f0"))) for row in rows]
    with pytest.raises(ValueError, match=r"\.$") as expected:
        assemble(rows)
    with pytest.raises(ValueError, match=r"\.$") as caught:
        write_trials(rows, tmp_path / "trials.parquet", scratch_folder=tmp_path)
    assert str(caught.value) == str(expected.value)
