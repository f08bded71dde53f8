from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.tuning.__main__ import DATA
from benchmarks.tuning.replay import Replay, load_replay
from benchmarks.tuning.shrink import main


def test_a_shrunk_table_is_replayed_like_the_whole_one(replay: Replay, tmp_path: Path) -> None:
    folder, output = tmp_path / "sweep", tmp_path / "small"
    (folder / "features.parquet").write_bytes((DATA / "classes" / "features.parquet").read_bytes())
    main([str(folder), "--output", str(output)])
    small = load_replay(output)
    np.testing.assert_array_equal(small.gains_QSE, replay.gains_QSE)
    assert small.reference == replay.reference
    assert len(small.space.feature_names) > 0
    assert "test_correct_bits" not in pq.read_schema(output / "trials.parquet").names
