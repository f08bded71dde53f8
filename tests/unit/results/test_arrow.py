from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerkd.errors import ArtifactCorruptError, ArtifactNotFoundError
from peerkd.results import arrow

KIND = arrow.TableKind(
    "table of fruit",
    "FRUIT",
    pa.schema(
        [
            arrow.field("name", pa.string(), "What it is called"),
            arrow.field("count", pa.int32(), "How many", nullable=False),
            arrow.field("grams", pa.float64(), "Weight"),
            arrow.field("parts", pa.list_(pa.float64()), "Weights of its parts"),
            arrow.field("code", pa.binary(), "Any bytes"),
        ]
    ),
)


def fruit(num_rows: int) -> pa.Table:
    """Return columns in which every third value and every fourth list is missing. Lists have 0 to 4 values."""
    columns = {
        "name": [None if i % 3 == 0 else "é" * (i % 5) for i in range(num_rows)],
        "count": list(range(num_rows)),
        "grams": [None if i % 3 == 1 else i / 7 for i in range(num_rows)],
        "parts": [
            None if i % 3 == 2 else [None if k % 4 == 3 else i + k / 3 for k in range(i % 5)] for i in range(num_rows)
        ],
        "code": [None if i % 3 == 0 else bytes([i % 256]) * (i % 4) for i in range(num_rows)],
    }
    return pa.table({field.name: pa.array(columns[field.name], field.type) for field in KIND.schema}, KIND.schema)


def test_the_fingerprint_of_given_values_never_changes() -> None:
    assert arrow.fingerprint(fruit(100)) == "a5b6577be4445369141ded61c3d0cf2dec76accff9b9a90ec43edfc419717e46"
    assert arrow.fingerprint(fruit(0)) == "5e3fa8dcad5febcb6394e1078a109bba82b9e7fd33d187ffda8cca9c404eba9a"
    assert (
        arrow.fingerprint(fruit(9), without=frozenset({"code"}))
        == "a4a14d2deac533c17b0cccc3134c1e38fbb05eec945f46ea7de1ae7a7ed2ec25"
    )


@given(cuts=st.lists(st.integers(0, 50), max_size=6).map(sorted))
def test_chunks_of_any_size_have_the_fingerprint_of_the_whole_table(cuts: list[int]) -> None:
    table = fruit(50)
    bounds = [0, *cuts, 50]
    parts = [table.slice(start, stop - start) for start, stop in pairwise(bounds)]
    assert arrow.fingerprint(pa.concat_tables(parts)) == arrow.fingerprint(table)


@pytest.mark.parametrize("sizes", [[], [0], [1], [13, 0, 8, 29], [50]])
@pytest.mark.parametrize("batch_rows", [1, 7, 4096])
def test_a_file_of_row_groups_has_the_fingerprint_of_the_table(
    sizes: list[int], batch_rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrow, "_BATCH_ROWS", batch_rows)
    whole = fruit(sum(sizes))
    with arrow.open_writer(tmp_path / "fruit.parquet", KIND) as append:
        start = 0
        for size in sizes:
            append(whole.slice(start, size))
            start += size
    assert arrow.read(tmp_path / "fruit.parquet", KIND).equals(whole)
    for without in (frozenset[str](), frozenset({"grams"})):
        expected = arrow.fingerprint(whole, without=without)
        assert arrow.fingerprint_file(tmp_path / "fruit.parquet", KIND, without=without) == expected


def test_a_table_of_another_kind_is_not_appended(tmp_path: Path) -> None:
    with (
        arrow.open_writer(tmp_path / "fruit.parquet", KIND) as append,
        pytest.raises(ValueError, match="A table of fruit must have the columns of FRUIT, got differing in code"),
    ):
        append(fruit(3).drop_columns("code"))


@pytest.mark.parametrize("batch_rows", [7, 4096])
def test_a_mapped_table_equals_the_table_and_uses_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_rows: int
) -> None:
    monkeypatch.setattr(arrow, "_BATCH_ROWS", batch_rows)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    table = fruit(20_000)
    path = tmp_path / "fruit.parquet"
    arrow.write(table, path, KIND)
    before = pa.total_allocated_bytes()
    with arrow.mapped(path, KIND) as mapped:
        # Reading a column of lists or of missing values needs little memory in comparison with the values.
        assert pa.total_allocated_bytes() - before < table.nbytes / 10
        assert mapped.equals(table)
        assert arrow.fingerprint(mapped) == arrow.fingerprint(table)
    del mapped
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_not_a_table_of_trials_is_not_mapped(tmp_path: Path) -> None:
    path = tmp_path / "none.parquet"
    with pytest.raises(ArtifactNotFoundError, match=r"^No table of fruit exists at "), arrow.mapped(path, KIND):
        pass
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(ArtifactCorruptError, match="cannot be read as Parquet"), arrow.mapped(path, KIND):
        pass
    pq.write_table(pa.table({"name": ["pear"]}), path)
    with pytest.raises(ArtifactCorruptError, match="does not contain a table of fruit"), arrow.mapped(path, KIND):
        pass
