import dataclasses
import json
from typing import Any

import pytest

from peerkd.config.cluster import ClusterConfig
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.kinds import JOB_KINDS, PYTORCHJOB
from peerkd.launch.kubernetes.manifest import manifest_for, pod_template_for
from peerkd.launch.order import StageOrder


def manifest(order: StageOrder, environment: dict[str, str] | None = None, **settings: Any) -> dict[str, Any]:
    cluster = ClusterConfig.from_mapping(settings)
    return manifest_for(order, cluster, kind=PYTORCHJOB, run_id="run-1", environment=environment or {}).job


def worker(made: dict[str, Any]) -> dict[str, Any]:
    (replica,) = made["spec"]["pytorchReplicaSpecs"].items()
    assert replica[0] == "Worker"
    return replica[1]


def pod(made: dict[str, Any]) -> dict[str, Any]:
    return worker(made)["template"]["spec"]


def container(made: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod(made)["containers"]
    return only


def env(made: dict[str, Any]) -> dict[str, Any]:
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container(made)["env"]}


def test_a_job_has_workers_only_and_ends_as_the_operator_can_end_it(order: StageOrder) -> None:
    made = manifest(order, num_workers=3)
    assert (made["apiVersion"], made["kind"]) == ("kubeflow.org/v1", "PyTorchJob")
    assert (worker(made)["replicas"], worker(made)["restartPolicy"]) == (3, "ExitCode")
    assert made["spec"]["runPolicy"] == {"cleanPodPolicy": "Running", "ttlSecondsAfterFinished": 3600}
    assert "elasticPolicy" not in made["spec"]
    assert "status" not in made


