"""The admission policy on a real API server: each forbidden thing is refused in one sentence, a normal job is not.

These tests only ask the server whether it would accept a job or a pod. The other tests of this folder run normal jobs
under the same policy.
"""

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, NamedTuple

import pytest

from peerkd.config.cluster import ClusterConfig
from peerkd.errors import ClusterRefusedError
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.client import Cluster, connect
from peerkd.launch.kubernetes.kinds import PYTORCHJOB, TRAINJOB
from peerkd.launch.kubernetes.manifest import manifest_for
from peerkd.launch.order import StageOrder
from tests.e2e.kind import KIND, RESOURCE, holder_of_pods, objects_of, pod_templates
from tests.e2e.kubectl import KubectlError, apply, kubectl, wait_until
from tests.manifests.admission import FORBIDDEN, Forbidden, Spec
from tests.manifests.built import build

ORDER = StageOrder(stage="distill_pairs", config_json="{}", store="s3://peerkd/runs", inputs={}, key="distill_pairs/1")
SETTINGS = ClusterConfig(image="registry.example/peerkd/trainer:1", priority_class="peerkd-training")
TASK_LABELS = {"workflows.argoproj.io/workflow": "jointkd-x"}


class Place(NamedTuple):
    """A namespace with the lists, which is our own or shared."""

    name: str
    cluster: Cluster

    def ask(self, body: Mapping[str, Any]) -> None:
        """Ask the server whether it would accept an object."""
        root = f"/api/{body['apiVersion']}" if body["kind"] == "Pod" else f"/apis/{body['apiVersion']}"
        path = f"{root}/namespaces/{self.name}/{body['kind'].lower()}s"
        self.cluster.request("POST", path, query=[("dryRun", "All")], body=dict(body))

    def refusal(self, body: Mapping[str, Any]) -> str:
        """Return the message with which the server refuses an object."""
        with pytest.raises(ClusterRefusedError) as refused:
            self.ask(body)
        return str(refused.value)


def _place(prefix: str, *, of_our_own: bool) -> Place:
    name = f"{prefix}-{secrets.token_hex(4)}"
    objects = [json.loads(json.dumps(each)) for each in build("base")]
    kinds = ("Namespace", "ConfigMap", "ServiceAccount", "Role", "RoleBinding", "PriorityClass")
    wanted = [each for each in objects if each["kind"] in kinds or each["kind"].startswith("ValidatingAdmission")]
    for each in wanted:
        for where in (each["metadata"], *each.get("subjects", [])):
            if "namespace" in where:
                where["namespace"] = name
        if each["kind"] == "Namespace":
            # No Pod Security level is set, so every refusal comes from the policy.
            each["metadata"] = {"name": name, "labels": {"peerkd.io/admission": "enforced"} if of_our_own else {}}
    wanted.sort(key=lambda each: each["kind"] != "Namespace")
    apply(*wanted)
    return Place(name, connect(namespace=name))


@pytest.fixture(scope="module")
def ours() -> Iterator[Place]:
    place = _place("peerkd-admission", of_our_own=True)
    # A policy takes effect a moment after it is stored.
    wait_until(lambda: _is_refused(place, other_peoples_job()), seconds=30, what="the policy is in force")
    yield place
    kubectl("delete", "namespace", place.name, "--wait=false")


@pytest.fixture(scope="module")
def shared(ours: Place) -> Iterator[Place]:
    place = _place("peerkd-shared", of_our_own=False)
    time.sleep(1)
    yield place
    kubectl("delete", "namespace", place.name, "--wait=false")


def _is_refused(place: Place, body: Mapping[str, Any]) -> bool:
    try:
        place.ask(body)
    except ClusterRefusedError:
        return True
    return False


def job(*, more: bool = False) -> dict[str, Any]:
    """Return the object with the pod templates of a launcher's job, with a replica more that is like the workers."""
    holder = holder_of_pods(manifest_for(ORDER, SETTINGS, kind=KIND, environment={}))
    if more and KIND is PYTORCHJOB:
        specs = holder["spec"]["pytorchReplicaSpecs"]
        specs["Master"] = {**deepcopy(specs["Worker"]), "replicas": 1}
    elif more:
        jobs = holder["spec"]["template"]["spec"]["replicatedJobs"]
        jobs.append({**deepcopy(jobs[0]), "name": "more"})
    return holder


def template_of(made: dict[str, Any], index: int = 0) -> dict[str, Any]:
    """Return the pod template of a replica."""
    return [*pod_templates(made).values()][index]


def spec_of(made: dict[str, Any], index: int = 0) -> Spec:
    """Return the spec of the pods of a replica."""
    spec: Spec = template_of(made, index)["spec"]
    return spec


