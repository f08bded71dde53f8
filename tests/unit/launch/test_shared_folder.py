from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler, dsl, kubernetes
from kfp.dsl import TaskConfigField, TaskConfigPassthrough

from peerkd.config.cluster import ClusterConfig, with_task_config
from peerkd.launch.package import Package, read_package
from peerkd.launch.shared_folder import check_pipeline_folder, check_task_folder, check_workers_folder

PIPELINES = sorted((Path(__file__).parents[3] / "pipelines").glob("*.yaml"))
CLAIM = {"name": "peerkd-store", "persistentVolumeClaim": {"claimName": "peerkd-store"}}
MOUNT = {"name": "peerkd-store", "mountPath": "/mnt/peerkd"}
IN_A_TASK = {"KFP_POD_NAME": "step"}


def cluster(volumes: list[Any], mounts: list[Any]) -> ClusterConfig:
    return ClusterConfig.from_mapping({"volumes": volumes, "volume_mounts": mounts})


@pytest.mark.parametrize("store", ["/mnt/peerkd", "/mnt/peerkd/team/runs", "s3://bucket/runs", ""])
def test_workers_share_a_folder_on_a_claim(store: str) -> None:
    check_workers_folder(store, cluster([CLAIM], [MOUNT]))


@pytest.mark.parametrize(
    ("store", "volumes", "mounts", "message"),
    [
        ("/mnt/peerkd", [], [], "which no entry of volume_mounts in the settings of the jobs contains."),
        ("/mnt/peerkd2", [CLAIM], [MOUNT], "got /mnt/peerkd2, which no entry of volume_mounts"),
        ("/mnt/peerkd/../x", [CLAIM], [MOUNT], "which no entry of volume_mounts"),
        ("/tmp/runs", [CLAIM], [MOUNT], "got /tmp/runs, which no entry of volume_mounts"),
        ("/mnt/peerkd", [CLAIM], [MOUNT | {"readOnly": True}], "which workers mount with readOnly: true."),
        (
            "/a",
            [{"name": "a", "emptyDir": {}}],
            [{"name": "a", "mountPath": "/a"}],
            "of which each worker has its own.",
        ),
        (
            "/mnt/peerkd/own/runs",
            [CLAIM, {"name": "a", "emptyDir": {}}],
            [MOUNT, {"name": "a", "mountPath": "/mnt/peerkd/own"}],
            "on the volume a, of which each worker has its own.",
        ),
    ],
)
def test_a_folder_that_workers_do_not_share_is_refused(
    store: str, volumes: list[Any], mounts: list[Any], message: str
) -> None:
    with pytest.raises(ValueError, match=r"^store must be s3://bucket/prefix, or a folder on a volume") as refusal:
        check_workers_folder(store, cluster(volumes, mounts))
    assert message in str(refusal.value)


def test_a_claim_that_the_operator_and_the_task_mount_is_mounted_once() -> None:
    task = {"volumes": [CLAIM], "volume_mounts": [MOUNT]}
    for settings in (cluster([], []), cluster([CLAIM], [MOUNT])):
        made = with_task_config(settings, task)
        assert (list(made.volumes), list(made.volume_mounts)) == ([CLAIM], [MOUNT])


def test_a_task_of_a_pipeline_needs_a_mount_and_other_processes_do_not() -> None:
    def is_mount(path: Path) -> bool:
        return str(path) in ("/", "/mnt/peerkd")

    for store in ("/mnt/peerkd", "/mnt/peerkd/runs", "s3://bucket/runs"):
        check_task_folder(store, environment=IN_A_TASK, is_mount=is_mount)
    for store in ("/mnt/other", "runs"):
        check_task_folder(store, environment={}, is_mount=is_mount)
        with pytest.raises(
            ValueError, match="this task mounts no volume there, so the store would be lost with its pod"
        ):
            check_task_folder(store, environment=IN_A_TASK, is_mount=is_mount)


@pytest.mark.parametrize("file", PIPELINES, ids=lambda file: file.stem)
def test_a_pipeline_needs_a_claim_for_a_store_in_a_folder(file: Path) -> None:
    package = read_package(file)
    check_pipeline_folder("s3://bucket/runs", package.documents)
    with pytest.raises(ValueError, match=r"which the task [a-z-]+ does not mount: use --claim NAME=PATH\."):
        check_pipeline_folder("/mnt/peerkd/runs", package.documents)
    mounted = package.with_claim("peerkd-store", "/mnt/peerkd")
    check_pipeline_folder("/mnt/peerkd/runs", mounted.documents)
    with pytest.raises(ValueError, match="does not mount"):
        check_pipeline_folder("/mnt/other", mounted.documents)
    # The pipeline itself is unchanged.
    assert read_package(file) == package


def test_a_claim_is_mounted_as_the_sdk_of_kubeflow_would_mount_it(tmp_path: Path) -> None:
    assert compiled(tmp_path, is_mounted=False).with_claim("data", "/mnt") == compiled(tmp_path, is_mounted=True)


def compiled(folder: Path, *, is_mounted: bool) -> Package:
    """Return a pipeline of a task that launches jobs and one that does not, which mount a claim or do not."""
    volumes = TaskConfigPassthrough(field=TaskConfigField.KUBERNETES_VOLUMES, apply_to_task=is_mounted)
    fields = [TaskConfigField.RESOURCES, volumes]

    @dsl.component(base_image="image", install_kfp_package=False, task_config_passthroughs=fields)
    def launch(task_config: dsl.TaskConfig): ...

    @dsl.component(base_image="image", install_kfp_package=False)
    def work(): ...

    @dsl.pipeline(name="study")
    def study():
        for task in (launch(), work()):
            kubernetes.use_field_path_as_env(task, env_name="NAME", field_path="metadata.name")
            if is_mounted:
                kubernetes.mount_pvc(task, pvc_name="data", mount_path="/mnt")

    path = folder / "pipeline.yaml"
    compiler.Compiler().compile(study, str(path))
    assert len(list(yaml.safe_load_all(path.read_text(encoding="utf-8")))) == 2
    return read_package(path)
