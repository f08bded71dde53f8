"""An order as a PyTorchJob: what its pods are, with which rights and which limits.

Built with the typed models of kubeflow-training and of kubernetes, so that a misspelt field is an error here and not a
field that the API drops. Returned as a plain mapping. Nothing else of those packages is used here.
"""

import os
import re
from collections.abc import Mapping
from typing import Any, Final

import peerkd
from peerkd.artifacts.s3_endpoint import check_endpoint
from peerkd.config.cluster import ClusterConfig
from peerkd.excerpt import plain
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.bare import bare
from peerkd.launch.order import StageOrder

with bare(
    "kubernetes",
    "kubernetes.client",
    "kubernetes.client.models",
    "kubeflow",
    "kubeflow.training",
    "kubeflow.training.models",
):
    from kubeflow.training.models.kubeflow_org_v1_py_torch_job import KubeflowOrgV1PyTorchJob
    from kubeflow.training.models.kubeflow_org_v1_py_torch_job_spec import KubeflowOrgV1PyTorchJobSpec
    from kubeflow.training.models.kubeflow_org_v1_replica_spec import KubeflowOrgV1ReplicaSpec
    from kubeflow.training.models.kubeflow_org_v1_run_policy import KubeflowOrgV1RunPolicy
    from kubernetes.client.api_client import ApiClient
    from kubernetes.client.models.v1_capabilities import V1Capabilities
    from kubernetes.client.models.v1_container import V1Container
    from kubernetes.client.models.v1_container_port import V1ContainerPort
    from kubernetes.client.models.v1_empty_dir_volume_source import V1EmptyDirVolumeSource
    from kubernetes.client.models.v1_env_var import V1EnvVar
    from kubernetes.client.models.v1_env_var_source import V1EnvVarSource
    from kubernetes.client.models.v1_local_object_reference import V1LocalObjectReference
    from kubernetes.client.models.v1_object_field_selector import V1ObjectFieldSelector
    from kubernetes.client.models.v1_object_meta import V1ObjectMeta
    from kubernetes.client.models.v1_pod_security_context import V1PodSecurityContext
    from kubernetes.client.models.v1_pod_spec import V1PodSpec
    from kubernetes.client.models.v1_pod_template_spec import V1PodTemplateSpec
    from kubernetes.client.models.v1_resource_field_selector import V1ResourceFieldSelector
    from kubernetes.client.models.v1_resource_requirements import V1ResourceRequirements
    from kubernetes.client.models.v1_seccomp_profile import V1SeccompProfile
    from kubernetes.client.models.v1_secret_key_selector import V1SecretKeySelector
    from kubernetes.client.models.v1_security_context import V1SecurityContext
    from kubernetes.client.models.v1_volume import V1Volume
    from kubernetes.client.models.v1_volume_mount import V1VolumeMount

IMAGE_VARIABLE: Final = "PEERKD_TRAINER_IMAGE"
_IMAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*")
METRICS_PORT: Final = 9090
_RENDEZVOUS_PORT: Final = 29400
_USER: Final = 10001
_GRACE_SECONDS: Final = 30
_PASSED_ON: Final = (
    "PEERKD_S3_ENDPOINT",
    "PEERKD_S3_REGION",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
)
"""What a worker is told of the store as its launcher sees it; an entry of the cluster's ``env`` replaces it. No keys,
since a manifest can be read by many, and no file, since the worker does not have it."""
_ENDPOINTS: Final = frozenset({"PEERKD_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"})
_LEFT_ALONE: Final = {
    # Programs that drain or consolidate nodes are asked to spare these pods.
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}


