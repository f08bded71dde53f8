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
from tests.pipelines.experiments import TINY_STUDY, command, trials, wait_for
from tests.s3_server import free_port

ROOT = Path(__file__).parents[2]


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


@pytest.mark.parametrize(("num_processes", "num_seeds"), [(1, 2), (2, 1)])
def test_two_workers_train_the_networks_that_one_trains(tmp_path, num_processes, num_seeds):
    """The workers train separate runs, or share every run with one process each."""
    sizes = [f"training.num_processes={num_processes}", f"num_seeds={num_seeds}"]
    settings = [*TINY_STUDY, "methods=[pcl]", *sizes]
    outputs = [tmp_path / "one", tmp_path / "two"]
    for output, options in zip(outputs, ([], ["--workers", "2"]), strict=True):
        process = subprocess.run(
            [*command(output, settings, pipeline="pcl"), *options],
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        assert "small_cnn by pcl, seed 0: test accuracy" in process.stderr
    one, two = ({path.name: path.read_bytes() for path in output.glob("train_pcl/*/networks/*")} for output in outputs)
    assert len(one) == 2 * num_seeds
    assert one == two


@pytest.fixture
def start_training(tmp_path):
    """Return a function that starts a worker of a study in which all workers share every run."""
    settings = [*TINY_STUDY, "methods=[pcl]", "num_seeds=1", "training.epochs=12", "training.num_processes=2"]
    config = resolve(PCL, preset="digits", overrides=" ".join(settings))

    def start(name, index, num_workers, port):
        store = open_store(str(tmp_path / name))
        split = split_data.split(config, store)
        order = StageOrder(
            stage="train_pcl",
            config_json=config.to_json(),
            store=str(tmp_path / name),
            inputs={"split": references.reference(split)},
            key=train_pcl.key(config, split),
        )
        environment = {
            "PEERKD_WORKER_INDEX": str(index),
            "PEERKD_NUM_WORKERS": str(num_workers),
            "PET_RDZV_ENDPOINT": f"localhost:{port}",
        }
        return subprocess.Popen([sys.executable, *order.command()[1:]], env={**os.environ, **environment}, cwd=ROOT)

    return start


def test_a_worker_killed_during_a_training_rejoins_after_its_restart(start_training, tmp_path):
    """The second worker is killed first, then the first one, which writes the checkpoint."""
    with start_training("whole", 0, 1, 0) as worker:
        assert worker.wait(timeout=900) == 0
    port = free_port()
    workers = [start_training("cut", index, 2, port) for index in range(2)]

    def written() -> int:
        paths = tmp_path.glob("cut/train_pcl/*.partial/scratch/small_cnn-pcl-0.safetensors")
        return max((path.stat().st_mtime_ns for path in paths), default=0)

    seen = 0
    try:
        for lost in (1, 0):
            wait_for(lambda before=seen: written() > before)
            assert [worker.poll() for worker in workers] == [None, None]
            workers[lost].kill()
            workers[lost].wait()
            seen = written()
            workers[lost] = start_training("cut", lost, 2, port)
        assert [worker.wait(timeout=900) for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    for path in tmp_path.glob("whole/train_pcl/*/networks/*"):
        (same,) = tmp_path.glob(f"cut/train_pcl/*/networks/{path.name}")
        assert same.read_bytes() == path.read_bytes()


def test_processes_that_cannot_be_divided_among_workers_are_refused_in_one_sentence(tmp_path):
    output = tmp_path / "runs"
    words = [*command(output, ["training.num_processes=3"], pipeline="pcl"), "--workers", "2"]
    process = subprocess.run(words, capture_output=True, text=True, timeout=900, check=False)
    assert process.returncode == 2
    sentence = "peerkd: training.num_processes must be a multiple of the number of workers (2), got 3."
    assert [line for line in process.stderr.splitlines() if line.startswith("peerkd: ")] == [sentence]
