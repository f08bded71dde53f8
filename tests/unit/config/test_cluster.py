from pathlib import Path
from typing import Any

import pytest

from peerkd.config.cluster import ClusterConfig, amount, resolve_cluster, with_task_config
from peerkd.config.launch import LaunchConfig

NOTHING = {
    "affinity": None,
    "env": [],
    "node_selector": None,
    "resources": {},
    "tolerations": None,
    "volumes": None,
    "volume_mounts": None,
}


def typed(text: str) -> ClusterConfig:
    return resolve_cluster(LaunchConfig(cluster=text))


def named(file: Path) -> dict[str, str]:
    return {"PEERKD_CLUSTER_FILE": str(file)}


def test_the_defaults_are_valid() -> None:
    assert resolve_cluster() == ClusterConfig()
    assert ClusterConfig.from_json(ClusterConfig().to_json()) == ClusterConfig()


def test_settings_on_the_command_line_are_read() -> None:
    cluster = typed("queue=research memory_per_worker=8Gi cpu_per_worker=4 node_selector.pool=gpu")
    assert (cluster.queue, cluster.memory_per_worker, cluster.cpu_per_worker) == ("research", "8Gi", "4")
    assert cluster.node_selector == {"pool": "gpu"}
    keys = typed("'node_selector={cloud.google.com/gke-accelerator: h100}'")
    assert keys.node_selector == {"cloud.google.com/gke-accelerator": "h100"}
    assert typed("cpu_per_worker=0.5").cpu_per_worker == "0.5"


def test_the_operators_file_is_overridden_by_the_task_and_both_by_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text("queue: research\nnum_workers: 4\nmemory_per_worker: 4Gi\ngpus_per_worker: 1\n")
    task = {**NOTHING, "resources": {"limits": {"memory": "8Gi", "nvidia.com/gpu": "2"}}}
    cluster = resolve_cluster(
        LaunchConfig(cluster="memory_per_worker=16Gi", num_workers=2), task_config=task, environment=named(file)
    )
    assert (cluster.queue, cluster.num_workers) == ("research", 2)
    assert (cluster.memory_per_worker, cluster.gpus_per_worker) == ("16Gi", 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour=red", 'colour is not a key of the config, got "red".'),
        ("num_workers=0", "num_workers must be at least 1, got 0."),
        ("'env=[{name: A, value: 010}]'", "env must have a name and a value that are strings, got "),
        ("'env=[{value: a}]'", "env must have a name and a value that are strings, got "),
        ("'affinity={a: [.inf]}'", "affinity must contain finite numbers only, got "),
        ("memory_per_worker=lots", "memory_per_worker must be a Kubernetes quantity, such as "),
        ("memory_per_worker=512Mi", r"shared_memory must be at most memory_per_worker \(512Mi\), because"),
        ("extra_resources.cpu=4", "extra_resources must not contain cpu, which has a setting of its own, got 4."),
        (
            "'extra_resources={rdma/hca: lots}'",
            "extra_resources must have Kubernetes quantities, such as 1, got lots for",
        ),
        ("queue=Research", 'queue must be a Kubernetes name made of .*, got "Research"'),
        ("service_account=a_b", "service_account must be a Kubernetes name made of "),
        ("priority=high", "priority must be null unless queue is set, got high."),
        ("image_pull_policy=Sometimes", "image_pull_policy must be"),
        ("queue='a", "cluster must close every quotation mark"),
    ],
)
def test_an_invalid_setting_is_refused_in_a_sentence(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        typed(text)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be a readable file"):
        resolve_cluster(environment=named(tmp_path / "missing.yaml"))


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [("500m", 0.5), ("2", 2), ("1.5", 1.5), ("1Ki", 1024), ("2Gi", 2 * 1024**3), ("2G", 2e9), ("1k", 1000)],
)
def test_quantities_are_converted_to_numbers(quantity: str, expected: float) -> None:
    assert amount(quantity) == expected


