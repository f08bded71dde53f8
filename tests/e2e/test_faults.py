"""Faults of clusters, caused on purpose: the outcome, and the message that a person reads."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.kfp_pods import Pipeline, environment
from tests.e2e.kind import KIND, RESOURCE, SETTING, read
from tests.e2e.kubectl import PATIENCE, KubectlError, apply, items, kubectl, wait_until
from tests.e2e.studies import LONG, LONG_TUNED, NAMESPACE, Site, Study, choices_fingerprint, trials_fingerprint

ROOT = Path(__file__).parents[2]
SMALL_WORKERS = ("cpu_per_worker=500m", "memory_per_worker=1Gi", "shared_memory=128Mi")
KILL_THE_TASK = """
import os, pathlib
for folder in pathlib.Path("/proc").glob("[0-9]*"):
    if int(folder.name) not in (1, os.getpid()) and b"executor_main" in (folder / "cmdline").read_bytes():
        os.kill(int(folder.name), 9)
"""
OURS = "app.kubernetes.io/name=peerkd,app.kubernetes.io/component=worker"


class Running:
    """A running study, with its output so far."""

    def __init__(self, study: Study) -> None:
        self.process = study.start()
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def printed(self) -> str:
        return "".join(self.lines)

    def wait_for(self, text: str, *, seconds: float = 180) -> None:
        def look() -> bool:
            assert text in self.printed or self.process.poll() is None, self.printed
            return text in self.printed

        wait_until(look, seconds=PATIENCE * seconds, what=f"{text!r} in:\n{self.printed}")

    def kill(self) -> None:
        """Kill all processes together. If one were left, it would notice the end of the others and delete the job."""
        os.killpg(self.process.pid, signal.SIGKILL)

    def end(self, *, seconds: float = 420) -> int:
        code = self.process.wait(timeout=PATIENCE * seconds)
        self._reader.join(timeout=10)
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as printed:
            self.lines.extend(iter(printed.readline, ""))


@pytest.fixture(autouse=True)
def _no_jobs_left(site: Site) -> Iterator[None]:
    yield
    kubectl("delete", RESOURCE, "--all", "--cascade=background", "-n", NAMESPACE)


@pytest.fixture
def study(site: Site, tmp_path: Path) -> Study:
    return Study(site, tmp_path, overrides=LONG)


@pytest.fixture
def running(study: Study) -> Iterator[Running]:
    started = Running(study)
    started.wait_for("distill_pairs: [worker ")
    yield started
    if started.process.poll() is None:
        started.kill()


@pytest.fixture(scope="module")
def undisturbed(site: Site, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The fingerprint of the table of the long study without faults."""
    ended = Study(site, tmp_path_factory.mktemp("here"), overrides=LONG, backend="local").run()
    assert ended.returncode == 0, ended.stdout
    return trials_fingerprint(ended.stdout)


def jobs(stage: str = "distill_pairs") -> list[dict[str, Any]]:
    return [each for each in unfinished() if stage.replace("_", "-") in name(each)]


def unfinished() -> list[dict[str, Any]]:
    return [job for job in items(RESOURCE, namespace=NAMESPACE) if not read(job).has_ended]


def at_work(worker: int | None = None) -> list[str]:
    """Return the names of the pods of workers, or of one worker, that use resources of the cluster."""
    pods = items("pods", namespace=NAMESPACE, labels=OURS)
    return [
        name(each)
        for each in pods
        if each["status"]["phase"] not in ("Succeeded", "Failed") and worker in (None, KIND.worker_index(each))
    ]


def evict(pod: str) -> None:
    """Evict a pod, as a drain of its node does."""
    metadata = {"name": pod, "namespace": NAMESPACE}
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction"
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    kubectl("create", "--raw", path, "-f", "-", text=json.dumps(eviction))