def test_a_pod_is_admitted_where_restricted_is_enforced(order: StageOrder) -> None:
    made = manifest(order)
    assert pod(made)["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container(made)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert "initContainers" not in pod(made)


def test_a_pod_has_no_token_and_is_not_moved_by_autoscalers(order: StageOrder) -> None:
    made = manifest(order)
    assert (pod(made)["serviceAccountName"], pod(made)["automountServiceAccountToken"]) == ("peerkd-worker", False)
    assert worker(made)["template"]["metadata"]["annotations"] == {
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
        "karpenter.sh/do-not-disrupt": "true",
    }


def test_a_container_runs_the_orders_command_line(order: StageOrder) -> None:
    only = container(manifest(order))
    assert (only["name"], only["command"]) == ("pytorch", order.command())
    assert only["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert only["ports"] == [{"name": "metrics", "containerPort": 9090}]


def test_gpus_are_requested_and_limited_alike(order: StageOrder) -> None:
    resources = container(manifest(order, gpus_per_worker=8, gpu_resource="amd.com/gpu"))["resources"]
    assert resources["requests"] == resources["limits"] == {"cpu": "1", "memory": "2Gi", "amd.com/gpu": "8"}
    assert "nvidia.com/gpu" not in container(manifest(order))["resources"]["limits"]


def test_shared_memory_and_a_writable_folder_exist(order: StageOrder) -> None:
    made = manifest(order, shared_memory="512Mi")
    volumes = {volume["name"]: volume["emptyDir"] for volume in pod(made)["volumes"]}
    assert volumes == {"tmp": {}, "shared-memory": {"medium": "Memory", "sizeLimit": "512Mi"}}
    paths = {mount["name"]: mount["mountPath"] for mount in container(made)["volumeMounts"]}
    assert paths == {"tmp": "/tmp", "shared-memory": "/dev/shm"}


def test_a_worker_gets_its_number_and_its_run(order: StageOrder) -> None:
    told = env(manifest(order, num_workers=2, gpus_per_worker=1))
    assert told["PEERKD_WORKER_INDEX"] == {
        "fieldRef": {"fieldPath": "metadata.labels['training.kubeflow.org/replica-index']"}
    }
    assert told["PEERKD_NUM_CORES"] == {"resourceFieldRef": {"resource": "limits.cpu"}}
    assert (told["PEERKD_NUM_WORKERS"], told["PEERKD_RUN_ID"], told["PEERKD_STAGE"]) == ("2", "run-1", "distill_pairs")
    assert (told["PEERKD_METRICS_PORT"], told["PEERKD_GPUS_PER_WORKER"]) == ("9090", "1")
    assert (told["HOME"], told["TMPDIR"]) == ("/tmp", "/tmp")


def test_keys_of_the_store_are_references_and_never_values(order: StageOrder) -> None:
    environment = {
        "PEERKD_S3_ENDPOINT": "http://minio:9000",
        "PEERKD_S3_ACCESS_KEY": "me",
        "PEERKD_S3_SECRET_KEY": "hush",
        "AWS_SECRET_ACCESS_KEY": "hush",
    }
    made = manifest(order, environment)
    assert "hush" not in str(made)
    assert env(made)["PEERKD_S3_ENDPOINT"] == "http://minio:9000"
    assert env(made)["PEERKD_S3_SECRET_KEY"] == {"secretKeyRef": {"name": "peerkd-store", "key": "secret-key"}}
    assert "PEERKD_S3_SECRET_KEY" not in env(manifest(order, environment, store_secret=""))
    folder = dataclasses.replace(order, store="/mnt/runs")
    claim = {"name": "runs", "persistentVolumeClaim": {"claimName": "runs"}}
    mounted = {"volumes": [claim], "volume_mounts": [{"name": "runs", "mountPath": "/mnt"}]}
    assert not [name for name in env(manifest(folder, environment, **mounted)) if name.startswith("PEERKD_S3")]


@pytest.mark.parametrize("variable", ["PEERKD_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])
def test_a_password_in_an_address_is_refused(order: StageOrder, variable: str) -> None:
    with pytest.raises(ValueError, match=r"^PEERKD_S3_ENDPOINT must be like .+, got http://\*\*\*@minio:9000; a user"):
        manifest(order, {variable: "http://user:hush@minio:9000"})
    with pytest.raises(ValueError, match=r"^PEERKD_S3_ENDPOINT must be like "):
        manifest(order, {}, env=[{"name": variable, "value": "http://user:hush@minio:9000"}])


def test_variables_of_the_cluster_settings_replace_the_defaults(order: StageOrder) -> None:
    made = manifest(
        order,
        {"PEERKD_S3_ENDPOINT": "http://localhost:9000"},
        env=[{"name": "PEERKD_S3_ENDPOINT", "value": "http://minio:9000"}, {"name": "NCCL_DEBUG", "value": "INFO"}],
    )
    entries = [entry["name"] for entry in container(made)["env"]]
    assert len(entries) == len(set(entries))
    assert (env(made)["PEERKD_S3_ENDPOINT"], env(made)["NCCL_DEBUG"]) == ("http://minio:9000", "INFO")


def test_workers_of_one_training_find_each_other(order: StageOrder) -> None:
    made = manifest(dataclasses.replace(order, num_processes=4), num_workers=2)
    name = made["metadata"]["name"]
    assert made["spec"]["nprocPerNode"] == "2"
    assert env(made)["PET_RDZV_ENDPOINT"] == f"{name}-worker-0:29400"
    assert (env(made)["PET_RDZV_BACKEND"], env(made)["PET_RDZV_ID"]) == ("c10d", name)
    # Under an elastic policy, the success of the first worker would end the one that publishes.
    assert "elasticPolicy" not in made["spec"]


def test_processes_of_one_worker_need_no_name_service(order: StageOrder) -> None:
    made = manifest(dataclasses.replace(order, num_processes=2))
    assert env(made)["PET_RDZV_ENDPOINT"] == "localhost:29400"


def test_workers_with_separate_work_do_not_meet(order: StageOrder) -> None:
    made = manifest(order, num_workers=2)
    assert not [name for name in env(made) if name.startswith("PET_")]
    assert "nprocPerNode" not in made["spec"]


def test_processes_that_cannot_be_divided_evenly_are_refused(order: StageOrder) -> None:
    with pytest.raises(ValueError, match="num_workers must divide the 3 processes of distill_pairs, got 2"):
        manifest(dataclasses.replace(order, num_processes=3), num_workers=2)


def test_a_queue_holds_the_job_back_until_there_is_room(order: StageOrder) -> None:
    made = manifest(order, queue="research", priority="high")
    assert made["spec"]["runPolicy"]["suspend"] is True
    labels = made["metadata"]["labels"]
    assert (labels["kueue.x-k8s.io/queue-name"], labels["kueue.x-k8s.io/priority-class"]) == ("research", "high")
    assert "suspend" not in manifest(order)["spec"]["runPolicy"]


def test_where_a_worker_may_run_is_passed_on(order: StageOrder) -> None:
    settings = {
        "node_selector": {"pool": "gpu"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": {"x": 1}},
        "priority_class": "training",
        "image_pull_secrets": ["registry"],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        "volume_mounts": [{"name": "data", "mountPath": "/data"}],
    }
    spec = pod(manifest(order, **settings))
    assert (spec["nodeSelector"], spec["tolerations"]) == (settings["node_selector"], settings["tolerations"])
    assert (spec["affinity"], spec["priorityClassName"]) == (settings["affinity"], "training")
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["volumes"][-1] == settings["volumes"][0]
    assert spec["containers"][0]["volumeMounts"][-1] == settings["volume_mounts"][0]


def test_the_image_is_the_clusters_else_the_environments_else_the_published_one(order: StageOrder) -> None:
    environment = {"PEERKD_TRAINER_IMAGE": "registry/trainer:1"}
    assert container(manifest(order, environment, image="mine:2"))["image"] == "mine:2"
    assert container(manifest(order, environment))["image"] == "registry/trainer:1"
    assert container(manifest(order))["image"].startswith("ghcr.io/peerkd/peerkd-trainer:")


@pytest.mark.parametrize("image", ["a b", "\x1b", "-x", "https://registry/image?x", "{{image}}"])
def test_an_invalid_image_name_is_refused(order: StageOrder, image: str) -> None:
    with pytest.raises(ValueError, match=r"^image must be the reference of an image, "):
        manifest_for(order, ClusterConfig(image=image), kind=PYTORCHJOB)
    with pytest.raises(ValueError, match=r"^PEERKD_TRAINER_IMAGE must be the reference of an image, "):
        manifest_for(order, ClusterConfig(), kind=PYTORCHJOB, environment={"PEERKD_TRAINER_IMAGE": image})


def test_the_hash_is_that_of_the_order_and_of_the_cluster(order: StageOrder) -> None:
    def spec(made: dict[str, Any]) -> str:
        return made["metadata"]["labels"][names.LABEL_SPEC]

    assert manifest(order) == manifest(order)
    assert spec(manifest(order)) != spec(manifest(order, memory_per_worker="4Gi"))
    assert spec(manifest(order)) != spec(manifest(dataclasses.replace(order, config_json='{"seed": 1}')))


@pytest.mark.parametrize(
    ("required", "word", "other"), [(True, "required", "preferred"), (False, "preferred", "required")]
)
def test_a_topology_is_an_annotation_of_the_pods_of_both_kinds(
    order: StageOrder, required: bool, word: str, other: str
) -> None:
    plain = ClusterConfig(queue="research")
    topology = {"level": "peerkd.io/rack", "required": required}
    near = ClusterConfig.from_mapping({"queue": "research", "topology": topology})
    for kind in JOB_KINDS:
        without, made = (pod_template_for(order, each, kind=kind, environment={}) for each in (plain, near))
        annotations = made["metadata"]["annotations"]
        assert annotations[f"kueue.x-k8s.io/podset-{word}-topology"] == "peerkd.io/rack"
        # Kueue refuses a template with both.
        assert f"kueue.x-k8s.io/podset-{other}-topology" not in annotations
        assert not any("topology" in name for name in without["metadata"]["annotations"])
        text = json.dumps(list(manifest_for(order, near, kind=kind, run_id="run-1", environment={})))
        assert text.count("podset-") == 1
