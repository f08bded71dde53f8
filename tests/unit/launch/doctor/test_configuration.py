from collections.abc import Mapping

import pytest

from peerkd.config.cluster import ClusterConfig, resolve_cluster
from peerkd.config.launch import LaunchConfig
from peerkd.launch.doctor.configuration import check_settings_of_tasks, check_shared_folder
from tests.unit.launch.doctor.conftest import Answering

SETTINGS = "/api/v1/namespaces/peerkd/configmaps/peerkd"
HERE = ClusterConfig(image="registry.example/laptop:1", queue="mine")


def resolve(environment: Mapping[str, str]) -> ClusterConfig:
    return resolve_cluster(LaunchConfig(num_workers=2), environment=environment)


@pytest.mark.parametrize(
    ("data", "image"),
    [
        (
            {"cluster.yaml": "image: registry.example/t:7\n", "PEERKD_TRAINER_IMAGE": "x:1"},
            "registry.example/t:7",
        ),
        ({"cluster.yaml": "queue: theirs\n", "PEERKD_TRAINER_IMAGE": "registry.example/t:2"}, "registry.example/t:2"),
        ({}, "ghcr.io/peerkd/peerkd-trainer:0.1.0"),
        (None, "ghcr.io/peerkd/peerkd-trainer:0.1.0"),
    ],
)
def test_tasks_launch_with_the_settings_of_their_namespace(
    cluster: Answering, data: dict[str, str] | None, image: str
) -> None:
    cluster.answers[SETTINGS] = {"data": data}
    settings, result = check_settings_of_tasks(cluster, HERE, resolve)
    assert result.ok is True
    assert (settings.image, settings.num_workers) == (image, 2)
    assert settings.queue == ("theirs" if "theirs" in str(data) else None)


@pytest.mark.parametrize("text", ["imag: x\n", "num_workers: [\n", "memory_per_worker: much\n"])
def test_settings_that_tasks_cannot_use_are_a_failure(cluster: Answering, text: str) -> None:
    cluster.answers[SETTINGS] = {"data": {"cluster.yaml": text}}
    settings, result = check_settings_of_tasks(cluster, HERE, resolve)
    assert (settings, result.ok) == (HERE, False)
    assert result.fix == "Correct it: kubectl edit configmap peerkd --namespace peerkd"


def test_without_settings_of_tasks_those_of_this_machine_are_used(cluster: Answering) -> None:
    settings, result = check_settings_of_tasks(cluster, HERE, resolve)
    assert (settings, result.ok) == (HERE, None)
    assert result.fix.startswith("Apply manifests/base")
    cluster.forbid(SETTINGS)
    settings, result = check_settings_of_tasks(cluster, HERE, resolve)
    assert (settings, result.ok) == (HERE, None)
    assert result.fix == "Have peerkd doctor run by somebody who may get the ConfigMap peerkd."


def test_a_store_in_a_folder_must_be_mounted_by_all_workers() -> None:
    mounted = ClusterConfig.from_mapping(
        {
            "volumes": [{"name": "store", "persistentVolumeClaim": {"claimName": "peerkd-store"}}],
            "volume_mounts": [{"name": "store", "mountPath": "/mnt/peerkd"}],
        }
    )
    assert check_shared_folder(ClusterConfig(), "s3://bucket/runs") is None
    assert check_shared_folder(ClusterConfig(), "") is None
    good, bad = (check_shared_folder(each, "/mnt/peerkd/runs") for each in (mounted, ClusterConfig()))
    assert good is not None
    assert bad is not None
    assert good.ok is True
    # A run may mount a claim by itself.
    assert (bad.ok, "--claim" in bad.fix) == (None, True)
