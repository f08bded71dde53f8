"""A real API server accepts every overlay, without a warning, and grants exactly the rights of the tables."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any
from uuid import uuid4

import pytest

from tests.manifests.built import CLUSTER_KUBECTL, OVERLAYS, Object, build
from tests.manifests.test_rights import ACCOUNTS, ROLES

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not os.environ.get("KUBECONFIG"), reason="KUBECONFIG names no cluster"),
]
OTHERS = {"kueue.x-k8s.io": "Kueue", "monitoring.coreos.com": "the Prometheus operator", "argoproj.io": "Argo"}
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
RESOURCES = (
    ("", "pods"),
    ("", "pods/log"),
    ("", "pods/exec"),
    ("", "events"),
    ("", "secrets"),
    ("", "configmaps"),
    ("", "services"),
    ("", "serviceaccounts"),
    ("", "configmaps/kfp-launcher"),
    ("", "secrets/mlpipeline-minio-artifact"),
    ("", "secrets/peerkd-store"),
    ("apps", "deployments"),
    ("batch", "jobs"),
    ("kubeflow.org", "pytorchjobs"),
    ("kubeflow.org", "pytorchjobs/status"),
    ("argoproj.io", "workflows"),
    ("argoproj.io", "workflowtaskresults"),
    ("kueue.x-k8s.io", "workloads"),
    ("rbac.authorization.k8s.io", "roles"),
)


def kubectl(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    program = str(CLUSTER_KUBECTL) if CLUSTER_KUBECTL.is_file() else shutil.which("kubectl")
    if program is None:
        pytest.skip("there is no kubectl here")
    command = [program, *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=180, check=False)


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """A namespace that enforces "restricted", which is deleted afterwards."""
    name = f"peerkd-manifests-{uuid4().hex[:8]}"
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": levels}}
    made = kubectl("create", "-f", "-", text=json.dumps(space))
    assert made.returncode == 0, made.stderr
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


def moved(objects: tuple[Object, ...], namespace: str) -> list[dict[str, Any]]:
    """Return the objects moved to another namespace, without the Namespace itself."""
    there: list[dict[str, Any]] = json.loads(json.dumps([each for each in objects if each["kind"] != "Namespace"]))
    for each in there:
        for place in (each["metadata"], *each.get("subjects", [])):
            if "namespace" in place:
                place["namespace"] = namespace
    return there


def group_of(each: Mapping[str, Any]) -> str:
    group: str = each["apiVersion"].rpartition("/")[0]
    return group


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_server_accepts_an_overlay_without_a_warning(overlay: str, namespace: str) -> None:
    served = {line.rpartition("/")[0] for line in kubectl("api-versions").stdout.split()}
    objects = moved(build(overlay), namespace)
    absent = {group_of(each) for each in objects} - served
    assert absent <= set(OTHERS)
    there = [each for each in objects if group_of(each) not in absent]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": there})
    ended = kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", text=text)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert len(ended.stdout.splitlines()) == len(there)
    if absent:
        pytest.skip(
            f"accepted, but for what {' and '.join(OTHERS[each] for each in sorted(absent))} would have to know"
        )


def test_the_server_refuses_a_pod_that_breaks_restricted(namespace: str) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": namespace}}
    text = json.dumps({**pod, "spec": {"containers": [{"name": "x", "image": "x:1"}]}})
    assert "violates PodSecurity" in kubectl("create", "--dry-run=server", "-f", "-", text=text).stderr


def test_the_server_grants_exactly_the_rights_of_the_tables(namespace: str) -> None:
    kinds = ("ServiceAccount", "Role", "RoleBinding")
    given = [each for each in moved(build("base"), namespace) if each["kind"] in kinds]
    applied = kubectl("apply", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": given}))
    assert applied.returncode == 0, applied.stderr
    asked = list(product(ACCOUNTS, RESOURCES, VERBS))
    reviews = [review(namespace, account, *resource, verb) for account, resource, verb in asked]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": reviews})
    answers = list(documents(kubectl("create", "-f", "-", "-o", "json", text=text).stdout))
    granted = {
        (account, (*resource, verb))
        for (account, resource, verb), answer in zip(asked, answers, strict=True)
        if answer["status"]["allowed"]
    }
    assert granted == {
        (account, right) for account, roles in ACCOUNTS.items() for role in roles for right in ROLES[role]
    }


def documents(text: str) -> Iterator[dict[str, Any]]:
    """Yield concatenated JSON documents."""
    decoder, text = json.JSONDecoder(), text.lstrip()
    while text:
        each, end = decoder.raw_decode(text)
        text = text[end:].lstrip()
        yield each


def review(namespace: str, account: str, group: str, resource: str, verb: str) -> dict[str, Any]:
    plural, _, rest = resource.partition("/")
    part = {"name": rest} if plural in ("configmaps", "secrets") else {"subresource": rest}
    attributes = {"namespace": namespace, "group": group, "resource": plural, "verb": verb, **part}
    spec = {"user": f"system:serviceaccount:{namespace}:{account}", "resourceAttributes": attributes}
    return {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
