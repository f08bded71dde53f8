from pathlib import Path

import pytest

from peerkd.config.cluster import ClusterConfig
from peerkd.errors import ClusterUnavailableError
from peerkd.launch.doctor import examine as module
from peerkd.launch.doctor.examine import check_versions, examine
from peerkd.launch.doctor.store import check_artifacts, check_secret
from tests.unit.launch.doctor.conftest import Answering


def test_on_an_empty_cluster_all_checks_are_made_and_each_failure_says_how_to_mend_it(
    cluster: Answering, tmp_path: Path
) -> None:
    cluster.answers["/version"] = {"gitVersion": "v1.34.0"}
    found = list(examine(cluster, ClusterConfig(queue="research"), store_address=str(tmp_path)))
    assert {finding.name for finding in found} >= {
        *("versions", "cluster", "namespace", "permissions", "pytorchjobs", "operator", "workflows", "kueue", "queue"),
        *("service account", "store secret", "job", "worker", "image", "quota", "nodes"),
    }
    assert [finding.name for finding in found if finding.ok is False and not finding.mend] == []
    assert [finding.ok for finding in found if finding.name.startswith("store: ")] != []


def test_where_nobody_answers_only_the_store_is_looked_at(cluster: Answering, tmp_path: Path) -> None:
    cluster.answers["/version"] = ClusterUnavailableError("The cluster's API cannot be reached: refused.")
    found = list(examine(cluster, ClusterConfig(), store_address=""))
    assert [(finding.name, finding.ok) for finding in found] == [
        ("versions", True),
        ("cluster", False),
        ("store", None),
    ]
    assert len(cluster.asked) == 1


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_versions().ok is True
    monkeypatch.setattr(module, "_PACKAGES", ("kubernetes", "kubeflow-training"))
    monkeypatch.setattr(module, "_version", lambda package: "" if package == "kubernetes" else "1")
    finding = check_versions()
    assert (finding.ok, finding.mend) == (False, "Install peerkd with its extra cluster.")


def test_the_secret_must_have_both_keys(cluster: Answering) -> None:
    path = "/api/v1/namespaces/peerkd/secrets/peerkd-store"
    for answer, ok in ((None, False), ({"data": {"access-key": "eA=="}}, False)):
        if answer:
            cluster.answers[path] = answer
        finding = check_secret(cluster, "peerkd-store")
        assert finding is not None
        assert finding.ok is ok
    assert "must have secret-key" in finding.sentence
    cluster.answers[path] = {"data": {"access-key": "eA==", "secret-key": "eA=="}}
    finding = check_secret(cluster, "peerkd-store")
    assert finding is not None
    assert finding.ok is True
    assert check_secret(cluster, "") is None
    # "x\n", as from a file that an editor wrote: programs leave the line end away. "x y" is no key.
    cluster.answers[path] = {"data": {"access-key": "eAo=", "secret-key": "eA=="}}
    finding = check_secret(cluster, "peerkd-store")
    assert finding is not None
    assert finding.ok is True
    cluster.answers[path] = {"data": {"access-key": "eA==", "secret-key": "eCB5"}}
    finding = check_secret(cluster, "peerkd-store")
    assert finding is not None
    assert finding.ok is False
    assert finding.sentence.startswith("secret-key of the secret peerkd-store must be a key of printable ASCII")


def test_a_store_that_works_and_one_that_does_not(tmp_path: Path) -> None:
    assert {finding.ok for finding in check_artifacts(str(tmp_path / "runs"))} == {True}
    (tmp_path / "file").touch()
    last = check_artifacts(str(tmp_path / "file"))[-1]
    assert last.ok is False
    assert last.mend
