import json
from pathlib import Path

import pytest
import yaml

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from peerkd.launch.kubernetes.client import NAMESPACES, NODES, PODS, Cluster, connect
from peerkd.launch.kubernetes.kinds import PYTORCHJOB
from tests.fake_kubernetes.operator import NAMESPACE
from tests.fake_kubernetes.server import FakeKubernetes
from tests.unit.launch.kubernetes.conftest import eventually

PYTORCHJOBS = PYTORCHJOB.resource

JOB = {"metadata": {"name": "job", "labels": {"a": "b"}}}


def test_objects_are_created_read_changed_and_deleted(connection: Cluster) -> None:
    made = connection.create(PYTORCHJOBS, JOB)
    assert connection.get(PYTORCHJOBS, "job") == made
    patched = connection.patch(PYTORCHJOBS, "job", {"metadata": {"annotations": {"x": "1"}}})
    assert patched is not None
    assert patched["metadata"]["annotations"] == {"x": "1"}
    assert [each["metadata"]["name"] for each in connection.list(PYTORCHJOBS, labels={"a": "b"})["items"]] == ["job"]
    assert connection.list(PYTORCHJOBS, labels={"a": "c"})["items"] == []
    assert connection.list(PYTORCHJOBS, fields={"metadata.name": "job"})["items"] != []
    assert connection.delete(PYTORCHJOBS, "job") is True


def test_a_missing_object_is_none_and_not_an_error(connection: Cluster) -> None:
    assert connection.get(PYTORCHJOBS, "job") is None
    assert connection.patch(PYTORCHJOBS, "job", {}) is None
    assert connection.delete(PYTORCHJOBS, "job") is False


def test_another_object_of_the_name_is_not_deleted(connection: Cluster) -> None:
    made = connection.create(PYTORCHJOBS, JOB)
    assert connection.delete(PYTORCHJOBS, "job", uid="another") is False
    assert connection.get(PYTORCHJOBS, "job") == made
    assert connection.delete(PYTORCHJOBS, "job", uid=made["metadata"]["uid"], propagation_policy="Foreground") is True


def test_namespaces_are_in_paths_where_there_are_any(connection: Cluster, kubernetes: FakeKubernetes) -> None:
    connection.list(PODS)
    connection.list(PODS, all_namespaces=True)
    connection.list(NODES)
    connection.list(PYTORCHJOBS, limit=5)
    assert [request.path for request in kubernetes.requests] == [
        f"/api/v1/namespaces/{NAMESPACE}/pods",
        "/api/v1/pods",
        "/api/v1/nodes",
        f"/apis/kubeflow.org/v1/namespaces/{NAMESPACE}/pytorchjobs",
    ]
    assert kubernetes.requests[-1].query == {"limit": "5"}


def test_a_refusal_has_its_status_and_the_message_of_the_server(connection: Cluster) -> None:
    connection.create(PYTORCHJOBS, JOB)
    with pytest.raises(
        ClusterRefusedError, match=r'^The cluster refused to POST .*: pytorchjobs "job" already'
    ) as raised:
        connection.create(PYTORCHJOBS, JOB)
    assert (raised.value.status, raised.value.reason) == (409, "AlreadyExists")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_transient_failure_is_unavailable(connection: Cluster, kubernetes: FakeKubernetes, status: int) -> None:
    kubernetes.fail(status)
    with pytest.raises(ClusterUnavailableError, match=f"injected \\(status {status}\\)"):
        connection.get(PODS, "x")
    assert connection.get(PODS, "x") is None


def test_the_client_repeats_no_request_by_itself(connection: Cluster, kubernetes: FakeKubernetes) -> None:
    kubernetes.fail(None, times=5)
    with pytest.raises(ClusterUnavailableError):
        connection.get(PODS, "x")
    assert len(kubernetes.requests) == 1


def test_an_address_where_nobody_listens_is_unavailable_in_one_sentence(
    connection: Cluster, kubernetes: FakeKubernetes
) -> None:
    kubernetes.stop()
    with pytest.raises(ClusterUnavailableError, match=r"^The cluster's API at http\S+ cannot be reached: [^\n<>]*\.$"):
        connection.get(PODS, "x")


def test_a_watch_yields_changes_after_the_version_and_ends(connection: Cluster) -> None:
    version = connection.list(PYTORCHJOBS)["metadata"]["resourceVersion"]
    connection.create(PYTORCHJOBS, JOB)
    connection.create(PODS, JOB)
    connection.delete(PYTORCHJOBS, "job")
    seen = connection.watch(PYTORCHJOBS, resource_version=version, timeout_seconds=1)
    assert [(kind, each["metadata"]["name"]) for kind, each in seen] == [("ADDED", "job"), ("DELETED", "job")]


def test_a_watch_from_an_expired_version_fails(connection: Cluster, kubernetes: FakeKubernetes) -> None:
    version = connection.list(PYTORCHJOBS)["metadata"]["resourceVersion"]
    kubernetes.store.forget_the_past()
    with pytest.raises(ClusterRefusedError) as raised:
        list(connection.watch(PYTORCHJOBS, resource_version=version))
    assert raised.value.status == 410


def test_a_watch_that_breaks_is_unavailable(connection: Cluster, kubernetes: FakeKubernetes) -> None:
    version = connection.list(PYTORCHJOBS)["metadata"]["resourceVersion"]
    connection.create(PYTORCHJOBS, JOB)
    watch = connection.watch(PYTORCHJOBS, resource_version=version)
    next(watch)
    kubernetes.cut_streams()
    with pytest.raises(ClusterUnavailableError):
        next(watch)