def manifest_for(
    order: StageOrder,
    cluster: ClusterConfig,
    *,
    run_id: str = "",
    environment: Mapping[str, str] = os.environ,
) -> dict[str, Any]:
    """Return the PyTorchJob of an order; the same for the same order, so that its hash tells whether one is the same.

    Raises:
        ValueError: If the processes of one training cannot be shared out evenly among the workers.
    """
    if order.num_processes > 1 and order.num_processes % cluster.num_workers:
        raise ValueError(
            f"num_workers must divide the {order.num_processes} processes of {order.stage}, got {cluster.num_workers}."
        )
    name = names.job_name(order, run_id=run_id)
    labels = {
        **names.OUR_LABELS,
        names.LABEL_RUN: names.label_value(names.run_of(order, run_id)),
        names.LABEL_STAGE: names.label_value(order.stage),
    }
    queueing = {names.LABEL_QUEUE: cluster.queue, names.LABEL_PRIORITY: cluster.priority}
    job = KubeflowOrgV1PyTorchJob(
        api_version="kubeflow.org/v1",
        kind="PyTorchJob",
        metadata=V1ObjectMeta(
            name=name,
            labels=labels | {label: value for label, value in queueing.items() if value},
            annotations={
                names.ANNOTATION_KEY: order.key,
                names.ANNOTATION_LEASE_SECONDS: f"{cluster.lease_seconds:g}",
            },
        ),
        spec=KubeflowOrgV1PyTorchJobSpec(
            # Without an elastic policy: under one, the first worker that succeeds ends the others.
            nproc_per_node=str(order.num_processes // cluster.num_workers) if order.num_processes > 1 else None,
            run_policy=KubeflowOrgV1RunPolicy(
                clean_pod_policy="Running",
                suspend=True if cluster.queue else None,
                ttl_seconds_after_finished=cluster.ttl_seconds_after_finished,
            ),
            pytorch_replica_specs={
                "Worker": KubeflowOrgV1ReplicaSpec(
                    replicas=cluster.num_workers,
                    # From 128 the operator makes the pod anew, and counts nothing: the launcher does.
                    restart_policy="ExitCode",
                    template=V1PodTemplateSpec(
                        metadata=V1ObjectMeta(labels=labels, annotations=_LEFT_ALONE),
                        spec=_pod(order, cluster, name=name, run_id=run_id, environment=environment),
                    ),
                )
            },
        ),
    )
    manifest: dict[str, Any] = ApiClient().sanitize_for_serialization(job)
    manifest["metadata"]["labels"][names.LABEL_SPEC] = names.spec_hash(manifest)
    return manifest


def trainer_image(cluster: ClusterConfig, environment: Mapping[str, str]) -> str:
    """Return the image of the workers of a launcher with these environment variables.

    Raises:
        ValueError: If it is not the reference of an image.
    """
    published = f"ghcr.io/peerkd/peerkd-trainer:{peerkd.__version__}"
    image = cluster.image or environment.get(IMAGE_VARIABLE) or published
    # The API server accepts any other text, and the pod waits for ever.
    if not _IMAGE.fullmatch(image):
        source = "image" if cluster.image else IMAGE_VARIABLE
        raise ValueError(f"{source} must be the reference of an image, as in {published}, got {plain(image)}.")
    return image


def _pod(order: StageOrder, cluster: ClusterConfig, *, name: str, run_id: str, environment: Mapping[str, str]) -> Any:
    secrets = [V1LocalObjectReference(name=secret) for secret in cluster.image_pull_secrets]
    return V1PodSpec(
        service_account_name=cluster.service_account,
        automount_service_account_token=False,
        enable_service_links=False,
        image_pull_secrets=secrets or None,
        priority_class_name=cluster.priority_class,
        node_selector=cluster.node_selector or None,
        tolerations=list(cluster.tolerations) or None,
        affinity=cluster.affinity,
        termination_grace_period_seconds=_GRACE_SECONDS,
        security_context=V1PodSecurityContext(
            run_as_non_root=True,
            run_as_user=_USER,
            run_as_group=_USER,
            fs_group=_USER,
            seccomp_profile=V1SeccompProfile(type="RuntimeDefault"),
        ),
        containers=[_container(order, cluster, name=name, run_id=run_id, environment=environment)],
        volumes=[
            V1Volume(name="tmp", empty_dir=V1EmptyDirVolumeSource()),
            V1Volume(
                name="shared-memory",
                empty_dir=V1EmptyDirVolumeSource(medium="Memory", size_limit=cluster.shared_memory),
            ),
            *cluster.volumes,
        ],
    )


def _container(
    order: StageOrder, cluster: ClusterConfig, *, name: str, run_id: str, environment: Mapping[str, str]
) -> Any:
    resources = {"cpu": cluster.cpu_per_worker, "memory": cluster.memory_per_worker}
    if cluster.gpus_per_worker:
        resources[cluster.gpu_resource] = str(cluster.gpus_per_worker)
    return V1Container(
        name=names.CONTAINER,
        image=trainer_image(cluster, environment),
        image_pull_policy=cluster.image_pull_policy,
        command=order.command(),
        env=[*_env(order, cluster, name=name, run_id=run_id, environment=environment), *cluster.env],
        ports=[V1ContainerPort(name="metrics", container_port=METRICS_PORT)],
        resources=V1ResourceRequirements(requests=resources, limits=resources),
        security_context=V1SecurityContext(
            allow_privilege_escalation=False,
            capabilities=V1Capabilities(drop=["ALL"]),
            read_only_root_filesystem=True,
        ),
        # What a worker has written to its termination log is its error; else its last lines tell more than nothing.
        termination_message_policy="FallbackToLogsOnError",
        volume_mounts=[
            V1VolumeMount(name="tmp", mount_path="/tmp"),
            V1VolumeMount(name="shared-memory", mount_path="/dev/shm"),
            *cluster.volume_mounts,
        ],
    )


def _env(
    order: StageOrder, cluster: ClusterConfig, *, name: str, run_id: str, environment: Mapping[str, str]
) -> list[Any]:
    """Return what a worker is told, without what the cluster's ``env`` says otherwise."""
    plain = {
        "HOME": "/tmp",
        "TMPDIR": "/tmp",
        "PEERKD_NUM_WORKERS": str(cluster.num_workers),
        "PEERKD_RUN_ID": names.label_value(names.run_of(order, run_id)),
        "PEERKD_STAGE": order.stage,
        "PEERKD_METRICS_PORT": str(METRICS_PORT),
        "PEERKD_GPUS_PER_WORKER": str(cluster.gpus_per_worker),
    }
    if order.store.startswith("s3://"):
        plain |= {variable: environment[variable] for variable in _PASSED_ON if environment.get(variable)}
        told = [*plain.items(), *((entry.get("name"), entry.get("value")) for entry in cluster.env)]
        for endpoint in (value for variable, value in told if variable in _ENDPOINTS and value):
            # Many people can read a manifest, so it must not hold a password.
            check_endpoint(endpoint)
    if order.num_processes > 1:
        first = f"{name}-worker-0" if cluster.num_workers > 1 else "localhost"
        plain |= {
            "PET_RDZV_BACKEND": "c10d",
            "PET_RDZV_ENDPOINT": f"{first}:{_RENDEZVOUS_PORT}",
            "PET_RDZV_ID": name,
        }
    sources = {
        "PEERKD_WORKER_INDEX": V1EnvVarSource(
            field_ref=V1ObjectFieldSelector(field_path=f"metadata.labels['{names.LABEL_INDEX_OF_POD}']")
        ),
        # A container sees all cores of its node.
        "PEERKD_NUM_CORES": V1EnvVarSource(resource_field_ref=V1ResourceFieldSelector(resource="limits.cpu")),
    }
    if order.store.startswith("s3://") and cluster.store_secret:
        for variable, key in (("PEERKD_S3_ACCESS_KEY", "access-key"), ("PEERKD_S3_SECRET_KEY", "secret-key")):
            reference = V1SecretKeySelector(name=cluster.store_secret, key=key)
            sources[variable] = V1EnvVarSource(secret_key_ref=reference)
    said_otherwise = {entry.get("name") for entry in cluster.env}
    entries = [V1EnvVar(name=variable, value=value) for variable, value in plain.items()]
    entries += [V1EnvVar(name=variable, value_from=source) for variable, source in sources.items()]
    return [entry for entry in entries if entry.name not in said_otherwise]
