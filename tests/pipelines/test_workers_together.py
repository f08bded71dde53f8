"""Several workers on one machine, or in one training, give the results of one worker."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from peerkd.artifacts import references
from peerkd.artifacts.open import open_store
from peerkd.config.pipelines import PCL
from peerkd.config.resolve import resolve
from peerkd.launch.order import StageOrder
from peerkd.stages import split_data, train_pcl
from tests.forked import ForkedCommand
from tests.pipelines.experiments import TINY_STUDY, command, trials, wait_for
from tests.s3_server import free_port

ROOT = Path(__file__).parents[2]

SEPARATE = (*TINY_STUDY, "methods=[pcl]")
"""A study whose workers train separate runs."""

SHARED = (*SEPARATE, "num_seeds=1", "training.epochs=8", "training.num_processes=2")
"""A study whose workers share every run, with one process each."""


@pytest.mark.slow
def test_two_local_workers_give_the_results_of_one(finished, tmp_path):
    whole, _ = finished
    output = tmp_path / "runs"
    process = subprocess.run(
        [*command(output), "--workers", "2"], capture_output=True, text=True, timeout=900, check=False
    )
    assert process.returncode == 0, process.stderr
    assert trials(output).drop_columns("seconds").equals(trials(whole).drop_columns("seconds"))
    for path in whole.glob("pretrain_peers/*/*.safetensors"):
        (same,) = output.glob(f"pretrain_peers/*/{path.name}")
        assert same.read_bytes() == path.read_bytes()
    assert "worker 1: " in process.stderr


def start_worker(output, settings, index, num_workers, *, port=0, is_forked=False):
    """Start a worker of the stage that trains a study."""
    config = resolve(PCL, preset="digits", overrides=" ".join(settings))
    store = open_store(str(output))
    split = split_data.split(config, store)
    order = StageOrder(
        stage="train_pcl",
        config_json=config.to_json(),
        store=str(output),
        inputs={"split": references.reference(split)},
        key=train_pcl.key(config, split),
    )
    ours = {
        "PEERKD_WORKER_INDEX": str(index),
        "PEERKD_NUM_WORKERS": str(num_workers),
        "PET_RDZV_ENDPOINT": f"localhost:{port}",
    }
    environment = {**os.environ, **ours}
    if is_forked:
        return ForkedCommand(order.command()[3:], environment=environment)
    return subprocess.Popen([sys.executable, *order.command()[1:]], env=environment, cwd=ROOT)


def networks(output):
    """Return the files of a study's networks by their names."""
    return {path.name: path.read_bytes() for path in output.glob("train_pcl/*/networks/*")}


def test_two_workers_train_separate_runs_to_the_networks_of_one(tmp_path):
    for num_workers in (1, 2):
        output = tmp_path / str(num_workers)
        workers = [start_worker(output, SEPARATE, index, num_workers, is_forked=True) for index in range(num_workers)]
        assert [worker.wait(timeout=900) for worker in workers] == [0] * num_workers
    assert len(networks(tmp_path / "1")) == 2 * 2
    assert networks(tmp_path / "1") == networks(tmp_path / "2")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The store and the ended command of a study whose two workers share each run."""
    output = tmp_path_factory.mktemp("shared")
    words = [*command(output, SHARED, pipeline="pcl"), "--workers", "2"]
    return output, subprocess.run(words, capture_output=True, text=True, timeout=900, check=False)


@pytest.mark.slow
def test_two_workers_share_a_run(shared):
    """The file tests/unit/training/online/test_runs.py compares two workers with one."""
    output, process = shared
    assert process.returncode == 0, process.stderr
    assert "small_cnn by pcl, seed 0: test accuracy" in process.stderr
    assert len(networks(output)) == 2


@pytest.mark.slow
def test_a_worker_killed_during_a_training_rejoins_after_its_restart(shared, tmp_path):
    """The second worker is killed first, then the first one, which writes the checkpoint."""
    port = free_port()
    workers = [start_worker(tmp_path, SHARED, index, 2, port=port) for index in range(2)]

    def written() -> int:
        paths = tmp_path.glob("train_pcl/*.partial/scratch/small_cnn-pcl-0.safetensors")
        return max((path.stat().st_mtime_ns for path in paths), default=0)

    seen = 0
    try:
        for lost in (1, 0):
            wait_for(lambda before=seen: written() > before)
            assert [worker.poll() for worker in workers] == [None, None]
            workers[lost].kill()
            workers[lost].wait()
            seen = written()
            workers[lost] = start_worker(tmp_path, SHARED, lost, 2, port=port)
        assert [worker.wait(timeout=900) for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert networks(tmp_path) == networks(shared[0])


def test_processes_that_cannot_be_divided_among_workers_are_refused_in_one_sentence(tmp_path):
    output = tmp_path / "runs"
    words = [*command(output, ["training.num_processes=3"], pipeline="pcl"), "--workers", "2"]
    process = subprocess.run(words, capture_output=True, text=True, timeout=900, check=False)
    assert process.returncode == 2
    sentence = "peerkd: training.num_processes must be a multiple of the number of workers (2), got 3."
    assert [line for line in process.stderr.splitlines() if line.startswith("peerkd: ")] == [sentence]
