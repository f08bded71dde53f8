from typing import Any

import pytest

from peerkd.errors import ClusterRefusedError
from peerkd.launch.doctor.namespace import check_namespace
from tests.unit.launch.doctor.conftest import Answering

LABEL = "pod-security.kubernetes.io/enforce"
ADVICE = f"kubectl label namespace peerkd {LABEL}=restricted"
OURS = {"app.kubernetes.io/name": "peerkd"}
# These messages are those of the API server of Kubernetes 1.34.
VIOLATED = 'existing pods in namespace "kubeflow" violate the new PodSecurity enforce level "restricted:latest"'
VIOLATIONS = [
    VIOLATED,
    "cache-server-7d9 (and 18 other pods): allowPrivilegeEscalation != false, runAsNonRoot != true",
    "mysql-0: seccompProfile",
]


def pod(labels: dict[str, str] | None = None, phase: str = "Running") -> dict[str, Any]:
    return {"metadata": {"name": "x", "labels": labels}, "status": {"phase": phase}}


def scene(
    cluster: Answering,
    *,
    name: str = "peerkd",
    labels: dict[str, str] | None = None,
    pods: list[dict[str, Any]] | None = None,
    warnings: list[str] | None = None,
) -> None:
    """Set the answers of the cluster. None: reading is not allowed."""
    cluster.namespace = name
    cluster.answers[f"/api/v1/namespaces/{name}"] = {"metadata": {"labels": labels}}
    for path, answer in (
        (f"/api/v1/namespaces/{name}/pods", None if pods is None else {"items": pods}),
        (f"/api/v1/namespaces/{name}?dryRun=All", None if warnings is None else {"warnings": warnings}),
    ):
        cluster.answers[path] = answer
        if answer is None:
            cluster.forbid(path)


@pytest.mark.parametrize(
    ("labels", "sentence", "fix"),
    [
        ({LABEL: "restricted"}, "The namespace peerkd admits restricted pods only.", ""),
        (
            {LABEL: "baseline"},
            "the pod security level baseline; peerkd needs no more than restricted.",
            ADVICE,
        ),
        (None, "the pod security level privileged; peerkd needs no more than restricted.", ADVICE),
    ],
)
def test_a_namespace_of_peerkd_alone_may_be_labelled(
    cluster: Answering, labels: dict[str, str] | None, sentence: str, fix: str
) -> None:
    scene(cluster, labels=labels, pods=[pod(OURS), pod(phase="Succeeded")], warnings=[])
    result = check_namespace(cluster)
    assert (result.ok, result.fix) == (True, fix)
    assert result.sentence.endswith(sentence)


@pytest.mark.parametrize(
    ("name", "pods", "warnings", "words"),
    [
        (
            "kubeflow",
            [pod()] * 20,
            VIOLATIONS,
            "has 20 pods besides those of peerkd. The level restricted would refuse 20 pods at the next start.",
        ),
        ("peerkd", [pod(), pod(OURS)], [], "has 1 pod besides those of peerkd."),
        ("peerkd", [pod(OURS)], VIOLATIONS[::2], "level baseline. The level restricted would refuse 1 pod at"),
        ("peerkd", None, [VIOLATED], "would refuse 1 pod"),
        ("peerkd", [pod()], None, "has 1 pod besides"),
        *((name, [], [], "belongs to a component of the cluster") for name in ("kubeflow", "default", "kube-system")),
        ("istio-system", None, None, "belongs to a component of the cluster"),
    ],
)
def test_no_label_is_recommended_that_would_stop_the_pods_of_others(
    cluster: Answering, name: str, pods: Any, warnings: Any, words: str
) -> None:
    scene(cluster, name=name, labels={LABEL: "baseline"}, pods=pods, warnings=warnings)
    result = check_namespace(cluster)
    assert words in result.sentence
    assert "kubectl label" not in result.fix
    assert "a namespace of its own" in result.fix


def test_a_profile_keeps_its_labels_and_its_runs(cluster: Answering) -> None:
    scene(cluster, name="alice", labels={"app.kubernetes.io/part-of": "kubeflow-profile"}, pods=[pod()], warnings=[])
    assert check_namespace(cluster).fix == "Leave its labels as they are, because they belong to the Kubeflow profile."


def test_the_label_is_not_recommended_if_pods_may_not_be_listed(cluster: Answering) -> None:
    scene(cluster)
    result = check_namespace(cluster)
    assert result.fix.startswith("Ask who else uses the namespace")


def test_a_missing_namespace_fails_and_an_unreadable_one_does_not(cluster: Answering) -> None:
    assert check_namespace(cluster).ok is False
    cluster.forbid("/api/v1/namespaces/peerkd")
    result = check_namespace(cluster)
    assert (result.ok, result.sentence) == (None, "You may not get the namespace, so this was not checked.")
    assert result.fix == "Have peerkd doctor run by somebody who may get the namespace."


def test_any_other_answer_fails_with_the_message_of_the_cluster(cluster: Answering) -> None:
    cluster.answers["/api/v1/namespaces/peerkd"] = ClusterRefusedError("The cluster says teapot.", status=418)
    assert check_namespace(cluster)[:3] == ("namespace", False, "The cluster says teapot.")
