import base64
from collections.abc import Mapping
from pathlib import Path

import pytest

from peerkd.config.cluster import ClusterConfig, resolve_cluster
from peerkd.errors import ClusterUnavailableError
from peerkd.launch.doctor import examine as module
from peerkd.launch.doctor.configuration import check_artifacts, check_secret
from peerkd.launch.doctor.examine import check_versions, examine
from tests.unit.launch.doctor.conftest import Answering


def no_settings(environment: Mapping[str, str]) -> ClusterConfig:
    return resolve_cluster(environment=environment)


def test_on_an_empty_cluster_all_checks_run_and_each_failure_says_how_to_fix_it(
    cluster: Answering, tmp_path: Path
) -> None:
    cluster.answers["/version"] = {"gitVersion": "v1.34.0"}
    found = list(examine(cluster, ClusterConfig(queue="research"), store_address=str(tmp_path), resolve=no_settings))
    assert {result.name for result in found} >= {
        *("versions", "cluster", "namespace", "permissions", "job kind", "operator", "workflows", "kueue", "queue"),
        *("service account", "store secret", "shared folder", "job", "worker", "image", "quota", "nodes"),
    }
    assert [result.name for result in found if result.ok is not True and not result.fix] == []
    assert [result.ok for result in found if result.name.startswith("store: ")] != []


@pytest.mark.parametrize(
    ("served", "local", "of_tasks", "kind"),
    [
        (["kubeflow.org/v1 pytorchjobs", "trainer.kubeflow.org/v1alpha1 trainjobs"], "auto", None, "PyTorchJob"),
        (["trainer.kubeflow.org/v1alpha1 trainjobs"], "auto", None, "TrainJob"),
        (["kubeflow.org/v1 pytorchjobs", "trainer.kubeflow.org/v1alpha1 trainjobs"], "trainjob", None, "TrainJob"),
        (["kubeflow.org/v1 pytorchjobs", "trainer.kubeflow.org/v1alpha1 trainjobs"], "auto", "trainjob", "TrainJob"),
    ],
)
def test_the_kind_of_jobs_that_launchers_create_is_checked(
    cluster: Answering, served: list[str], local: str, of_tasks: str | None, kind: str
) -> None:
    cluster.answers["/version"] = {"gitVersion": "v1.34.0"}
    for each in (*served, "jobset.x-k8s.io/v1alpha2 jobsets"):
        version, plural = each.split()
        cluster.answers[f"/apis/{version}"] = {"resources": [{"name": plural}]}
    if of_tasks:
        data = {"cluster.yaml": f"job_kind: {of_tasks}"}
        cluster.answers["/api/v1/namespaces/peerkd/configmaps/peerkd"] = {"data": data}
    settings = ClusterConfig.from_mapping({"job_kind": local})
    found = {each.name: each for each in examine(cluster, settings, store_address="", resolve=no_settings)}
    assert found["job kind"].sentence == f"The cluster has {kind}s."


def test_if_the_cluster_does_not_answer_only_the_store_is_checked(cluster: Answering, tmp_path: Path) -> None:
    cluster.answers["/version"] = ClusterUnavailableError("The cluster's API cannot be reached: refused.")
    found = list(examine(cluster, ClusterConfig(), store_address="", resolve=no_settings))
    assert [(result.name, result.ok) for result in found] == [
        ("versions", True),
        ("cluster", False),
        ("store", None),
    ]
    assert len(cluster.asked) == 1


def test_a_missing_package_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_versions().ok is True
    monkeypatch.setattr(module, "_PACKAGES", ("kubernetes", "kubeflow-training"))
    monkeypatch.setattr(module, "_version", lambda package: "" if package == "kubernetes" else "1")
    result = check_versions()
    assert (result.ok, result.fix) == (False, "Install peerkd with its extra cluster.")


def test_the_secret_must_have_both_keys(cluster: Answering) -> None:
    path = "/api/v1/namespaces/peerkd/secrets/peerkd-store"
    for answer, ok in ((None, False), ({"data": {"access-key": "eA=="}}, False)):
        if answer:
            cluster.answers[path] = answer
        result = check_secret(cluster, "peerkd-store")
        assert result is not None
        assert result.ok is ok
    assert "must have secret-key" in result.sentence
    cluster.answers[path] = {"data": {"access-key": "eA==", "secret-key": "eA=="}}
    result = check_secret(cluster, "peerkd-store")
    assert result is not None
    assert result.ok is True
    assert check_secret(cluster, "") is None


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (b"s3cr3t", ""),
        (b"s3cr3t\n", "must not end in a newline"),
        (b"s3cr3t\r\n", "must not end in a newline"),
        (b" s3cr3t", "must be a key of printable ASCII characters without spaces, got whitespace"),
        (b"s3c r3t\n", "must be a key of printable ASCII characters without spaces, got whitespace"),
        (b"\xff\xfe", "must be a key of printable ASCII characters"),
        (b"", "must be a key, got an empty text"),
    ],
)
def test_a_key_that_servers_would_read_differently_is_reported(cluster: Answering, key: bytes, why: str) -> None:
    data = {"access-key": "eA==", "secret-key": base64.b64encode(key).decode()}
    cluster.answers["/api/v1/namespaces/peerkd/secrets/peerkd-store"] = {"data": data}
    result = check_secret(cluster, "peerkd-store")
    assert result is not None
    assert result.ok is not bool(why)
    assert why in result.sentence
    assert "s3cr3t" not in result.sentence
    assert ("printf %s KEY > FILE" in result.fix) is bool(why)


def test_the_image_of_tasks_and_that_of_this_machine_are_checked(
    cluster: Answering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PEERKD_TRAINER_IMAGE", raising=False)
    status = {"images": [{"names": ["registry.example/trainer:7"]}], "allocatable": {}}
    node = {"metadata": {"name": "node-0"}, "spec": {}, "status": status}
    cluster.answers |= {
        "/version": {"gitVersion": "v1.34.0"},
        "/api/v1/namespaces/peerkd/configmaps/peerkd": {"data": {"cluster.yaml": "image: registry.example/trainer:7"}},
        "/api/v1/nodes": {"items": [node]},
    }
    found = {each.name: each for each in examine(cluster, ClusterConfig(), store_address="", resolve=no_settings)}
    assert found["image"].sentence == "registry.example/trainer:7 is on 1 of 1 nodes."
    assert found["image from here"].ok is None
    assert "ghcr.io/peerkd/peerkd-trainer:" in found["image from here"].sentence


def test_a_store_that_works_and_one_that_does_not(tmp_path: Path) -> None:
    assert {result.ok for result in check_artifacts(str(tmp_path / "runs"))} == {True}
    (tmp_path / "file").touch()
    last = check_artifacts(str(tmp_path / "file"))[-1]
    assert last.ok is False
    assert last.fix
