import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.same_tables import different_columns, main

TABLE = pa.table({"student": [0, 1], "gain": [0.5, float("nan")], "classes": [[0.1], [0.2]], "seconds": [1.0, 2.0]})


def store(folder: Path, table: pa.Table) -> Path:
    path = folder / "distill_pairs" / "key" / "trials.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(table, path)
    return folder


def compare(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["same_tables", *map(str, arguments)])
    return main()


def test_tables_that_differ_in_times_and_row_order_are_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = TABLE.set_column(3, "seconds", [[3.0, 4.0]]).take([1, 0])
    assert compare(monkeypatch, store(tmp_path / "before", TABLE), store(tmp_path / "after", other)) == 0
    assert capsys.readouterr().out == "distill_pairs/trials.parquet: 2 rows before and 2 after\n"


@pytest.mark.parametrize(
    ("column", "values"),
    [("gain", [0.5, 0.25]), ("gain", [0.5000000000000001, float("nan")]), ("classes", [[0.1], []])],
)
def test_a_single_different_value_is_found(column: str, values: list[object]) -> None:
    assert different_columns(TABLE, TABLE.set_column(TABLE.column_names.index(column), column, [values])) == [column]


def test_a_missing_table_column_or_row_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = store(tmp_path / "before", TABLE)
    assert compare(monkeypatch, before, tmp_path / "nothing") == 1
    assert compare(monkeypatch, before, store(tmp_path / "column", TABLE.drop_columns(["gain"]))) == 1
    assert compare(monkeypatch, before, store(tmp_path / "row", TABLE.slice(1))) == 1
    assert "tables: 1 before and 0 after" in capsys.readouterr().out


def test_a_store_without_tables_is_refused_as_a_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit):
        compare(monkeypatch, tmp_path, tmp_path)
