"""The end of runs on this machine and of jobs on a cluster. Runs on Kubeflow Pipelines are in ``test_submit.py``."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.cli import stop
from peerkd.cli.resuming import resuming_command
from peerkd.launch.invocations.files import invoking, list_invocations, name_run
from peerkd.launch.kubernetes import names
from tests.fake_kubernetes.server import FakeKubernetes
from tests.unit.stages.published_runs import SWEEP, begin, experiment, finish, runs_of

IN_PROGRESS = """
import sys, time
from pathlib import Path
from peerkd.cli.exit_codes import ending_on_sigterm
from peerkd.launch.invocations.files import invoking, name_run
begun = {"pipeline": "jointkd sweep", "experiment": "digits", "stages": ["s"], "store": (sys.argv[3:] or [None])[0]}
with ending_on_sigterm(), invoking(Path(sys.argv[1]), **begun):
    name_run(sys.argv[2], experiment="digits", skew="dirichlet0.3")
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def store(tmp_path: Path) -> FilesystemStore:
    return FilesystemStore(tmp_path / "runs")


def test_the_command_that_continues_a_run_finds_the_users_modules(
    store: FilesystemStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(store, experiment(), SWEEP)
    (run,) = runs_of(store)
    place = {"pipeline": "jointkd", "strategy": "sweep", "address": str(tmp_path / "runs")}
    monkeypatch.delenv("PYTHONPATH", raising=False)
    plain = resuming_command(run.key, **place)
    assert plain.startswith("peerkd run jointkd ")
    monkeypatch.setenv("PYTHONPATH", "my code")
    assert resuming_command(run.key, **place) == f"PYTHONPATH='my code' {plain}"


def test_a_run_of_this_machine_ends_as_by_a_signal_and_can_be_continued(
    peerkd, store: FilesystemStore, tmp_path: Path
) -> None:
    begin(store, experiment(), SWEEP)
    (run,) = runs_of(store)
    command = [sys.executable, "-c", IN_PROGRESS, str(tmp_path / "runs"), run.key]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        outcome = peerkd("stop", "latest")
        assert process.wait(timeout=30) == 143
    config = tmp_path / "runs" / run.key / "experiment.json"
    continuing = f"peerkd run jointkd --config {config} --output {tmp_path / 'runs'}"
    assert (outcome.exit_code, outcome.err) == (0, "")
    assert outcome.out == (
        f"{run.name}: interrupted\nTo continue, repeat the command that began the run, or:\n    {continuing}\n"
    )
    again = peerkd("stop", run.name)
    assert again.exit_code == 2
    refused = f"peerkd: RUN must be a run in progress, got {run.name}, which is interrupted: "
    assert again.err.startswith(f"{refused}no 'peerkd run' with --output runs executes it ")


def test_a_run_that_does_not_end_is_reported_with_what_to_do(
    peerkd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop, "_PATIENCE_SECONDS", 0.0)
    ignoring = IN_PROGRESS.replace("with ending", "import signal\nwith ending").replace(
        "    print", "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    print"
    )
    # The process is found by its store, in the folder in which 'peerkd run --store' records it.
    store = "s3://bucket/runs"
    command = [sys.executable, "-c", ignoring, str(tmp_path / "runs"), "run/0123456789abcdef", store]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        outcome = peerkd("stop", "digits", "--store", f"{store}/")
        assert process.poll() is None
        process.kill()
    assert (outcome.exit_code, outcome.out) == (1, "")
    assert outcome.err.endswith(f"a second 'peerkd stop' kills its process {process.pid}.\n")


def test_what_is_not_in_progress_here_is_refused(peerkd, store: FilesystemStore, tmp_path: Path) -> None:
    finish(store, experiment("name=first"))
    outcome = peerkd("stop", "latest")
    assert (outcome.exit_code, outcome.err.count("\n")) == (2, 1)
    assert "which is finished." in outcome.err
    assert "RUN must be a run of the store, got second" in peerkd("stop", "second").err
    begun = {"pipeline": "jointkd sweep", "experiment": "digits", "stages": ["partition_data"]}
    with invoking(tmp_path / "runs", **begun):
        name_run("run/0123456789abcdef", experiment="digits", skew="iid")
        (invocation,) = list_invocations(tmp_path / "runs")
        file = invocation.folder / "process.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "host": "elsewhere"}))
        outcome = peerkd("stop", "digits")
        assert outcome.exit_code == 2
        assert "got digits-iid-0123, which is process " in outcome.err
        assert " of elsewhere; end it there " in outcome.err
        file.unlink()
        assert "was started by an earlier version of peerkd" in peerkd("stop", "digits").err


@pytest.fixture
def kubernetes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fake = FakeKubernetes()
    cluster = {"name": "c", "cluster": {"server": fake.address}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "peerkd"}}
    users = [{"name": "u", "user": {"token": "t"}}]
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps({"current-context": "x", "clusters": [cluster], "contexts": [context], "users": users}))
    monkeypatch.setenv("KUBECONFIG", str(file))
    yield fake
    fake.stop()


def job(key: str, *, run: str, **annotations: str) -> dict:
    labels = {**names.OUR_LABELS, names.LABEL_RUN: run}
    metadata = {"name": f"job-{run}", "labels": labels, "annotations": {names.ANNOTATION_KEY: key, **annotations}}
    return {"metadata": metadata, "spec": {"pytorchReplicaSpecs": {"Worker": {"replicas": 1}}}}


def test_the_job_of_a_run_on_a_cluster_is_deleted(
    peerkd, store: FilesystemStore, kubernetes: FakeKubernetes, tmp_path: Path
) -> None:
    begin(store, experiment(), SWEEP)
    (run,) = runs_of(store)
    ours, theirs = (names.local_run(address, run.next_key) for address in (str(tmp_path / "runs"), "s3://other/runs"))
    for each in (ours, theirs):
        kubernetes.store.put("pytorchjobs", "peerkd", job(run.next_key, run=each))
    outcome = peerkd("stop", "latest")
    assert (outcome.exit_code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"{run.name}: the job job-{ours} is deleted; ")
    assert "To continue, repeat the command that began the run, or:\n    peerkd run jointkd --config " in outcome.out
    # The same artifact is computed for another store, too.
    assert [each["metadata"]["name"] for each in kubernetes.jobs("peerkd")] == [f"job-{theirs}"]


def test_a_job_of_a_pipeline_is_named_and_not_deleted(
    peerkd, store: FilesystemStore, kubernetes: FakeKubernetes
) -> None:
    begin(store, experiment(), SWEEP)
    (run,) = runs_of(store)
    uuid = "49d40c90-76c3-4005-b2b5-6eb340c3ce34"
    owned = {names.ANNOTATION_WORKFLOW: "peerkd/jointkd-x1"}
    kubernetes.store.put("pytorchjobs", "peerkd", job(run.next_key, run=uuid, **owned))
    outcome = peerkd("stop", "latest")
    assert outcome.exit_code == 2
    assert "the namespace peerkd has a process or a job of it; Kubeflow Pipelines runs a job" in outcome.err
    assert f"'peerkd stop {uuid}'" in outcome.err
    assert kubernetes.asked("DELETE") == []
