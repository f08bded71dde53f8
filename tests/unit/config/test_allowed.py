"""A run chooses the resources of its jobs, but not their rights."""

from pathlib import Path
from typing import Any

import pytest

from peerkd.config.cluster import ClusterConfig, resolve_cluster
from peerkd.config.launch import LaunchConfig

OPERATORS = """
service_account: trainers
store_secret: store
image: registry.example/peerkd/trainer:1
volumes: [{name: node, hostPath: {path: /scratch}}]
env: [{name: TOKEN, valueFrom: {secretKeyRef: {name: token, key: token}}}]
allowed:
  namespaces: [vision]
  service_accounts: [other-trainers]
  secrets: [extra]
  config_maps: [names]
  claims: [images-2026]
  images: [registry.example/team]
  priority_classes: [batch]
  priorities: [normal]
queue: research
"""


def volume(**source: Any) -> dict[str, Any]:
    return {"volumes": [{"name": "x", **source}], "volume_mounts": [{"name": "x", "mountPath": "/x"}]}


def variable(**source: Any) -> dict[str, Any]:
    return {"env": [{"name": "X", "valueFrom": source}]}


REFUSED = [
    ("service_account=admin", "service_account must be peerkd-worker or one of allowed.service_accounts in the "),
    ("store_secret=root", "store_secret must be peerkd-store or one of allowed.secrets in the operator's settings"),
    ("image=evil.example/x:1", "image must be one of allowed.images in the operator's settings (none), got evil"),
    ("image_pull_secrets=[mine]", "image_pull_secrets must be one of allowed.secrets in the operator's settings"),
    ("priority_class=system-node-critical", "priority_class must be one of allowed.priority_classes in the "),
    ("queue=q priority=urgent", "priority must be one of allowed.priorities in the operator's settings (peerkd-low, "),
    ("'volumes=[{name: x, hostPath: {path: /}}]'", "volumes of a run must be of the kinds emptyDir, persistentVolume"),
    ("'volumes=[{name: x, emptyDir: {}, hostPath: {path: /}}]'", "volumes of a run must be of the kinds emptyDir"),
    ("'volumes=[{name: x, projected: {sources: []}}]'", "volumes of a run must be of the kinds emptyDir, "),
    ("'volumes=[{name: x, csi: {driver: d}}]'", "volumes of a run must be of the kinds emptyDir, "),
    ("'volumes=[{name: x, nfs: {server: s}}]'", "volumes of a run must be of the kinds emptyDir, "),
    ("'volumes=[{name: x, secret: {secretName: root}}]'", "volumes.secret.secretName must be one of allowed.secrets"),
    ("'volumes=[{name: x, secret: root}]'", "volumes.secret.secretName must be one of allowed.secrets"),
    ("'volumes=[{name: x, persistentVolumeClaim: {claimName: minio}}]'", "volumes.persistentVolumeClaim.claimName "),
    ("'volumes=[{name: x, configMap: {name: other}}]'", "volumes.configMap.name must be one of allowed.config_maps"),
    ("'env=[{name: X, valueFrom: {secretKeyRef: {name: root, key: k}}}]'", "env.valueFrom.secretKeyRef.name must be "),
    ("'env=[{name: X, valueFrom: {configMapKeyRef: {name: c, key: k}}}]'", "env.valueFrom.configMapKeyRef.name must "),
    ("'env=[{name: X, valueFrom: {fileKeyRef: {path: p}}}]'", "env.valueFrom must be one of fieldRef, "),
    ("'env=[{name: X, valueFrom: root}]'", "env.valueFrom must be one of fieldRef, "),
    ("allowed.service_accounts=[admin]", "allowed can only be set in the operator's settings, not by a run."),
    ("'allowed={secrets: [root]}' store_secret=root", "allowed can only be set in the operator's settings, not by"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_a_right_that_is_not_allowed_is_refused_with_the_name_of_the_setting(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+\.$") as refused:
        resolve_cluster(LaunchConfig(cluster=text))
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    "task_config",
    [
        volume(persistentVolumeClaim={"claimName": "minio"}),
        volume(hostPath={"path": "/"}),
        volume(secret={"secretName": "root"}),
        variable(secretKeyRef={"name": "root", "key": "k"}),
    ],
)
def test_the_settings_of_a_task_are_checked_by_the_same_rules(task_config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="operator's settings"):
        resolve_cluster(task_config=task_config)


@pytest.mark.parametrize(
    "text",
    [
        "namespace=anywhere memory_per_worker=8Gi queue=q priority=peerkd-high image_pull_policy=Never",
        "'env=[{name: NCCL_DEBUG, value: INFO}, {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]'",
        "'volumes=[{name: x, emptyDir: {}}]' 'tolerations=[{operator: Exists}]' node_selector.pool=gpu",
        "service_account=peerkd-worker store_secret=peerkd-store",
    ],
)
def test_a_run_may_choose_its_resources_and_its_placement(text: str) -> None:
    resolve_cluster(LaunchConfig(cluster=text))


class TestAnOperator:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        path = tmp_path / "cluster.yaml"
        path.write_text(OPERATORS, encoding="utf-8")
        return path

    def test_may_set_anything(self, file: Path) -> None:
        cluster = resolve_cluster(environment={"PEERKD_CLUSTER_FILE": str(file)})
        assert cluster.service_account == "trainers"
        assert cluster.volumes == ({"name": "node", "hostPath": {"path": "/scratch"}},)

    @pytest.mark.parametrize(
        "text",
        [
            "service_account=other-trainers",
            "store_secret=extra image_pull_secrets=[extra]",
            "image=registry.example/team/trainer:2",
            "image=registry.example/team:2",
            "image=registry.example/peerkd/trainer:1",
            "namespace=vision priority_class=batch priority=normal",
        ],
    )
    def test_names_what_runs_may_choose(self, file: Path, text: str) -> None:
        resolve_cluster(LaunchConfig(cluster=text), environment={"PEERKD_CLUSTER_FILE": str(file)})

    @pytest.mark.parametrize(
        "text",
        [
            "image=registry.example/teams/trainer:2",
            "image=registry.example/peerkd/trainer:2",
            "namespace=kube-system",
            "priority=peerkd-high",
            "service_account=peerkd-worker",
            "'env=[{name: TOKEN, valueFrom: {secretKeyRef: {name: token, key: other}}}]'",
            "'volumes=[{name: node, hostPath: {path: /}}]'",
        ],
    )
    def test_refuses_a_name_that_only_resembles_an_allowed_one(self, file: Path, text: str) -> None:
        with pytest.raises(ValueError, match="operator's settings"):
            resolve_cluster(LaunchConfig(cluster=text), environment={"PEERKD_CLUSTER_FILE": str(file)})

    def test_allows_the_volumes_and_variables_of_a_task_by_name(self, file: Path) -> None:
        cluster = resolve_cluster(
            environment={"PEERKD_CLUSTER_FILE": str(file)},
            task_config={
                "volumes": [
                    {"name": "data", "persistentVolumeClaim": {"claimName": "images-2026"}},
                    {"name": "names", "configMap": {"name": "names"}},
                    {"name": "extra", "secret": {"secretName": "extra"}},
                ],
                "volume_mounts": [{"name": "data", "mountPath": "/data"}],
                "env": [{"name": "EXTRA", "valueFrom": {"secretKeyRef": {"name": "extra", "key": "k"}}}],
            },
        )
        assert [each["name"] for each in cluster.volumes] == ["node", "data", "names", "extra"]
        assert [each["name"] for each in cluster.env] == ["TOKEN", "EXTRA"]


def test_an_operators_settings_survive_being_written_and_read() -> None:
    cluster = ClusterConfig.from_mapping({"allowed": {"claims": ["images-2026"]}})
    assert ClusterConfig.from_json(cluster.to_json()) == cluster
    assert ClusterConfig().allowed.namespaces is None
