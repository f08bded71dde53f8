import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.cli import run
from peerkd.config.cluster import CLUSTER_FILE_VARIABLE, CLUSTER_VARIABLE
from peerkd.launch.invocations.files import list_invocations
from tests.unit.cli.conftest import Outcome

STORE = ("--store", "s3://peerkd/runs")
KUBERNETES = ("--backend", "kubernetes")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, str]]:
    """Return the arguments of each run of a pipeline; each run leaves a report in a store on disk."""
    given: list[dict[str, str]] = []

    def run_pipeline(pipeline: Path, arguments: dict[str, str]) -> str:
        assert pipeline.is_file()
        given.append(arguments)
        store = FilesystemStore(tmp_path / "elsewhere")
        with store.open_workspace("build_report/1") as workspace:
            folder = getattr(workspace, "folder", workspace)
            for name in ("summary.txt", "report.html"):
                (folder / name).write_text(f"the {name}")
            store.publish("build_report/1", metadata={})
        return "build_report/1"

    monkeypatch.setattr(run, "run_pipeline", run_pipeline)
    monkeypatch.setattr(run, "open_store", lambda _: FilesystemStore(tmp_path / "elsewhere"))
    for name in (CLUSTER_FILE_VARIABLE, CLUSTER_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    return given


def test_on_this_machine_the_output_is_the_store(peerkd, sent, tmp_path: Path) -> None:
    outcome = peerkd("run", "jointkd")
    assert outcome.exit_code == 0
    exporting = "peerkd export latest --student 0 --to student-0.pt2"
    assert outcome.out.endswith(f"\nA network for other programs: {exporting}\n")
    (given,) = sent
    given.pop("config_json")
    assert given == {
        "store": str(tmp_path / "runs"),
        "backend": "local",
        "num_workers": "",
        "gpus": "",
        "cluster": "",
        "strategy": "sweep",
    }


def test_sigterm_ends_a_run_with_what_to_do_next(peerkd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = []

    def wait_for_a_task(*_: object) -> None:
        tasks.append(subprocess.Popen(["sleep", "60"]))
        with tasks[0]:
            signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(run, "run_pipeline", wait_for_a_task)
    outcome = peerkd("run", "jointkd")
    # The run has not waited for its task, which ends by itself when the run is gone.
    assert tasks[0].poll() is None
    tasks[0].kill()
    tasks[0].wait()
    assert (outcome.exit_code, outcome.out) == (143, "")
    assert outcome.err == "peerkd: stopped by SIGTERM; run the same command again to continue.\n"
    (invocation,) = list_invocations(tmp_path / "runs")
    assert invocation.state == "interrupted"
    assert signal.getsignal(signal.SIGTERM) == before


def test_on_a_cluster_the_report_is_brought_here(peerkd, sent, tmp_path: Path) -> None:
    outcome = peerkd("run", "pcl", *KUBERNETES, *STORE, "--workers", "2", "--gpus", "8", "--cluster", "queue=q")
    assert outcome.exit_code == 0, outcome.err
    (given,) = sent
    given.pop("config_json")
    assert given == {
        "store": "s3://peerkd/runs",
        "backend": "kubernetes",
        "num_workers": "2",
        "gpus": "8",
        "cluster": "queue=q",
    }
    report = tmp_path / "runs" / "build_report" / "1" / "report.html"
    assert report.read_text() == "the report.html"
    assert outcome.out.endswith(f"the summary.txt\n\nReport: {report}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backend", "cloud"], "backend must be local or kubernetes, got cloud."),
        (
            KUBERNETES,
            "store must be given with --backend kubernetes, because jobs cannot reach a folder on this machine",
        ),
        (
            [*KUBERNETES, "--store", "/mnt/peerkd"],
            "store must be s3://bucket/prefix, or a folder on a volume that all pods mount, got /mnt/peerkd, which no",
        ),
        (
            [*KUBERNETES, *STORE, "--cluster", "gpu=1"],
            "gpu is not a key of the config (did you mean gpu_resource or price_per_gpu_hour?), got 1.",
        ),
        (
            [*KUBERNETES, *STORE, "--dry-run", "--cluster", "'volumes=[{name: x, hostPath: {path: /}}]'"],
            "volumes of a run must be of the kinds emptyDir, persistentVolumeClaim, secret, configMap; others belong",
        ),
        (
            [*KUBERNETES, *STORE, "--workers", "0"],
            "num_workers must be at least 1 with the backend kubernetes, got 0, ",
        ),
        (["--dry-run"], "backend must be kubernetes with --dry-run, which prints the jobs of a cluster, got local."),
        ([*KUBERNETES, *STORE, "--dry-run", "--set", "seed=x"], 'seed must be a whole number, got "x".'),
    ],
)
def test_a_mistake_is_reported_before_anything_runs(peerkd, sent, tmp_path: Path, arguments: Any, message: str) -> None:
    outcome = peerkd("run", "jointkd", *arguments)
    assert outcome.exit_code == 2
    assert outcome.err.startswith(f"peerkd: {message}")
    assert outcome.err.count("\n") == 1
    assert (sent, list(tmp_path.iterdir())) == ([], [])