def make_workflow(workflow: str) -> None:
    """Install the resource of Argo's Workflows, without Argo itself."""
    if not kubectl("get", "crd", "workflows.argoproj.io", "--ignore-not-found"):
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        version = {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        names = {"kind": "Workflow", "plural": "workflows", "singular": "workflow"}
        apply(
            {
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": {"name": "workflows.argoproj.io"},
                "spec": {"group": "argoproj.io", "scope": "Namespaced", "names": names, "versions": [version]},
            }
        )
        kubectl("wait", "crd/workflows.argoproj.io", "--for=condition=established", "--timeout=30s")
    metadata = {"name": workflow, "namespace": NAMESPACE}
    apply({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": metadata, "spec": {}})


def name(found: dict[str, Any]) -> str:
    return str(found["metadata"]["name"])


def uid(found: dict[str, Any]) -> str:
    return str(found["metadata"]["uid"])


def test_a_launcher_that_is_killed_and_started_again_adopts_the_job(
    study: Study, running: Running, undisturbed: str
) -> None:
    (job,) = jobs()
    running.kill()
    running.end()
    again = Running(study)
    again.wait_for("distill_pairs: [worker ")
    (adopted,) = jobs()
    assert uid(adopted) == uid(job)
    assert again.end() == 0, again.printed
    assert trials_fingerprint(again.printed) == undisturbed


def test_a_launcher_pod_that_is_killed_and_retried_adopts_the_job(site: Site, undisturbed: str) -> None:
    """The launcher is a task of a pipeline, which Kubeflow Pipelines retries in a new pod."""
    store = f"s3://peerkd/{secrets.token_hex(4)}"
    arguments = {"overrides": " ".join(LONG), "store": store, "num_workers": "2"}
    arguments["cluster"] = " ".join((SETTING, *SMALL_WORKERS))
    pipeline = Pipeline.load(ROOT / "pipelines" / "jointkd.yaml", arguments, run_id=secrets.token_hex(4))
    of_all: dict[str, Any] = {
        "namespace": NAMESPACE,
        "image": site.control_image,
        "service_account": "peerkd-launcher",
        "env": environment(site),
    }
    for task in pipeline.tasks():
        if task == "train-and-report":
            break
        pipeline.run(task, pod=f"retried-{task}", **of_all)
    pipeline.start(task, pod="retried-first", **of_all)
    running = "--for=jsonpath={.status.phase}=Running"
    kubectl("wait", "pod/retried-first", "-n", NAMESPACE, running, "--timeout=60s", timeout_seconds=90)
    distils = "distill_pairs: [worker "
    wait_until(
        lambda: distils in kubectl("logs", "retried-first", "-n", NAMESPACE), seconds=PATIENCE * 300, what="a sweep"
    )
    (job,) = jobs()
    # The pod may be deleted before kubectl receives the answer of the program in it.
    with contextlib.suppress(KubectlError):
        kubectl("exec", "retried-first", "-n", NAMESPACE, "--", "python", "-c", KILL_THE_TASK)
    failed = "--for=jsonpath={.status.phase}=Failed"
    kubectl("wait", "pod/retried-first", "-n", NAMESPACE, failed, "--timeout=30s")
    log = pipeline.run(task, pod="retried-second", **of_all)
    assert f"the job {name(job)} exists already; waiting for its end" in log
    assert [uid(each) for each in items(RESOURCE, namespace=NAMESPACE) if name(each) == name(job)] == [uid(job)]
    assert trials_fingerprint(log) == undisturbed


def test_a_launcher_that_is_killed_for_good_leaves_no_job_after_two_minutes(running: Running) -> None:
    running.kill()
    wait_until(lambda: not unfinished(), seconds=120, what="the reaper deletes the job")
    wait_until(lambda: not at_work(), seconds=60, what="its pods end")


def test_an_interrupted_launcher_deletes_its_job_immediately(running: Running) -> None:
    running.process.send_signal(signal.SIGINT)
    wait_until(lambda: not unfinished(), seconds=5, what="the launcher deletes the job")
    running.end(seconds=30)
    assert "run the same command again to continue" in running.printed


def test_the_child_process_of_a_killed_command_deletes_the_job(running: Running) -> None:
    running.process.kill()
    wait_until(lambda: not unfinished(), seconds=10, what="the launcher deletes the job")


def test_the_job_of_a_workflow_that_ended_is_gone_within_ten_seconds(study: Study, running: Running) -> None:
    """The launcher is killed before its handler runs, and its Workflow is terminated."""
    (job,) = jobs()
    make_workflow("ending")
    owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": "ending", "controller": True}
    (workflow,) = items("workflows.argoproj.io", namespace=NAMESPACE)
    patch = {"metadata": {"ownerReferences": [{**owner, "uid": uid(workflow)}]}}
    kubectl("patch", RESOURCE, name(job), "-n", NAMESPACE, "--type=merge", "-p", json.dumps(patch))
    running.kill()
    end = {"spec": {"activeDeadlineSeconds": 0}}
    kubectl("patch", "workflow", "ending", "-n", NAMESPACE, "--type=merge", "-p", json.dumps(end))
    wait_until(lambda: not unfinished(), seconds=10, what="the reaper deletes the job")


@pytest.mark.parametrize("how", ["deleted", "evicted", "killed"])
def test_a_lost_worker_costs_no_trial(running: Running, undisturbed: str, how: str) -> None:
    (pod,) = at_work(1)
    if how == "deleted":
        kubectl("delete", "pod", pod, "-n", NAMESPACE, "--wait=false")
    elif how == "evicted":
        evict(pod)
    else:
        # This kills all processes of the container but the first, which the kernel protects and which then ends itself.
        with contextlib.suppress(KubectlError):
            kubectl("exec", pod, "-n", NAMESPACE, "--", "python", "-c", "import os; os.kill(-1, 9)")
    assert running.end() == 0, running.printed
    assert trials_fingerprint(running.printed) == undisturbed


def test_evictions_beyond_the_limit_of_restarts_cost_no_trial(running: Running, undisturbed: str) -> None:
    evicted: set[str] = set()

    def next_one() -> dict[str, Any] | None:
        """Wait for a pod of the second worker that runs and was not evicted before, and return it."""
        pods = items("pods", namespace=NAMESPACE, labels=OURS)
        return next(
            (
                pod
                for pod in pods
                if KIND.worker_index(pod) == 1 and uid(pod) not in evicted and pod["status"]["phase"] == "Running"
            ),
            None,
        )

    for _ in range(5):
        # The Job of a TrainJob waits longer after each eviction: 10 s, 20 s, 40 s and so on.
        pod = wait_until(next_one, seconds=PATIENCE * 240, what=f"worker 1 runs again after {len(evicted)} evictions")
        evicted.add(uid(pod))
        evict(name(pod))
    assert running.end(seconds=900) == 0, running.printed
    assert trials_fingerprint(running.printed) == undisturbed


@pytest.mark.parametrize("place", [0, 1])
def test_a_tuned_study_continues_whichever_worker_is_lost(site: Site, tmp_path: Path, place: int) -> None:
    """The first worker has the tuner."""
    here = Study(site, tmp_path / "here", LONG_TUNED, strategy="tune", backend="local").run()
    assert here.returncode == 0, here.stdout
    running = Running(Study(site, tmp_path / "there", LONG_TUNED, strategy="tune"))
    try:
        running.wait_for("tune_pairs: [worker 0] iteration ")
        (pod,) = at_work(place)
        kubectl("delete", "pod", pod, "-n", NAMESPACE, "--grace-period=0", "--force")
        assert "trials for" not in running.printed, "the study was over before"
        assert running.end() == 0, running.printed
    finally:
        if running.process.poll() is None:
            running.kill()
    assert choices_fingerprint(running.printed) == choices_fingerprint(here.stdout)


def test_an_outage_of_the_api_server_for_a_minute_costs_nothing(running: Running, undisturbed: str) -> None:
    server = subprocess.run(["pgrep", "-x", "kube-apiserver"], capture_output=True, text=True, check=False).stdout
    if not server:
        pytest.skip("the API server is not a process of this machine")
    try:
        subprocess.run(["kill", "-STOP", *server.split()], check=True)
        time.sleep(60)
    finally:
        subprocess.run(["kill", "-CONT", *server.split()], check=True)
    assert running.end() == 0, running.printed
    assert trials_fingerprint(running.printed) == undisturbed


def test_an_operator_that_restarts_changes_nothing(running: Running, undisturbed: str) -> None:
    field = f"metadata.name={KIND.controller.deployment}"
    (found,) = json.loads(kubectl("get", "deployments", "-A", "--field-selector", field, "-o", "json"))["items"]
    kubectl("rollout", "restart", f"deployment/{name(found)}", "-n", found["metadata"]["namespace"])
    assert running.end() == 0, running.printed
    assert trials_fingerprint(running.printed) == undisturbed


def test_a_job_deleted_by_hand_ends_the_run_in_a_sentence(running: Running) -> None:
    (job,) = jobs()
    kubectl("delete", RESOURCE, name(job), "-n", NAMESPACE, "--wait=false")
    assert running.end(seconds=30) == 1
    assert "was deleted" in running.printed.splitlines()[-1]
    assert not unfinished()


def test_an_outage_of_the_store_for_a_minute_is_waited_out(running: Running, undisturbed: str) -> None:
    kubectl("scale", "deployment/minio", "-n", NAMESPACE, "--replicas=0")
    time.sleep(60)
    kubectl("scale", "deployment/minio", "-n", NAMESPACE, "--replicas=1")
    assert running.end(seconds=600) == 0, running.printed
    assert trials_fingerprint(running.printed) == undisturbed


def test_a_missing_image_is_reported_within_about_a_minute(site: Site, tmp_path: Path) -> None:
    study = Study(site, tmp_path, environment={"PEERKD_CLUSTER": "image: peerkd.invalid/no-such:image"})
    ended = study.run(seconds=240)
    assert ended.returncode != 0
    assert "peerkd.invalid/no-such:image" in ended.stdout.splitlines()[-1]
    assert not unfinished()


def test_a_worker_out_of_memory_is_reported_as_such(site: Site, tmp_path: Path) -> None:
    study = Study(site, tmp_path)
    study.settings = ("cpu_per_worker=500m", "memory_per_worker=100Mi", "shared_memory=16Mi")
    ended = study.run(seconds=420)
    assert ended.returncode != 0
    # The last lines of the worker follow.
    (sentence, *_) = ended.stdout.rpartition("\npeerkd: ")[2].splitlines()
    assert "ran out of memory" in sentence
    assert "limit 100Mi" in sentence
    assert not unfinished()


def test_wrong_keys_are_reported_before_anything_is_created(site: Site, tmp_path: Path) -> None:
    study = Study(site, tmp_path, environment={"PEERKD_S3_SECRET_KEY": "wrong"})
    ended = study.run(seconds=120)
    assert ended.returncode == 2, ended.stdout
    assert "PEERKD_S3_SECRET_KEY" in ended.stdout.splitlines()[-1]
    assert not unfinished()


def test_a_worker_with_wrong_keys_ends_the_run_in_a_sentence(site: Site, tmp_path: Path) -> None:
    secret = {"access-key": "e2e-access", "secret-key": "wrong"}
    arguments = [f"--from-literal={key}={value}" for key, value in secret.items()]
    kubectl("delete", "secret", "wrong-keys", "-n", NAMESPACE, "--ignore-not-found")
    kubectl("create", "secret", "generic", "wrong-keys", "-n", NAMESPACE, *arguments)
    study = Study(site, tmp_path, environment={"PEERKD_CLUSTER": "store_secret: wrong-keys"})
    ended = study.run(seconds=240)
    assert ended.returncode == 2, ended.stdout
    assert "PEERKD_S3_SECRET_KEY" in ended.stdout.splitlines()[-1]
    assert not unfinished()


def test_a_missing_secret_is_reported(site: Site, tmp_path: Path) -> None:
    study = Study(site, tmp_path, environment={"PEERKD_CLUSTER": "store_secret: no-such-secret"})
    ended = study.run(seconds=240)
    assert ended.returncode != 0
    assert "no-such-secret" in ended.stdout.splitlines()[-1]
    assert not unfinished()


def test_a_refusal_by_the_admission_policy_ends_the_run_with_its_message(site: Site, tmp_path: Path) -> None:
    settings = "volumes: [{name: node, hostPath: {path: /}}]"
    ended = Study(site, tmp_path, environment={"PEERKD_CLUSTER": settings}).run(seconds=240)
    assert ended.returncode == 1, ended.stdout
    assert "A volume of a worker must be an emptyDir" in ended.stdout.splitlines()[-1]
    assert "got node (a hostPath)" in ended.stdout.splitlines()[-1]
    assert not unfinished()


def test_a_quota_without_room_is_reported(site: Site, tmp_path: Path) -> None:
    quota = {"metadata": {"name": "no-room", "namespace": NAMESPACE}, "spec": {"hard": {"pods": "0"}}}
    apply({"apiVersion": "v1", "kind": "ResourceQuota", **quota})
    try:
        ended = Study(site, tmp_path).run(seconds=240)
    finally:
        kubectl("delete", "resourcequota", "no-room", "-n", NAMESPACE)
    assert ended.returncode != 0
    assert "exceeded quota: no-room" in ended.stdout.splitlines()[-1]
    assert not unfinished()