def pod(labels: Mapping[str, str], **spec: Any) -> dict[str, Any]:
    """Return a pod like that of a worker."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x", "labels": dict(labels)},
        "spec": {**spec_of(job()), "restartPolicy": "Never", **spec},
    }


def task() -> dict[str, Any]:
    return pod(TASK_LABELS, serviceAccountName="peerkd-launcher", automountServiceAccountToken=True)


def other_peoples_job() -> dict[str, Any]:
    """Return an object that violates every rule and has no sign of belonging to peerkd."""
    theirs = job()
    theirs["metadata"] = {"name": "theirs"}
    template_of(theirs)["metadata"] = {}
    spec = spec_of(theirs)
    name = spec["containers"][0]["name"]
    spec.clear()
    spec |= {
        "hostNetwork": True,
        "containers": [{"name": name, "image": "x:1"}],
        "volumes": [{"name": "node", "hostPath": {"path": "/"}}],
    }
    return theirs


def test_the_job_of_a_launcher_is_accepted(ours: Place, shared: Place) -> None:
    for place in (ours, shared):
        place.ask(job())
        place.ask(job(more=True))
        place.ask(pod(names.OUR_LABELS | {KIND.job_label: "x"}))
        place.ask(task())


def test_the_settings_of_each_container_are_checked_too(ours: Place) -> None:
    made = job()
    spec = spec_of(made)
    context = spec.pop("securityContext")
    context.pop("fsGroup")
    spec["containers"][0]["securityContext"].update(context)
    ours.ask(made)


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("forbidden", FORBIDDEN, ids=lambda each: each.name)
def test_a_job_that_requests_more_is_refused_in_a_sentence(ours: Place, forbidden: Forbidden, index: int) -> None:
    made = job(more=True)
    forbidden.change(spec_of(made, index))
    said = ours.refusal(made)
    assert "denied request: " in said
    sentence = said.partition("denied request: ")[2]
    assert forbidden.sentence in sentence
    assert sentence.startswith(("A ", "The ", "Every "))
    assert "\n" not in sentence
    assert "  " not in sentence


@pytest.mark.parametrize("forbidden", FORBIDDEN, ids=lambda each: each.name)
def test_a_pod_of_a_job_is_refused_for_the_same_reasons(ours: Place, forbidden: Forbidden) -> None:
    made = pod({KIND.job_label: "x"})
    forbidden.change(made["spec"])
    said = ours.refusal(made)
    # The server may refuse it first, for a missing account or a contradiction in the pod.
    assert forbidden.sentence in said or "account" in forbidden.name or "is invalid" in said


@pytest.mark.parametrize("forbidden", [each for each in FORBIDDEN if each.of_tasks], ids=lambda each: each.name)
def test_a_task_of_a_pipeline_has_the_secrets_of_tasks_and_no_others(ours: Place, forbidden: Forbidden) -> None:
    made = task()
    forbidden.change(made["spec"])
    said = ours.refusal(made)
    assert forbidden.sentence in said or "account" in forbidden.name or "is invalid" in said


@pytest.mark.parametrize("forbidden", FORBIDDEN, ids=lambda each: each.name)
def test_our_jobs_are_refused_in_a_shared_namespace_too(shared: Place, forbidden: Forbidden) -> None:
    made = job()
    forbidden.change(spec_of(made))
    assert forbidden.sentence in shared.refusal(made)


def test_a_priority_class_that_is_not_listed_is_refused(ours: Place) -> None:
    made = job()
    spec_of(made)["priorityClassName"] = "system-node-critical"
    assert "worker-priority-classes" in ours.refusal(made)


@pytest.mark.parametrize(
    "labels",
    [
        {"app.kubernetes.io/name": "minio"},
        *({"app.kubernetes.io/component": each} for each in ("store", "pushgateway", "reaper", "bucket")),
        TASK_LABELS,
    ],
    ids=str,
)
def test_a_worker_cannot_have_labels_that_services_and_network_policies_trust(
    ours: Place, labels: dict[str, str]
) -> None:
    made = job()
    template_of(made)["metadata"]["labels"].update(labels)
    assert "The labels of a worker must not be those of" in ours.refusal(made)
    assert "The labels of a worker must not be those of" in ours.refusal(pod({KIND.job_label: "x", **labels}))
    if labels is not TASK_LABELS:
        posing = task()
        posing["metadata"]["labels"].update(labels)
        assert "The labels of a task must not be those of" in ours.refusal(posing)


def test_jobs_of_others_in_a_shared_namespace_are_not_checked(ours: Place, shared: Place) -> None:
    shared.ask(other_peoples_job())
    assert "denied request: " in ours.refusal(other_peoples_job())


def test_a_launcher_cannot_bypass_the_policy_by_omitting_labels(shared: Place) -> None:
    with pytest.raises(KubectlError, match="denied request: "):
        _as("peerkd-launcher", shared, "create", "--dry-run=server", "-f", "-", text=json.dumps(other_peoples_job()))


def test_launcher_and_reaper_cannot_change_jobs_of_others(shared: Place) -> None:
    (*before, own) = objects_of(manifest_for(ORDER, SETTINGS, kind=KIND, environment={}))
    # The job is suspended, so that its controller creates no pod for it.
    if KIND is PYTORCHJOB:
        own["spec"]["runPolicy"] = {"suspend": True}
    else:
        own["spec"]["suspend"] = True
    theirs = {**deepcopy(own), "metadata": {"name": "theirs"}}
    for each in (*before, own, theirs):
        each["metadata"]["namespace"] = shared.name
    apply(*before)
    wait_until(lambda: _are_applied(own, theirs), seconds=30, what="the controller knows what the jobs need")
    for account in ("peerkd-launcher", "peerkd-reaper"):
        with pytest.raises(KubectlError, match="peerkd may change and delete only the jobs that it has made"):
            _as(account, shared, "delete", RESOURCE, "theirs")
    patch = ("patch", RESOURCE, "theirs", "--type=merge", "--patch", '{"metadata": {"labels": {"a": "b"}}}')
    with pytest.raises(KubectlError, match="peerkd may change and delete only the jobs that it has made"):
        _as("peerkd-launcher", shared, *patch)
    name = own["metadata"]["name"]
    lease = json.dumps({"metadata": {"annotations": {names.ANNOTATION_LEASE_RENEWED: "now"}}})
    _as("peerkd-launcher", shared, "patch", RESOURCE, name, "--type=merge", "--patch", lease)
    _as("peerkd-reaper", shared, "delete", RESOURCE, name)


def _are_applied(*objects: Mapping[str, Any]) -> bool:
    try:
        apply(*objects)
    except KubectlError:
        return False
    return True


@pytest.mark.skipif(KIND is not TRAINJOB, reason="only a TrainJob has a runtime")
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"runtimeRef": {"kind": "ClusterTrainingRuntime", "name": "torch-distributed"}}, "A TrainJob must use"),
        ({"trainer": {"command": ["sh"]}}, "A TrainJob must use"),
        ({"trainer": {"env": [{"name": "A", "value": "b"}]}}, "A TrainJob must use"),
        ({"runtimePatches": [{"serviceAccountName": "admin"}]}, "A patch of a TrainJob may set"),
        (
            {"runtimePatches": [{"volumes": [{"name": "n", "hostPath": {"path": "/"}}]}]},
            "A patch of a TrainJob may set",
        ),
    ],
    ids=str,
)
def test_a_trainjob_cannot_change_what_its_runtime_contains(ours: Place, change: dict[str, Any], sentence: str) -> None:
    (*_, made) = objects_of(manifest_for(ORDER, SETTINGS, kind=KIND, environment={}))
    change = deepcopy(change)
    for number, spec in enumerate(change.get("runtimePatches", [])):
        jobs = [{"name": "node", "template": {"spec": {"template": {"spec": spec}}}}]
        patch = {"template": {"spec": {"replicatedJobs": jobs}}}
        change["runtimePatches"][number] = {"manager": "peerkd.io/test", "trainingRuntimeSpec": patch}
    made["spec"] |= change
    assert sentence in ours.refusal(made)


def test_an_operator_can_extend_the_lists(ours: Place) -> None:
    data = {
        "worker-secrets": "peerkd-store root",
        "claims": "images-2026",
        "worker-images": "registry.example/peerkd",
    }
    made = job()
    spec = spec_of(made)
    spec["imagePullSecrets"] = [{"name": "root"}]
    spec["volumes"].append({"name": "data", "persistentVolumeClaim": {"claimName": "images-2026"}})
    elsewhere = job()
    spec_of(elsewhere)["containers"][0]["image"] = "registry.example/peerkds/trainer:1"
    ours.ask(elsewhere)
    assert _is_refused(ours, made)
    kubectl(
        "patch", "configmap", "peerkd-admission", "-n", ours.name, "--type=merge", "--patch", json.dumps({"data": data})
    )
    wait_until(lambda: not _is_refused(ours, made), seconds=30, what="the lists are read anew")
    assert "worker-images" in ours.refusal(elsewhere)


def test_a_namespace_of_peerkd_without_lists_accepts_no_job(ours: Place) -> None:
    """This test must be the last one, because it deletes the lists."""
    kubectl("delete", "configmap", "peerkd-admission", "-n", ours.name)
    wait_until(lambda: _is_refused(ours, job()), seconds=30, what="the lists are missed")


def _as(account: str, place: Place, *arguments: str, text: str | None = None) -> str:
    user = f"system:serviceaccount:{place.name}:{account}"
    return kubectl(*arguments, "--namespace", place.name, "--as", user, text=text)
