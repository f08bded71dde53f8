"""A tuned study that is killed or shared by workers gives the results of an undisturbed one.

In one of the cases, the workers are the processes that a launcher starts, which start training processes of their own.
In the others they are forked, because they would do the same and spend most of their time on importing torch.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from peerkd.artifacts import references
from peerkd.artifacts.open import open_store
from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.launch.order import StageOrder
from peerkd.launch.worker import Worker
from peerkd.stages import partition_data, tune_pairs
from peerkd.stages.work import pretrain_peers
from tests.forked import ForkedCommand
from tests.pipelines.experiments import SLOWLY, TINY, command, stages_already_done, wait_for
from tests.s3_server import S3Server

ROOT = Path(__file__).parents[2]
WORKER = "tests.pipelines.tuning_worker"

CONFIG = resolve(
    JOINTKD,
    preset="digits",
    overrides="partition.num_peers=4 data.max_train_samples=450 data.max_test_samples=150 pretrain.epochs=2 "
    "distill.epochs=3 peers.architectures=[small_cnn] sweep.temperatures=[1,4] sweep.alphas=[0.5,0.9] "
    "tune.budget_fraction=0.25",
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A store with the artifacts of all stages before the study."""
    root = tmp_path_factory.mktemp("trained")
    store = open_store(str(root))
    partition = partition_data.partition(CONFIG, store)
    pretrain_peers.perform(CONFIG, partition, store, Worker())
    return root


