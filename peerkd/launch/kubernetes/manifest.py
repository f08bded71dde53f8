"""Manifests of jobs. The manifest of a job contains a pod template, whose pods run the command line of an order.

The pod template also sets the permissions and the resource limits of the pods.

The manifests are built with the typed models of the package ``kubernetes``, so that a misspelt field is an error here
instead of a field that the API drops. They are returned as plain mappings.
"""

import os
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from peerkd.artifacts.s3_environment import check_endpoint
from peerkd.config.cluster import ClusterConfig
from peerkd.excerpt import plain
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.kinds.kind import JobKind, JobSpec, Prerequisite
from peerkd.launch.kubernetes.lean_imports import lean_imports
from peerkd.launch.order import StageOrder
from peerkd.launch.shared_folder import check_workers_folder
from peerkd.version import __version__

with lean_imports("kubernetes", "kubernetes.client", "kubernetes.client.models"):
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
"""The environment variables about the store that a launcher passes on to its workers.

An entry of ``env`` in the cluster's settings replaces the variable of the same name. Variables that contain keys of the
store are not passed on, because many people can read a manifest. Variables that name a file are not passed on either,
because the workers do not have the file.
"""

_ENDPOINTS: Final = frozenset({"PEERKD_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"})
_POD_ANNOTATIONS: Final = {
    # Autoscalers that drain or consolidate nodes do not evict these pods.
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}


class _Request(NamedTuple):
    """The arguments of ``manifest_for``, which determine the manifest of a job."""

    order: StageOrder
    cluster: ClusterConfig
    kind: JobKind
    run_id: str
    environment: Mapping[str, str]

    @property
    def run(self) -> str:
        """The value of the label that names the run."""
        return names.label_value(names.run_of(self.order, self.run_id))

    @property
    def job_name(self) -> str:
        """The name of the job."""
        return names.job_name(self.order, run_id=self.run_id, max_length=self.kind.max_name_length)


class JobManifest(NamedTuple):
    """A job to create, and the objects that must exist before it."""

    job: dict[str, Any]
    prerequisites: tuple[Prerequisite, ...] = ()


def manifest_for(
    order: StageOrder,
    cluster: ClusterConfig,
    *,
    kind: JobKind,
    run_id: str = "",
    environment: Mapping[str, str] = os.environ,
) -> JobManifest:
    """Return the manifest of an order's job.

    Equal arguments give equal manifests. The label ``LABEL_SPEC`` contains a hash of the manifest, by which a launcher
    recognises an existing job that does the same work.

    Raises:
        ValueError: If the number of processes of one training is not a multiple of the number of workers, the workers
            do not share the folder of the store, or a setting is invalid.
    """
    spec = _spec(_Request(order, cluster, kind, run_id, environment))
    serialize = ApiClient().sanitize_for_serialization
    job: dict[str, Any] = serialize(kind.manifest(spec))
    prerequisites = tuple(
        Prerequisite(resource, serialize(manifest)) for resource, manifest in kind.prerequisites(spec)
    )
    job["metadata"]["labels"][names.LABEL_SPEC] = names.spec_hash(job, *(each.manifest for each in prerequisites))
    return JobManifest(job, prerequisites)


def pod_template_for(
    order: StageOrder, cluster: ClusterConfig, *, kind: JobKind, environment: Mapping[str, str] = os.environ
) -> dict[str, Any]:
    """Return the template of an order's pods.

    Raises:
        ValueError: If a setting is invalid.
    """
    spec = _spec(_Request(order, cluster, kind, "", environment))
    template: dict[str, Any] = ApiClient().sanitize_for_serialization(spec.pod_template)
    return template


def _spec(request: _Request) -> JobSpec:
    order, cluster = request.order, request.cluster
    check_workers_folder(order.store, cluster)
    if order.num_processes > 1 and order.num_processes % cluster.num_workers:
        raise ValueError(
            f"num_workers must divide the {order.num_processes} processes of {order.stage}, got {cluster.num_workers}."
        )
    labels = {
        **names.OUR_LABELS,
        names.LABEL_RUN: request.run,
        names.LABEL_STAGE: names.label_value(order.stage),
    }
    queueing = {names.LABEL_QUEUE: cluster.queue, names.LABEL_PRIORITY: cluster.priority}
    return JobSpec(
        metadata=V1ObjectMeta(
            name=request.job_name,
            labels=labels | {label: value for label, value in queueing.items() if value},
            annotations={
                names.ANNOTATION_KEY: order.key,
                names.ANNOTATION_LEASE_SECONDS: f"{cluster.lease_seconds:g}",
            },
        ),
        pod_template=V1PodTemplateSpec(
            metadata=V1ObjectMeta(labels=labels, annotations=_POD_ANNOTATIONS | _topology(cluster)),
            spec=_pod(request),
        ),
        num_workers=cluster.num_workers,
        num_processes_per_worker=order.num_processes // cluster.num_workers if order.num_processes > 1 else None,
        is_suspended=bool(cluster.queue),
        ttl_seconds_after_finished=cluster.ttl_seconds_after_finished,
    )


