"""Which runs Python compares. The comparison of real runs: tests/pipelines/test_several_seeds.py."""

from pathlib import Path

import pytest

import peerkd
from peerkd.artifacts import references
from peerkd.artifacts.filesystem import FilesystemStore
from tests.unit.stages.published_runs import SWEEP, begin, experiment, finish_two, publish, runs_of


def test_a_store_is_the_same_however_it_is_spelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    begin(FilesystemStore(tmp_path / "a"), experiment(), SWEEP)
    begin(FilesystemStore(tmp_path / "a"), experiment("seed=1"), SWEEP)
    one, other = peerkd.list_runs("a/")
    assert peerkd.open_run(one.name, store="a").address == one.address == str(tmp_path / "a")
    with pytest.raises(ValueError, match=r"^RUN must name finished runs, got "):
        peerkd.compare([one, other.name], store=tmp_path / "a")


def test_a_run_with_several_seeds_is_found_by_its_names(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    finish_two(store)
    inputs = {"reports": [references.reference(run.report) for run in runs_of(store) if run.report]}
    for key in ("compare_studies/ab00", "compare_studies/ac00"):
        publish(store, key, inputs=inputs, summary="2 studies")
    one = peerkd.open_run("compare_studies/ab00", store=tmp_path)
    assert len(one.runs) == 2
    for text in (one.name, one.name[:-2], "compare_studies/ab", "ab00"):
        assert peerkd.open_run(text, store=tmp_path).stored.key == one.stored.key
    for text, rule in (
        ("compare_studies/a", "RUN must name one run, got .* fits compare_studies/ab00, compare_studies/ac00"),
        ("compare_studies/b", "RUN must be a run of the store, got .* no such report"),
        ("other-2-seeds-ab00", "RUN must be a run of the store"),
    ):
        with pytest.raises(ValueError, match=f"^{rule}"):
            peerkd.open_run(text, store=tmp_path)


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