def test_a_stream_that_falls_silent_is_unavailable(connection: Cluster, kubernetes: FakeKubernetes) -> None:
    connection.create(PODS, JOB)
    kubernetes.log("job", "one")
    lines = connection.logs("job", follow=True, silence_seconds=0.2)
    assert next(lines) == "one"
    with pytest.raises(ClusterUnavailableError, match="timed out"):
        next(lines)


def test_logs_are_lines(connection: Cluster, kubernetes: FakeKubernetes) -> None:
    connection.create(PODS, JOB)
    for text in ("one", "", "zwei ü"):
        kubernetes.log("job", text, at="2026-01-01T00:00:00Z")
    assert list(connection.logs("job")) == ["one", "", "zwei ü"]
    assert list(connection.logs("job", tail_lines=1)) == ["zwei ü"]
    assert next(connection.logs("job", timestamps=True)) == "2026-01-01T00:00:00Z one"


def test_an_answer_that_is_no_json_is_unavailable(connection: Cluster, kubernetes: FakeKubernetes) -> None:
    connection.create(PODS, JOB)
    kubernetes.log("job", "no json")
    with pytest.raises(ClusterUnavailableError, match=r"must answer .* with JSON"):
        connection.request("GET", f"/api/v1/namespaces/{NAMESPACE}/pods/job/log")


class TestConnect:
    @pytest.fixture(autouse=True)
    def _nowhere(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    def write(self, path: Path, monkeypatch: pytest.MonkeyPatch, **context: str) -> None:
        config = {
            "current-context": "one",
            "clusters": [{"name": "c", "cluster": {"server": "http://localhost:1"}}],
            "users": [{"name": "u", "user": {"token": "secret"}}],
            "contexts": [{"name": "one", "context": {"cluster": "c", "user": "u", **context}}],
        }
        path.write_text(yaml.safe_dump(config))
        monkeypatch.setenv("KUBECONFIG", str(path))

    def test_the_namespace_of_the_kubeconfig_is_the_default(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.write(tmp_path / "config", monkeypatch, namespace="team")
        assert connect().namespace == "team"
        assert connect(namespace="other").namespace == "other"
        assert connect().address == "http://localhost:1"

    def test_without_one_it_is_default(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.write(tmp_path / "config", monkeypatch)
        assert connect().namespace == "default"

    @pytest.mark.parametrize("text", [None, "", "a: [", "{}", json.dumps({"current-context": "x", "contexts": []})])
    def test_a_config_that_describes_no_cluster_is_an_error_that_the_user_can_fix(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
    ) -> None:
        if text is not None:
            (tmp_path / "config").write_text(text)
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        with pytest.raises(ValueError, match=r"^KUBECONFIG must name a file that describes a cluster[:,] "):
            connect()

    def test_a_tab_in_a_kubeconfig_is_reported_with_its_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "config").write_text("a:\n\tb: 1")
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        with pytest.raises(ValueError, match=r"cluster: while scanning .* line 2, column 1\.$"):
            connect()

    @pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"- a\n"])
    def test_a_file_that_is_no_kubeconfig_is_reported_without_the_message_of_a_codec(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
    ) -> None:
        (tmp_path / "config").write_bytes(content)
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        with pytest.raises(ValueError, match=r"config, which is no kubeconfig in UTF-8\.$"):
            connect()


def test_credentials_are_read_again_for_each_request(connection: Cluster, kubernetes: FakeKubernetes) -> None:
    asked: list[int] = []

    def refresh(configuration: object) -> None:
        asked.append(1)

    connection._transport.configuration.api_key["authorization"] = "Bearer secret"
    connection._transport.configuration.refresh_api_key_hook = refresh
    connection.get(PODS, "x")
    connection.get(PODS, "x")
    assert len(asked) == 2


def test_a_separate_client_shares_no_connections(connection: Cluster, kubernetes: FakeKubernetes) -> None:
    other = connection.separate()
    assert other._transport.pool is not connection._transport.pool
    assert (other.namespace, other.get(PODS, "x")) == (NAMESPACE, None)
    eventually(lambda: kubernetes.requests)


@pytest.mark.parametrize("page", ["404 page not found", '{"kind": "Status", "code": 404, "message": "no kind"}'])
def test_only_the_apis_own_answer_about_an_absent_object_is_certain(
    connection: Cluster, kubernetes: FakeKubernetes, page: str
) -> None:
    assert connection.get(PYTORCHJOBS, "job", is_certain=True) is None
    kubernetes.fail(404, path="/pytorchjobs/job", page=page, times=2)
    assert connection.get(PYTORCHJOBS, "job") is None
    with pytest.raises(ClusterUnavailableError):
        connection.get(PYTORCHJOBS, "job", is_certain=True)


def test_a_dry_run_reports_the_warnings_of_the_api_and_changes_nothing(
    connection: Cluster, kubernetes: FakeKubernetes
) -> None:
    kubernetes.store.put("namespaces", "", {"metadata": {"name": "theirs"}})
    kubernetes.warnings = ['existing pods in namespace "theirs" violate \\ it', "web-0 (and 3 other pods): no seccomp"]
    change = {"metadata": {"labels": {"level": "restricted"}}}
    assert connection.dry_run_warnings(NAMESPACES, "theirs", change) == tuple(kubernetes.warnings)
    (request,) = kubernetes.asked("PATCH")
    assert request.query == {"dryRun": "All"}
    kubernetes.warnings = []
    assert connection.dry_run_warnings(NAMESPACES, "theirs", change) == ()
    seen = connection.get(NAMESPACES, "theirs")
    assert seen is not None
    assert "labels" not in seen["metadata"]
