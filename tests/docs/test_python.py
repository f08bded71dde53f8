"""The Python example runs as shown."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from peerkd.results.table import read_table
from tests.debugger import Debugger, no_processes
from tests.docs.pages import blocks

SMALL = "partition.num_peers=2 data.max_train_samples=150 data.max_test_samples=50 pretrain.epochs=1 "
SMALL += "distill.epochs=1 sweep.temperatures=[1] sweep.alphas=[0.5] sweep.transfer_sets=[student] "
SMALL += "peers.architectures=[resnet20]"


def test_the_example_goes_from_a_config_to_a_table_in_the_calling_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (example,) = (block.body for block in blocks() if block.page == "docs/python.md" and block.language == "python")
    assert sum(1 for line in example.splitlines() if line and not line.startswith("from ")) <= 10
    # The debugger stops where a ResNet distils.
    small = re.sub(r'overrides="[^"]*"', f'overrides="{SMALL}"', example)
    assert small != example
    monkeypatch.chdir(tmp_path)
    debugger = Debugger.at("peerkd.training.distill", "distill")
    said = io.StringIO()
    with contextlib.redirect_stdout(said), no_processes():
        debugger.run(small, {})
    assert "test_global_gain: double" in said.getvalue()
    (table,) = tmp_path.glob("runs/distill_pairs/*/trials.parquet")
    assert read_table(table).num_rows == len(debugger.stops)
    assert debugger.stops
    assert all(stop.is_here for stop in debugger.stops)