class TestTaskConfig:
    @pytest.mark.parametrize("empty", [{}, NOTHING])
    def test_a_task_without_settings_changes_nothing(self, empty: dict[str, Any]) -> None:
        cluster = typed("memory_per_worker=4Gi 'env=[{name: A, value: b}]'")
        assert with_task_config(cluster, empty) == cluster

    def test_all_settings_of_an_author_apply_to_the_workers(self) -> None:
        toleration = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
        secret = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "tok", "key": "token", "optional": False}}}
        cluster = with_task_config(
            ClusterConfig(env=({"name": "PLAIN", "value": "0"},)),
            {
                "resources": {"limits": {"cpu": "500m", "memory": "4Gi", "nvidia.com/gpu": "2"}},
                "env": [secret],
                "tolerations": [toleration],
                "node_selector": {"pool": "gpu"},
                "affinity": {"nodeAffinity": {}},
                "volumes": [{"name": "pvc1", "persistentVolumeClaim": {"claimName": "pvc1"}}],
                "volume_mounts": [{"name": "pvc1", "mountPath": "/data"}],
            },
        )
        assert (cluster.cpu_per_worker, cluster.memory_per_worker) == ("500m", "4Gi")
        assert (cluster.gpu_resource, cluster.gpus_per_worker) == ("nvidia.com/gpu", 2)
        assert cluster.env == ({"name": "PLAIN", "value": "0"}, secret)
        assert (cluster.tolerations, cluster.node_selector) == ((toleration,), {"pool": "gpu"})
        assert cluster.affinity == {"nodeAffinity": {}}
        assert cluster.volumes[0]["name"] == cluster.volume_mounts[0]["name"] == "pvc1"

    def test_accelerators_of_another_vendor_are_accepted(self) -> None:
        cluster = with_task_config(ClusterConfig(), {"resources": {"limits": {"amd.com/gpu": "8"}}})
        assert (cluster.gpu_resource, cluster.gpus_per_worker) == ("amd.com/gpu", 8)

    def test_a_small_limit_on_memory_lowers_the_shared_memory(self) -> None:
        cluster = with_task_config(ClusterConfig(), {"resources": {"limits": {"memory": "512Mi"}}})
        assert (cluster.memory_per_worker, cluster.shared_memory) == ("512Mi", "512Mi")

    @pytest.mark.parametrize("given", [{"resources": {"limits": {"ephemeral-storage": "1Gi"}}}, {"runtime_class": "x"}])
    def test_a_setting_that_workers_do_not_support_is_refused(self, given: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"must (be cpu, memory or|contain no other fields)"):
            with_task_config(ClusterConfig(), given)


def test_the_stores_variables_of_a_task_are_not_passed_to_the_workers() -> None:
    entries = [{"name": "PEERKD_S3_ACCESS_KEY", "valueFrom": {}}, {"name": "NCCL_DEBUG", "value": "INFO"}]
    assert with_task_config(ClusterConfig(), {"env": entries}).env == ({"name": "NCCL_DEBUG", "value": "INFO"},)


def test_the_operators_text_is_read_if_no_file_is_named(tmp_path: Path) -> None:
    environment = {"PEERKD_CLUSTER": "num_workers: 5\ngpus_per_worker: 2\n"}
    assert resolve_cluster(LaunchConfig(gpus=4), environment=environment) == ClusterConfig(
        num_workers=5, gpus_per_worker=4
    )
    file = tmp_path / "cluster.yaml"
    file.write_text("num_workers: 3\n")
    assert resolve_cluster(environment=environment | named(file)) == ClusterConfig(num_workers=3)
    assert resolve_cluster(environment={"PEERKD_CLUSTER": " \n"}) == ClusterConfig()


@pytest.mark.parametrize(("gpus", "expected"), [(0, 2), (None, 2), (1, 1)])
def test_zero_gpus_keep_the_gpus_that_the_author_set_on_the_task(gpus: int | None, expected: int) -> None:
    task_config = {"resources": {"limits": {"nvidia.com/gpu": "2"}}, "env": []}
    assert resolve_cluster(LaunchConfig(gpus=gpus), task_config=task_config).gpus_per_worker == expected


def test_zero_gpus_are_none_if_the_task_sets_none() -> None:
    environment = {"PEERKD_CLUSTER": "gpus_per_worker: 1\nnum_workers: 4\n"}
    assert resolve_cluster(LaunchConfig(gpus=0), environment=environment).gpus_per_worker == 0
    assert resolve_cluster(environment=environment).gpus_per_worker == 1
    assert resolve_cluster(environment=environment).num_workers == 4


@pytest.mark.parametrize("text", ["num_workers: 0", "[", "- a", "colour: red"])
def test_a_mistake_in_the_operators_settings_is_reported_with_their_source(tmp_path: Path, text: str) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"^PEERKD_CLUSTER_FILE"):
        resolve_cluster(environment=named(file))
    with pytest.raises(ValueError, match=r"^PEERKD_CLUSTER\b"):
        resolve_cluster(environment={"PEERKD_CLUSTER": text})
