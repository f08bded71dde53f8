import shutil
from collections import namedtuple

import pytest

from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.config.pipelines import JOINTKD, PCL
from peerkd.config.resolve import resolve
from peerkd.stages.free_space import check_free_space
from peerkd.stages.partition_data import partition
from peerkd.stages.split_data import split

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def disk(monkeypatch):
    """Return a function that sets the free bytes of every disk."""

    def have(free):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12 - free, free))

    return have


def test_the_size_of_the_results_is_compared_with_the_free_space(tmp_path, disk):
    store = FilesystemStore(tmp_path / "runs")
    disk(3_000)
    check_free_space(store, {"data set": 2_000, "weights": 1_000})
    disk(2_999)
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        check_free_space(store, {"data set": 2_000, "weights": 1_000.0, "table": 0})
    assert str(caught.value) == (
        "output must be on a disk with enough space, and its disk is too full: this run writes at least "
        "2.9 KiB (data set 2.0 KiB, weights 1,000 bytes), and 2.9 KiB are free. "
        "Free some space, or choose a folder on another disk."
    )


def test_a_store_of_unknown_size_has_room():
    class Bucket:
        def free_bytes(self):
            return None

    check_free_space(Bucket(), {"data set": 10**18})


def test_a_run_without_room_is_refused_before_anything_is_written(tmp_path, disk):
    disk(2**20)
    store = FilesystemStore(tmp_path / "runs")
    config = resolve(JOINTKD, preset="digits", config_json="", overrides="")
    with pytest.raises(
        ValueError, match=r"^output must be on a disk .+ too full: .+ journals of the sweep .+ 1\.0 MiB are free"
    ):
        partition(config, store)
    assert not (tmp_path / "runs").exists()


def test_a_tuned_study_needs_no_room_for_a_sweep_or_for_existing_artifacts(tmp_path, disk):
    disk(2**21)
    store = FilesystemStore(tmp_path)
    config = resolve(JOINTKD, preset="digits", config_json="", overrides="")
    made = partition(config, store, strategy="tune")
    disk(0)
    assert partition(config, store) == made


def test_a_study_of_methods_needs_room_for_the_networks_of_its_runs(tmp_path, disk):
    disk(2**17)
    config = resolve(PCL, preset="digits", config_json="", overrides="")
    with pytest.raises(
        ValueError,
        match=r"^output must be on a disk .+ too full: .+ at least .+ \(data set .+, networks .+\), and",
    ):
        split(config, FilesystemStore(tmp_path))
    assert list(tmp_path.iterdir()) == []
