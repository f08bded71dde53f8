from pathlib import Path
from typing import Any

import pytest

from peerkd.config.cluster import ClusterConfig, amount, check_placement, resolve_cluster, with_task_config

NOTHING = {
    "affinity": None,
    "env": [],
    "node_selector": None,
    "resources": {},
    "tolerations": None,
    "volumes": None,
    "volume_mounts": None,
}


def test_the_defaults_are_a_cluster() -> None:
    assert resolve_cluster() == ClusterConfig()
    assert ClusterConfig.from_json(ClusterConfig().to_json()) == ClusterConfig()


def test_what_a_person_types_is_read() -> None:
    cluster = resolve_cluster("queue=research memory_per_worker=8Gi cpu_per_worker=4 node_selector.pool=gpu")
    assert (cluster.queue, cluster.memory_per_worker, cluster.cpu_per_worker) == ("research", "8Gi", "4")
    assert cluster.node_selector == {"pool": "gpu"}
    keys = resolve_cluster("'node_selector={cloud.google.com/gke-accelerator: h100}'")
    assert keys.node_selector == {"cloud.google.com/gke-accelerator": "h100"}
    assert resolve_cluster("cpu_per_worker=0.5").cpu_per_worker == "0.5"


def test_an_operators_file_comes_first_then_the_task_then_what_is_typed(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text("queue: research\nnum_workers: 4\nmemory_per_worker: 4Gi\ngpus_per_worker: 1\n")
    task = {**NOTHING, "resources": {"limits": {"memory": "8Gi", "nvidia.com/gpu": "2"}}}
    cluster = resolve_cluster("memory_per_worker=16Gi", num_workers="2", file=file, task_config=task)
    assert (cluster.queue, cluster.num_workers) == ("research", 2)
    assert (cluster.memory_per_worker, cluster.gpus_per_worker) == ("16Gi", 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": "colour=red"}, 'colour is not a key of the config, got "red".'),
        ({"text": "num_workers=0"}, "num_workers must be greater than or equal to 1, got 0."),
        ({"num_workers": "two"}, "num_workers must be a whole number, got two."),
        ({"num_workers": "\u0663"}, "num_workers must be a whole number, got \u0663."),
        ({"num_workers": "9" * 5000}, "num_workers must be a whole number, got 999"),
        ({"text": "'env=[{name: A, value: 010}]'"}, "env must have a name and a value that are texts, got "),
        ({"text": "'env=[{value: a}]'"}, "env must have a name and a value that are texts, got "),
        ({"text": "'affinity={a: [.inf]}'"}, "affinity must hold finite numbers only, got "),
        ({"gpus": "-1"}, "gpus must be a whole number, got -1."),
        ({"gpus": "1.5"}, "gpus must be a whole number, got 1.5."),
        ({"text": "memory_per_worker=lots"}, "memory_per_worker must be an amount as Kubernetes writes it, "),
        ({"text": "memory_per_worker=512Mi"}, r"shared_memory must be at most memory_per_worker \(512Mi\), since"),
        ({"text": "queue=Research"}, 'queue must be a name as Kubernetes writes it: .*, got "Research"'),
        ({"text": "service_account=a_b"}, "service_account must be a name as Kubernetes writes it: "),
        ({"text": "priority=high"}, "priority must come with a queue, got high."),
        ({"text": "image_pull_policy=Sometimes"}, "image_pull_policy must be"),
        ({"text": "queue='a"}, "overrides must close every quotation mark"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        resolve_cluster(**arguments)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be a file that can be read"):
        resolve_cluster(file=tmp_path / "missing.yaml")


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [("500m", 0.5), ("2", 2), ("1.5", 1.5), ("1Ki", 1024), ("2Gi", 2 * 1024**3), ("2G", 2e9), ("1k", 1000)],
)
def test_amounts_are_read(quantity: str, expected: float) -> None:
    assert amount(quantity) == expected


class TestTaskConfig:
    @pytest.mark.parametrize("empty", [{}, NOTHING])
    def test_nothing_set_changes_nothing(self, empty: dict[str, Any]) -> None:
        cluster = resolve_cluster("memory_per_worker=4Gi 'env=[{name: A, value: b}]'")
        assert with_task_config(cluster, empty) == cluster

    def test_all_that_an_author_sets_lands_on_the_workers(self) -> None:
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

    def test_another_maker_of_accelerators_is_taken(self) -> None:
        cluster = with_task_config(ClusterConfig(), {"resources": {"limits": {"amd.com/gpu": "8"}}})
        assert (cluster.gpu_resource, cluster.gpus_per_worker) == ("amd.com/gpu", 8)

    def test_little_memory_means_little_shared_memory(self) -> None:
        cluster = with_task_config(ClusterConfig(), {"resources": {"limits": {"memory": "512Mi"}}})
        assert (cluster.memory_per_worker, cluster.shared_memory) == ("512Mi", "512Mi")

    @pytest.mark.parametrize("given", [{"resources": {"limits": {"ephemeral-storage": "1Gi"}}}, {"runtime_class": "x"}])
    def test_what_no_worker_can_be_given_is_refused(self, given: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"must (be cpu, memory or|hold no other fields)"):
            with_task_config(ClusterConfig(), given)


def test_what_a_pipeline_tells_its_launcher_of_the_store_is_not_the_workers_to_be_told_by_the_task() -> None:
    entries = [{"name": "PEERKD_S3_ACCESS_KEY", "valueFrom": {}}, {"name": "NCCL_DEBUG", "value": "INFO"}]
    assert with_task_config(ClusterConfig(), {"env": entries}).env == ({"name": "NCCL_DEBUG", "value": "INFO"},)


def test_an_operators_text_counts_where_no_file_is_named(tmp_path: Path) -> None:
    environment = {"PEERKD_CLUSTER": "num_workers: 5\ngpus_per_worker: 2\n"}
    assert resolve_cluster(gpus="4", environment=environment) == ClusterConfig(num_workers=5, gpus_per_worker=4)
    file = tmp_path / "cluster.yaml"
    file.write_text("num_workers: 3\n")
    assert resolve_cluster(file=file, environment=environment) == ClusterConfig(num_workers=3)
    assert resolve_cluster(environment={"PEERKD_CLUSTER": " \n"}) == ClusterConfig()


@pytest.mark.parametrize(("gpus", "cluster"), [("1", ""), ("two", ""), ("", "queue=q")])
def test_settings_of_jobs_are_accepted_with_a_cluster(gpus: str, cluster: str) -> None:
    for backend in ("kubernetes", "auto"):
        check_placement(backend, gpus=gpus, cluster=cluster)
    with pytest.raises(ValueError, match=r"^(gpus|cluster) must be given with the backend kubernetes, got .* local"):
        check_placement("local", gpus=gpus, cluster=cluster)


def test_settings_of_jobs_are_refused_on_this_machine() -> None:
    check_placement("local", gpus="0", cluster=" ")
    check_placement("local", gpus="", cluster="")


@pytest.mark.parametrize("text", ["num_workers: 0", "[", "- a", "colour: red"])
def test_a_mistake_in_an_operators_settings_names_where_they_are(tmp_path: Path, text: str) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"^PEERKD_CLUSTER_FILE"):
        resolve_cluster(file=file)
    with pytest.raises(ValueError, match=r"^PEERKD_CLUSTER\b"):
        resolve_cluster(environment={"PEERKD_CLUSTER": text})
