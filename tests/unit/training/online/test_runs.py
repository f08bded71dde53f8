"""Complete runs in one process or in two, on real digits: killed, resumed and shared."""

import contextlib
import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
import torch

from peerkd.config.pipelines import PCL
from peerkd.config.resolve import resolve
from peerkd.data.packed import write_packed
from peerkd.data.partition.assignment import Assignment
from peerkd.data.sources import read_source
from peerkd.errors import WorkerDiedError
from peerkd.launch.torchrun import run_processes
from peerkd.training.checkpoints import load_tensors
from peerkd.training.inputs import RunDone, RunEpochDone, RunInputs
from peerkd.training.online.runs import start
from peerkd.training.run_request import EVENT_PREFIX, RunRequest
from tests.forked import fork_context, run_as_group
from tests.kept_checkpoint import NUM_STEPS, kept_path

ROOT = Path(__file__).parents[4]
TINY = "methods=[pcl] num_seeds=1 training.epochs=3 training.batch_size=64 compute.checkpoint_steps=2"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    raw = read_source("digits", path=None)
    write_packed(folder / "dataset", raw)
    nothing = np.empty(0, dtype=np.int64)
    split = Assignment(
        train=(np.arange(0, 600),),
        own_validation=(nothing,),
        own_test=(nothing,),
        validation=np.arange(600, 800),
        test=np.arange(800, 1797),
        public=nothing,
    )
    (folder / "split").mkdir()
    split.save(folder / "split")
    return folder


def inputs_in(folders: Path, work: Path, *, overrides: str = "") -> RunInputs:
    for name in ("networks", "checkpoints"):
        (work / name).mkdir(parents=True, exist_ok=True)
    return RunInputs(
        config=resolve(PCL, preset="digits", overrides=f"{TINY} {overrides}"),
        dataset_folder=folders / "dataset",
        split_folder=folders / "split",
        networks_folder=work / "networks",
        checkpoints_folder=work / "checkpoints",
        device="cpu",
    )


def deterministic(record: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in record.items() if name != "seconds"}


@pytest.fixture(scope="module")
def whole(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunInputs, dict[str, object]]:
    inputs = inputs_in(folders, tmp_path_factory.mktemp("whole"))
    (run,) = inputs.config.runs
    *epochs, done = start(inputs, process_index=0)(run)
    assert epochs == [RunEpochDone(run, number, 600, done.record["history"][number - 1]) for number in (1, 2, 3)]
    return inputs, done.record


def test_a_run_leaves_its_record_and_its_networks(whole) -> None:
    inputs, record = whole
    (run,) = inputs.config.runs
    assert (record["architecture"], record["method"], record["seed"]) == run
    assert record["num_samples_per_epoch"] == 600
    assert record["num_deployed_parameters"] == 6_138
    # A trunk, three branches, and the classifier on their concatenated features.
    assert record["num_training_parameters"] == 160 + 16 + 3 * 5_962 + (3 * 128 * 10 + 10)
    assert record["seconds"] > 0
    last = record["history"][-1]
    assert set(last) == {"epoch", "train", "validation", "test"}
    names = [
        f"{prefix}{name}"
        for prefix in ("", "mean_")
        for name in ("branch_1", "branch_2", "branch_3", "head", "average")
    ]
    assert set(last["test"]) == {f"accuracy/{name}" for name in names} | {"disagreement", "mean_disagreement"}
    assert inputs.network(run).is_file()
    assert inputs.ensemble(run).is_file()


def test_a_run_that_is_killed_in_mid_epoch_leaves_the_same_bytes(folders: Path, whole, tmp_path: Path) -> None:
    inputs = inputs_in(folders, tmp_path)
    (run,) = inputs.config.runs
    RunRequest.of(inputs, run).write(tmp_path / "order.json")
    for steps in (2, 14):
        with_run(tmp_path / "order.json", until_steps=steps, checkpoint=inputs.checkpoint(run))
    *_, done = start(inputs, process_index=0)(run)
    inputs_whole, record = whole
    assert deterministic(done.record) == deterministic(record)
    for name in (inputs.network(run).name, inputs.ensemble(run).name):
        assert (inputs.networks_folder / name).read_bytes() == (inputs_whole.networks_folder / name).read_bytes()


def with_run(order: Path, *, until_steps: int, checkpoint: Path) -> None:
    """Start the run in another process and kill it in mid-epoch once ``until_steps`` steps were saved."""
    process = fork_context().Process(target=do_run, args=(order,))
    process.start()
    deadline = time.monotonic() + 600
    while steps_in(checkpoint) < until_steps:
        assert process.exitcode is None, "ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def do_run(order: Path) -> None:
    torch.set_num_threads(1)
    request = RunRequest.read(order)
    list(start(request.inputs, process_index=0)(request.run))


def steps_in(checkpoint: Path) -> int:
    if not checkpoint.exists():
        return 0
    return json.loads(load_tensors(checkpoint)[1]["progress"])["num_steps"]


def news_of(order: Path, *, module: str = "peerkd.training.online.processes") -> Generator[list[object], None, None]:
    return run_processes(module, order, num_processes=2, news_prefix=EVENT_PREFIX)