def _topology(cluster: ClusterConfig) -> dict[str, str]:
    """Return the annotation of the pods by which Kueue places the workers of a job close to each other."""
    if cluster.topology is None:
        return {}
    required, preferred = names.ANNOTATION_TOPOLOGY_REQUIRED, names.ANNOTATION_TOPOLOGY_PREFERRED
    return {required if cluster.topology.required else preferred: cluster.topology.level}


def trainer_image(cluster: ClusterConfig, environment: Mapping[str, str]) -> str:
    """Return the image of the workers that a launcher with these environment variables creates.

    Raises:
        ValueError: If the name of the image is not a valid image reference.
    """
    published = f"ghcr.io/peerkd/peerkd-trainer:{__version__}"
    image = cluster.image or environment.get(IMAGE_VARIABLE) or published
    # The API server accepts any text, and with an invalid reference the pod never starts.
    if not _IMAGE.fullmatch(image):
        source = "image" if cluster.image else IMAGE_VARIABLE
        raise ValueError(f"{source} must be the reference of an image, as in {published}, got {plain(image)}.")
    return image


def _pod(request: _Request) -> Any:
    cluster = request.cluster
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
        containers=[_container(request)],
        volumes=[
            V1Volume(name="tmp", empty_dir=V1EmptyDirVolumeSource()),
            V1Volume(
                name="shared-memory",
                empty_dir=V1EmptyDirVolumeSource(medium="Memory", size_limit=cluster.shared_memory),
            ),
            *cluster.volumes,
        ],
    )


def _container(request: _Request) -> Any:
    cluster = request.cluster
    resources = {"cpu": cluster.cpu_per_worker, "memory": cluster.memory_per_worker}
    if cluster.gpus_per_worker:
        resources[cluster.gpu_resource] = str(cluster.gpus_per_worker)
    resources |= cluster.extra_resources
    return V1Container(
        name=request.kind.container,
        image=trainer_image(cluster, request.environment),
        image_pull_policy=cluster.image_pull_policy,
        command=request.order.command(),
        env=[*_env(request), *cluster.env],
        ports=[V1ContainerPort(name="metrics", container_port=METRICS_PORT)],
        resources=V1ResourceRequirements(requests=resources, limits=resources),
        security_context=V1SecurityContext(
            allow_privilege_escalation=False,
            capabilities=V1Capabilities(drop=["ALL"]),
            read_only_root_filesystem=True,
        ),
        # A worker writes its error to the termination log. If it cannot, Kubernetes uses the last lines of its log
        # instead.
        termination_message_policy="FallbackToLogsOnError",
        volume_mounts=[
            V1VolumeMount(name="tmp", mount_path="/tmp"),
            V1VolumeMount(name="shared-memory", mount_path="/dev/shm"),
            *cluster.volume_mounts,
        ],
    )


def _env(request: _Request) -> list[Any]:
    """Return the environment variables of a worker, except those that ``env`` in the cluster's settings replaces."""
    order, cluster, kind, _, environment = request
    values = {
        "HOME": "/tmp",
        "TMPDIR": "/tmp",
        "PEERKD_NUM_WORKERS": str(cluster.num_workers),
        "PEERKD_RUN_ID": request.run,
        "PEERKD_STAGE": order.stage,
        "PEERKD_METRICS_PORT": str(METRICS_PORT),
        "PEERKD_GPUS_PER_WORKER": str(cluster.gpus_per_worker),
    }
    if order.store.startswith("s3://"):
        values |= {variable: environment[variable] for variable in _PASSED_ON if environment.get(variable)}
        given = [*values.items(), *((entry.get("name"), entry.get("value")) for entry in cluster.env)]
        for endpoint in (value for variable, value in given if variable in _ENDPOINTS and value):
            # Many people can read a manifest, so it must not contain a password.
            check_endpoint(endpoint)
    if order.num_processes > 1:
        first = kind.worker_host(request.job_name, 0) if cluster.num_workers > 1 else "localhost"
        values |= {
            "PET_RDZV_BACKEND": "c10d",
            "PET_RDZV_ENDPOINT": f"{first}:{_RENDEZVOUS_PORT}",
            "PET_RDZV_ID": request.job_name,
        }
    sources = {
        "PEERKD_WORKER_INDEX": V1EnvVarSource(
            field_ref=V1ObjectFieldSelector(field_path=f"metadata.labels['{kind.index_label}']")
        ),
        # A process in a container sees all cores of the node.
        "PEERKD_NUM_CORES": V1EnvVarSource(resource_field_ref=V1ResourceFieldSelector(resource="limits.cpu")),
    }
    if order.store.startswith("s3://") and cluster.store_secret:
        for variable, key in (("PEERKD_S3_ACCESS_KEY", "access-key"), ("PEERKD_S3_SECRET_KEY", "secret-key")):
            reference = V1SecretKeySelector(name=cluster.store_secret, key=key)
            sources[variable] = V1EnvVarSource(secret_key_ref=reference)
    replaced = {entry.get("name") for entry in cluster.env}
    entries = [V1EnvVar(name=variable, value=value) for variable, value in values.items()]
    entries += [V1EnvVar(name=variable, value_from=source) for variable, source in sources.items()]
    return [entry for entry in entries if entry.name not in replaced]
