"""The settings with which tasks of pipelines launch jobs: those of their namespace, not those of this machine."""

from collections.abc import Callable, Mapping
from typing import Final

from peerkd.config.cluster import SETTINGS, SETTINGS_NAME, ClusterConfig
from peerkd.errors import ClusterRefusedError
from peerkd.launch.doctor.finding import Finding, refused
from peerkd.launch.kubernetes.client import CONFIG_MAPS, Cluster
from peerkd.launch.kubernetes.manifest import trainer_image

_NAME: Final = "settings"


def settings_of_tasks(
    cluster: Cluster, here: ClusterConfig, resolve: Callable[[Mapping[str, str]], ClusterConfig]
) -> tuple[ClusterConfig, Finding]:
    """Return the settings of jobs that tasks launch, with their image, and the finding about them.

    Args:
        cluster: The cluster, with the namespace in which tasks run.
        here: Settings of jobs that are launched from this machine, returned if those of tasks cannot be read.
        resolve: Returns the settings that a launcher with these environment variables uses.
    """
    where = f"The ConfigMap {SETTINGS_NAME} of {cluster.namespace}"
    try:
        found = cluster.get(CONFIG_MAPS, SETTINGS_NAME)
    except ClusterRefusedError as error:
        return here, refused(_NAME, f"get the ConfigMap {SETTINGS_NAME}", error)
    if found is None:
        return here, Finding(
            _NAME,
            None,
            f"{where} does not exist: tasks of pipelines launch jobs with the defaults; the settings of this machine "
            "are checked.",
            "Apply manifests/base, if pipelines are to run in this namespace.",
        )
    data = found.get("data") or {}
    environment = {variable: str(data[key]) for key, variable in SETTINGS.items() if key in data}
    try:
        settings = resolve(environment)
        image = trainer_image(settings, environment)
    except ValueError as error:
        return here, Finding(
            _NAME,
            False,
            f"{where} cannot be used by tasks: {error}",
            f"Correct it: kubectl edit configmap {SETTINGS_NAME} --namespace {cluster.namespace}",
        )
    return settings.model_copy(update={"image": image}), Finding(
        _NAME, True, f"{where} can be used by tasks, whose jobs are checked below."
    )
