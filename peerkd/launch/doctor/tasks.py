"""What the tasks of pipelines launch jobs with: the settings in their namespace, and not those of this machine."""

from collections.abc import Callable, Mapping
from typing import Final

from peerkd.config.cluster import SETTINGS, SETTINGS_NAME, ClusterConfig
from peerkd.errors import ClusterRefusedError
from peerkd.launch.doctor.finding import Finding, not_allowed
from peerkd.launch.kubernetes.client import CONFIG_MAPS, Cluster
from peerkd.launch.kubernetes.manifest import trainer_image

_NAME: Final = "settings"
_STATUS_FORBIDDEN: Final = 403


def settings_of_tasks(
    cluster: Cluster, here: ClusterConfig, resolve: Callable[[Mapping[str, str]], ClusterConfig]
) -> tuple[ClusterConfig, Finding]:
    """Return what a task's job is given, with its image named, and what there is to say about it.

    Args:
        cluster: Seen from the namespace in which tasks run.
        here: What a job is given that is launched from this machine; it stands in where the tasks' cannot be had.
        resolve: Returns the settings of a launcher with an environment, by the same rules as the launcher itself.
    """
    where = f"The ConfigMap {SETTINGS_NAME} of {cluster.namespace}"
    try:
        found = cluster.get(CONFIG_MAPS, SETTINGS_NAME)
    except ClusterRefusedError as error:
        if error.status != _STATUS_FORBIDDEN:
            return here, Finding(_NAME, False, str(error), "The cluster's own words say what is wrong.")
        return here, not_allowed(_NAME, f"get the ConfigMap {SETTINGS_NAME}")
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