def test_an_operators_file_gives_the_defaults(peerkd, sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text("num_workers: 3\nmemory_per_worker: 8Gi\n")
    # A file takes precedence over a text, which is meant for pods.
    monkeypatch.setenv(CLUSTER_VARIABLE, "num_workers: 5")
    monkeypatch.setenv(CLUSTER_FILE_VARIABLE, str(file))
    (job, *_) = manifests(peerkd("run", "jointkd", *KUBERNETES, *STORE, "--dry-run"))
    worker = job["spec"]["pytorchReplicaSpecs"]["Worker"]
    assert worker["replicas"] == 3
    assert worker["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] == "8Gi"


def test_an_operators_text_gives_the_defaults_where_no_file_is_named(
    peerkd, sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CLUSTER_VARIABLE, "num_workers: 5\n")
    (job, *_) = manifests(peerkd("run", "jointkd", *KUBERNETES, *STORE, "--dry-run"))
    assert job["spec"]["pytorchReplicaSpecs"]["Worker"]["replicas"] == 5
    monkeypatch.setenv(CLUSTER_VARIABLE, "[")
    outcome = peerkd("run", "jointkd", *KUBERNETES, *STORE, "--dry-run")
    assert (outcome.exit_code, outcome.err) == (
        2,
        "peerkd: PEERKD_CLUSTER must be YAML or JSON, got [: "
        "expected the node content, but found '<stream end>' in line 1, column 2.\n",
    )


def manifests(outcome: Outcome) -> list[dict[str, Any]]:
    assert outcome.exit_code == 0, outcome.err
    return list(yaml.safe_load_all(outcome.out))


def test_a_dry_run_shows_the_jobs_and_runs_nothing(peerkd, sent, tmp_path: Path) -> None:
    outcome = peerkd("run", "jointkd", *KUBERNETES, *STORE, "--dry-run", "--workers", "2", "--gpus", "4")
    jobs = manifests(outcome)
    assert [job["metadata"]["name"] for job in jobs] == [
        "peerkd-pretrain-peers-0000000000",
        "peerkd-distill-pairs-0000000000",
        "peerkd-improve-peers-0000000000",
    ]
    for job in jobs:
        worker = job["spec"]["pytorchReplicaSpecs"]["Worker"]
        container = worker["template"]["spec"]["containers"][0]
        assert worker["replicas"] == 2
        assert container["resources"]["limits"]["nvidia.com/gpu"] == "4"
        assert container["command"][:4] == ["python", "-m", "peerkd", "stage"]
        assert job["metadata"]["labels"]["peerkd.io/spec"] == "0" * 16
    assert (
        "distill_pairs"
        in jobs[1]["spec"]["pytorchReplicaSpecs"]["Worker"]["template"]["spec"]["containers"][0]["command"]
    )
    assert outcome.out.count("are zeros here") == 3
    assert (sent, list(tmp_path.iterdir())) == ([], [])


def test_a_dry_run_of_trainjobs_shows_each_after_its_runtime(peerkd, sent) -> None:
    shown = manifests(peerkd("run", "jointkd", *KUBERNETES, *STORE, "--dry-run", "--cluster", "job_kind=trainjob"))
    assert [each["kind"] for each in shown] == ["TrainingRuntime", "TrainJob"] * (len(shown) // 2)
    for runtime, job in zip(shown[::2], shown[1::2], strict=True):
        assert job["spec"]["runtimeRef"]["name"] == runtime["metadata"]["name"]
        # The end of a name depends on the results of earlier stages.
        assert runtime["metadata"]["name"] == f"{job['metadata']['name']}-{'0' * 16}"
    assert sent == []


def test_a_dry_run_of_a_tuned_study_has_its_job(peerkd, sent) -> None:
    jobs = manifests(peerkd("run", "jointkd", *KUBERNETES, *STORE, "--dry-run", "--strategy", "tune"))
    assert [job["metadata"]["name"] for job in jobs] == [
        "peerkd-pretrain-peers-0000000000",
        "peerkd-tune-pairs-0000000000",
        "peerkd-improve-peers-0000000000",
    ]


def test_an_unknown_strategy_is_refused_before_anything_runs(peerkd, sent, tmp_path: Path) -> None:
    outcome = peerkd("run", "jointkd", "--strategy", "guess", "--output", str(tmp_path / "runs"))
    assert (outcome.exit_code, outcome.err) == (2, "peerkd: strategy must be sweep or tune, got guess.\n")
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_shows_nothing_that_is_not_known_yet(peerkd, sent) -> None:
    """Two experiments whose jobs differ only in values that are not known yet have the same output."""
    shown = [
        peerkd("run", "jointkd", *KUBERNETES, "--store", store, "--dry-run").out.replace(store, "")
        for store in ("s3://one/a", "s3://two/b")
    ]
    assert shown[0] == shown[1]


def test_workers_mount_a_store_on_a_claim(peerkd, sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(
        "volumes: [{name: store, persistentVolumeClaim: {claimName: peerkd-store}}]\n"
        "volume_mounts: [{name: store, mountPath: /mnt/peerkd}]\n"
    )
    monkeypatch.setenv(CLUSTER_FILE_VARIABLE, str(file))
    (job, *_) = manifests(peerkd("run", "jointkd", *KUBERNETES, "--store", "/mnt/peerkd/runs", "--dry-run"))
    worker = job["spec"]["pytorchReplicaSpecs"]["Worker"]["template"]["spec"]
    assert {"name": "store", "persistentVolumeClaim": {"claimName": "peerkd-store"}} in worker["volumes"]
    (container,) = worker["containers"]
    assert {"name": "store", "mountPath": "/mnt/peerkd"} in container["volumeMounts"]
    assert "/mnt/peerkd/runs" in container["command"]
    # No keys are needed, so the secret may be missing.
    assert not any("secretKeyRef" in str(each) for each in container["env"])


def test_the_processes_of_one_training_are_divided_in_a_dry_run_too(peerkd, sent) -> None:
    shared = ("--set", "training.num_processes=4", "--set", "training.batch_size=128")
    (job,) = manifests(peerkd("run", "pcl", *KUBERNETES, *STORE, "--dry-run", "--workers", "2", *shared))
    assert job["spec"]["nprocPerNode"] == "2"
    outcome = peerkd("run", "pcl", *KUBERNETES, *STORE, "--dry-run", "--workers", "3", *shared)
    assert (outcome.exit_code, outcome.err) == (
        2,
        "peerkd: num_workers must divide the 4 processes of train_pcl, got 3.\n",
    )
