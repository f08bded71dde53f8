"""Which runs Python compares. The comparison of real runs: tests/pipelines/test_several_seeds.py."""

from pathlib import Path

import pytest

import peerkd
from peerkd.artifacts.filesystem import FilesystemStore
from tests.unit.stages.published_runs import SWEEP, begin, experiment


def test_runs_that_cannot_be_compared_are_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^runs must be at least two runs, got 0\.$"):
        peerkd.compare([])
    begin(FilesystemStore(tmp_path / "a"), experiment(), SWEEP)
    begin(FilesystemStore(tmp_path / "a"), experiment("seed=1"), SWEEP)
    begin(FilesystemStore(tmp_path / "b"), experiment(), SWEEP)
    one, other = peerkd.list_runs(tmp_path / "a")
    with pytest.raises(ValueError, match=r"^runs must be at least two runs, got 1\.$"):
        peerkd.compare([one])
    with pytest.raises(ValueError, match=f"^RUN must name each run once, got {one.name} 2 times"):
        peerkd.compare([one.name, one], store=tmp_path / "a")
    with pytest.raises(ValueError, match=r"^RUN must name finished runs, got "):
        peerkd.compare([one, other])
    with pytest.raises(ValueError, match=r"^runs must be runs of one store, got "):
        peerkd.compare([one, *peerkd.list_runs(tmp_path / "b")])