class Study:
    """A tuned study with its own store."""

    def __init__(self, trained, address):
        done, self.store = open_store(str(trained)), open_store(address)
        for noun in ("dataset", "partition_data", "pretrain_peers"):
            (folder,) = (path.parent for path in trained.glob(f"{noun}/*/manifest.json"))
            manifest = done.find(f"{noun}/{folder.name}")
            with self.store.open_workspace(manifest.key) as workspace:
                for name in manifest.files:
                    (workspace.folder / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(folder / name, workspace.folder / name)
                peers = self.store.publish(manifest.key, metadata=manifest.metadata)
        self.key = tune_pairs.key(CONFIG, peers)
        self.root = None if "://" in address else Path(address)
        order = StageOrder(
            stage="tune_pairs",
            config_json=CONFIG.to_json(),
            store=address,
            inputs={"peers": references.reference(peers)},
            key=self.key,
        )
        self._arguments = order.command()[3:]

    def start(self, index=0, num_workers=1, *, is_forked=True, is_slow=False):
        ours = {"PEERKD_WORKER_INDEX": str(index), "PEERKD_NUM_WORKERS": str(num_workers), "PEERKD_NUM_CORES": "1"}
        environment = {**os.environ, **ours, **(SLOWLY if is_slow else {})}
        if is_forked:
            return ForkedCommand(self._arguments, environment=environment, preparation=WORKER)
        return subprocess.Popen([sys.executable, "-m", WORKER, *self._arguments], env=environment, cwd=ROOT)

    def records(self, index=None):
        """Return the saved records: for each trial and number of epochs, the seconds of each training."""
        which = "*" if index is None else f"*-{index:04d}-*"
        if self.root:
            try:
                paths = self.root.glob(f"{self.key}.partial/scratch/journals/*/{which}.jsonl")
                contents = [path.read_bytes() for path in paths]
            except FileNotFoundError:
                # The artifact has just been published.
                contents = []
        else:
            with self.store.open_workspace(self.key, shared=True) as workspace:
                names = [name for name in workspace.saved("scratch/journals/") if Path(name).match(f"{which}.jsonl")]
                contents = [(workspace.folder / name).read_bytes() for name in names if workspace.load(name)]
        found = {}
        for line in (line for content in contents for line in content.split(b"\n")[:-1]):
            record = json.loads(line)
            names = ("student", "teacher", "transfer_set", "temperature", "alpha", "epochs")
            found.setdefault(tuple(record[name] for name in names), []).append(record["seconds"])
        return found

    @property
    def manifest(self):
        return self.store.find(self.key)


@pytest.fixture(scope="module")
def undisturbed(trained, tmp_path_factory):
    study = Study(trained, str(tmp_path_factory.mktemp("one") / "runs"))
    with study.start() as worker:
        assert worker.wait(timeout=900) == 0
    return study.manifest.metadata


@pytest.fixture(params=["folder", "s3"])
def study(request, trained, tmp_path, monkeypatch):
    if request.param == "folder":
        return Study(trained, str(tmp_path / "runs"))
    server: S3Server = request.getfixturevalue("s3_server")
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Study(trained, f"s3://{server.bucket}/{tmp_path.name}")


def same(study, undisturbed):
    found = study.manifest.metadata
    names = ("fingerprint", "trials_fingerprint", "num_trials", "num_iterations", "spent_share", "num_chosen_whole")
    assert {name: found[name] for name in names} == {name: undisturbed[name] for name in names}


@pytest.mark.parametrize("study", ["folder"], indirect=True)
@pytest.mark.parametrize("loses_states", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_study_killed_at_random_moments_loses_no_trial_and_repeats_none(study, undisturbed, loses_states):
    moments = random.Random(int(loses_states))
    kept = {}
    for _ in range(3):
        with study.start(is_slow=True) as worker:
            num = len(kept) + moments.randrange(1, 12)
            wait_for(lambda num=num: len(study.records()) >= num or worker.poll() is not None)
            time.sleep(moments.random() / 20)
            worker.kill()
        if study.manifest:
            break
        records = study.records()
        assert all(len(times) == 1 for times in records.values())
        assert kept.items() <= records.items()
        kept = records
        if loses_states:
            (states,) = study.root.glob(f"{study.key}.partial/scratch/states")
            shutil.rmtree(states)
    assert len(kept) > 3
    with study.start() as worker:
        assert worker.wait(timeout=900) == 0
    same(study, undisturbed)


@pytest.mark.parametrize(
    ("study", "lost"), [("folder", 0), pytest.param("s3", 1, marks=pytest.mark.slow)], indirect=["study"]
)
def test_two_workers_give_the_same_study_even_if_one_is_lost(study, undisturbed, lost):
    # The second worker starts first, so that it is ready when the first iteration is planned.
    is_forked = study.root is None
    workers = [study.start(index, 2, is_forked=is_forked, is_slow=True) for index in (1, 0)][::-1]
    try:
        wait_for(
            lambda: study.records(lost) or workers[lost].poll() is not None,
            interval_seconds=0.05 if study.root else 0.3,
        )
        assert workers[lost].poll() is None, "ended before it was killed"
        workers[lost].send_signal(signal.SIGKILL)
        assert workers[lost].wait() == -signal.SIGKILL
        assert study.manifest is None
        if lost == 0:
            workers[0] = study.start(0, 2, is_forked=is_forked)
        assert workers[0].wait(timeout=900) == 0
        if lost != 1:
            assert workers[1].wait(timeout=900) == 0
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    same(study, undisturbed)


OWN_CODE = (
    "distill.loss={kind: 'my_study:SQUARED_DISTANCE', power: 1.5}",
    "partition.label_skew={kind: own, function: 'my_study:by_halves', options: {num_classes_first: 5}}",
)
"""The loss and the partitioner of ``docs/own-code.md``."""


def test_a_tuned_run_with_own_code_ends_with_a_plan_and_trains_nothing_the_second_time(
    run_here, tmp_path, capsys, monkeypatch
):
    output, examples = tmp_path / "runs", ROOT / "docs" / "examples"
    overrides = (*TINY, "distill.epochs=3", "tune.budget_fraction=0.2", *OWN_CODE)
    options = ("--strategy", "tune")
    first = subprocess.run(
        [*command(output, overrides), *options],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(examples)},
    )
    assert first.returncode == 0, first.stderr
    (metrics,) = output.glob("report_choices/*/metrics.json")
    assert json.loads(metrics.read_text())["loss"]["kind"].startswith("my_study:SQUARED_DISTANCE@")
    monkeypatch.syspath_prepend(examples)
    (page,) = output.glob("report_choices/*/report.html")
    assert str(page) in first.stdout
    assert not list(output.glob("distill_pairs/*"))
    assert run_here(output, overrides, *options) == 0
    assert stages_already_done(capsys.readouterr().err) == [
        "partition_data",
        "pretrain_peers",
        "tune_pairs",
        "improve_peers",
        "report_choices",
    ]
