import math
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from peerkd.errors import ArtifactCorruptError, ArtifactNotFoundError
from peerkd.results.curves import (
    CURVES_SCHEMA,
    Curve,
    CurveKey,
    assemble,
    band,
    curves_by_key,
    fingerprint,
    read_curves,
    since,
    thin,
    write_curves,
)
from tests.curves import MethodStudy, record


def test_the_order_of_records_does_not_matter():
    rows = MethodStudy(methods=("plain", "pcl"), num_seeds=2, epochs=3).table.to_pylist()
    first = assemble(rows)
    random.Random(0).shuffle(rows)
    assert assemble(rows).equals(first)
    assert fingerprint(assemble(rows)) == fingerprint(first)


def test_the_fingerprint_follows_the_values():
    assert fingerprint(assemble([record(value=0.5)])) != fingerprint(assemble([record(value=0.6)]))
    assert fingerprint(assemble([record(value=0.0)])) != fingerprint(assemble([record(value=None)]))


def test_every_column_has_a_description():
    assert all(field.metadata[b"description"] for field in CURVES_SCHEMA)
    assert assemble([record()]).schema.field("epoch").metadata[b"description"] == b"Number of finished epochs, from 1"


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_a_value_that_is_not_finite_is_null(value):
    table = assemble([record(value=value)])
    assert table["value"].to_pylist() == [None]
    (curve,) = curves_by_key(table).values()
    assert math.isnan(curve.values[0])


def test_each_curve_has_its_epochs_in_order():
    table = assemble([record(epoch=epoch, seed=seed, value=epoch / 10) for epoch in (3, 1, 2) for seed in (1, 0)])
    curves = curves_by_key(table)
    assert list(curves) == [CurveKey("small_cnn", "plain", seed, "test", "accuracy/branch_1") for seed in (0, 1)]
    for curve in curves.values():
        assert curve.epochs.tolist() == [1, 2, 3]
        assert curve.values.tolist() == [0.1, 0.2, 0.3]
    assert curves_by_key(assemble([])) == {}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([record(), record()], "appear once, got two with architecture small_cnn, method plain, seed 0"),
        ([record(split="public")], "split must be one of train, validation, test, got public"),
        ([record() | {"extra": 1}], "got a difference in extra"),
        ([{"epoch": 1}], "got a difference in architecture, is_finite, method"),
        ([record(method=None)], "method must have a value in every row"),
    ],
)
def test_records_that_are_not_curves_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        assemble(rows)


def test_a_written_table_is_read_back(tmp_path):
    table = assemble([record(), record(epoch=2, value=None)])
    write_curves(table, tmp_path / "curves.parquet")
    again = read_curves(tmp_path / "curves.parquet")
    assert again.equals(table)
    assert fingerprint(again) == fingerprint(table)


def test_a_file_that_is_not_a_table_of_curves_is_refused(tmp_path):
    path = tmp_path / "curves.parquet"
    with pytest.raises(ArtifactNotFoundError, match="No table of curves"):
        read_curves(path)
    path.write_bytes(b"not parquet")
    with pytest.raises(ArtifactCorruptError, match="cannot be read as Parquet"):
        read_curves(path)
    pq.write_table(pa.table({"seed": [0]}), path)
    with pytest.raises(ArtifactCorruptError, match="does not contain a table of curves"):
        read_curves(path)


def curve(epochs, values):
    return Curve(np.array(epochs), np.array(values, dtype=float))


def test_a_band_consists_of_mean_and_extremes_where_all_curves_have_values():
    found = band([curve([1, 2, 3], [1, 2, np.nan]), curve([2, 3, 4], [4, 5, 6])])
    assert found.epochs.tolist() == [2]
    assert (found.mean[0], found.low[0], found.high[0]) == (3, 2, 4)


def test_curves_without_a_common_epoch_have_no_band():
    assert band([]) is None
    assert band([curve([1], [1]), curve([2], [1])]) is None
    assert band([curve([1, 2], [np.nan, np.nan])]) is None


@pytest.mark.parametrize("num", [2, 7, 80])
def test_a_thinned_band_keeps_both_ends(num):
    whole = band([curve(range(1, 301), range(300))])
    part = thin(whole, num=num)
    assert len(part.epochs) == num
    assert (part.epochs[0], part.epochs[-1]) == (1, 300)
    assert thin(part, num=num) is part


def test_a_band_can_begin_later_and_is_never_empty():
    whole = band([curve([1, 5, 9], [1, 2, 3])])
    assert since(whole, epoch=2).epochs.tolist() == [5, 9]
    assert since(whole, epoch=0).epochs.tolist() == [1, 5, 9]
    assert since(whole, epoch=10).epochs.tolist() == [9]