@pytest.fixture(scope="module")
def shared(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunInputs, list[list[object]]]:
    """The inputs and the messages of a run in two processes, which keep a checkpoint."""
    work = tmp_path_factory.mktemp("shared")
    inputs = inputs_in(folders, work, overrides="architectures=[mlp] training.num_processes=2")
    RunRequest.of(inputs, inputs.config.runs[0]).write(work / "order.json")
    return inputs, list(news_of(work / "order.json", module="tests.kept_checkpoint"))


def test_two_processes_do_a_run_and_agree_with_one_where_there_is_no_batch_norm(
    folders: Path, shared: tuple[RunInputs, list[list[object]]], tmp_path: Path
) -> None:
    inputs = inputs_in(folders, tmp_path, overrides="architectures=[mlp]")
    (run,) = inputs.config.runs
    *_, done = start(inputs, process_index=0)(run)
    assert isinstance(done, RunDone)
    shared_inputs, (*epochs, (kind, record)) = shared
    assert kind == "done"
    assert epochs == [["epoch", [number, 600, record["history"][number - 1], [0, 0]]] for number in (1, 2, 3)]
    for name, tensor in load_tensors(inputs.network(run))[0].items():
        torch.testing.assert_close(load_tensors(shared_inputs.network(run))[0][name], tensor, rtol=1e-3, atol=1e-4)
    for ours, theirs in zip(done.record["history"], record["history"], strict=True):
        for part in ("loss", "loss/means_to_branches", "loss/cross_entropy_ensemble"):
            assert theirs["train"][part] == pytest.approx(ours["train"][part], rel=1e-3), part


def test_processes_resume_from_the_checkpoint_of_the_leader_and_do_its_run(
    shared: tuple[RunInputs, list[list[object]]], tmp_path: Path
) -> None:
    """The second process is that of another worker, with none of the folders of the first one."""
    whole, (*_, (_, whole_record)) = shared
    (run,) = whole.config.runs
    first_inputs = dataclasses.replace(whole, networks_folder=tmp_path / "networks", checkpoints_folder=tmp_path)
    first_inputs.networks_folder.mkdir()
    shutil.copy(kept_path(whole.checkpoint(run)), first_inputs.checkpoint(run))
    assert steps_in(first_inputs.checkpoint(run)) == NUM_STEPS
    RunRequest.of(first_inputs, run).write(tmp_path / "first.json")
    elsewhere = dataclasses.replace(whole, networks_folder=tmp_path / "no", checkpoints_folder=tmp_path / "no")
    RunRequest.of(elsewhere, None).write(tmp_path / "second.json")
    orders = [[str(tmp_path / "first.json")], [str(tmp_path / "second.json")]]
    printed, nothing = run_as_group("peerkd.training.online.processes", orders, folder=tmp_path)
    *epochs, (_, record) = (json.loads(line.removeprefix(EVENT_PREFIX)) for line in printed)
    assert nothing == []
    assert len(epochs) == 2
    assert deterministic(record) == deterministic(whole_record)
    assert first_inputs.network(run).read_bytes() == whole.network(run).read_bytes()


@pytest.mark.slow  # test_process_pool.py shows the same for the processes of a sweep.
def test_processes_end_when_their_starter_is_killed(folders: Path, tmp_path: Path) -> None:
    inputs = inputs_in(folders, tmp_path, overrides="training.epochs=100000 training.num_processes=2")
    (run,) = inputs.config.runs
    script = (
        "import sys; from pathlib import Path; from peerkd.launch.torchrun import run_processes;"
        "from peerkd.training.run_request import RunRequest, EVENT_PREFIX; import dataclasses, os;"
        "order = dataclasses.replace(RunRequest.read(Path(sys.argv[1])), starter_pid=os.getpid());"
        "order.write(Path(sys.argv[1]));"
        "[print(news, flush=True) for news in run_processes('peerkd.training.online.processes', Path(sys.argv[1]),"
        " num_processes=2, news_prefix=EVENT_PREFIX)]"
    )
    RunRequest.of(inputs, run).write(tmp_path / "order.json")
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "order.json")], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("['epoch'")
        assert processes_with(tmp_path)
        process.kill()
    deadline = time.monotonic() + 30
    while processes_with(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def processes_with(word: Path) -> list[str]:
    """Return the process ids whose command line contains a word."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(word).encode() in (process / "cmdline").read_bytes():
                found.append(process.name)
    return found


@pytest.mark.slow  # test_loop.py and the next test show the parts.
def test_a_process_that_fails_reports_the_reason(folders: Path, tmp_path: Path) -> None:
    inputs = inputs_in(folders, tmp_path, overrides="training.num_processes=2")
    (tmp_path / "empty").mkdir()
    RunRequest.of(dataclasses.replace(inputs, split_folder=tmp_path / "empty"), inputs.config.runs[0]).write(
        tmp_path / "order.json"
    )
    news = news_of(tmp_path / "order.json")
    assert next(news) == ["failed", f"{tmp_path / 'empty' / 'assignment.npz'} does not contain an assignment."]
    news.close()


def test_an_unexplained_end_is_reported_with_the_last_lines(tmp_path: Path) -> None:
    (tmp_path / "order.json").write_text("no JSON")
    with pytest.raises(WorkerDiedError, match=r"(?s)in 2 processes ended with exit code 1.*Expecting value"):
        list(news_of(tmp_path / "order.json", module="json.tool"))
