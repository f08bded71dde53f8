"""Checks of the configuration of jobs: the settings of tasks, the Secret with the store's keys, and the store."""

from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Final

from peerkd.artifacts.check import check_store
from peerkd.artifacts.open import S3_SCHEME
from peerkd.artifacts.s3_environment import check_key
from peerkd.config.cluster import SETTINGS, SETTINGS_NAME, ClusterConfig
from peerkd.errors import ClusterRefusedError
from peerkd.launch.doctor.check import CheckResult, check, refused
from peerkd.launch.kubernetes.client import CONFIG_MAPS, SECRETS, Cluster
from peerkd.launch.kubernetes.manifest import trainer_image
from peerkd.launch.shared_folder import check_workers_folder

_SETTINGS: Final = "settings"
_SECRET: Final = "store secret"
_FIXES: Final = {
    "address": "Give --store an address as in s3://bucket/prefix, and set PEERKD_S3_ENDPOINT.",
    "credentials": "Set PEERKD_S3_ACCESS_KEY and PEERKD_S3_SECRET_KEY, or the variables of AWS.",
}
_FIX: Final = "Check PEERKD_S3_ENDPOINT, the keys, and the permissions of the keys on the bucket."
_KEYS: Final = ("access-key", "secret-key")


def check_settings_of_tasks(
    cluster: Cluster, local: ClusterConfig, resolve: Callable[[Mapping[str, str]], ClusterConfig]
) -> tuple[ClusterConfig, CheckResult]:
    """Return the settings of the jobs that the tasks of pipelines launch, and the result of checking these settings.

    Tasks read the settings from a ConfigMap of their namespace, and do not know the settings of this machine. The
    returned settings contain the image of the jobs.

    Args:
        cluster: The cluster, with the namespace in which tasks run.
        local: The settings of the jobs that this machine launches. They are returned if the ConfigMap does not exist,
            cannot be read or is not valid.
        resolve: A function that returns the settings with which a launcher creates jobs, given the launcher's
            environment variables.
    """
    subject = f"The ConfigMap {SETTINGS_NAME} of {cluster.namespace}"
    try:
        found = cluster.get(CONFIG_MAPS, SETTINGS_NAME)
    except ClusterRefusedError as error:
        return local, refused(_SETTINGS, f"get the ConfigMap {SETTINGS_NAME}", error)
    if found is None:
        return local, CheckResult(
            _SETTINGS,
            None,
            f"{subject} does not exist: tasks of pipelines launch jobs with the defaults, and the settings of this "
            "machine are checked.",
            "Apply manifests/base, if pipelines are to run in this namespace.",
        )
    data = found.get("data") or {}
    environment = {variable: str(data[key]) for key, variable in SETTINGS.items() if key in data}
    try:
        settings = resolve(environment)
        image = trainer_image(settings, environment)
    except ValueError as error:
        return local, CheckResult(
            _SETTINGS,
            False,
            f"{subject} is not valid for tasks: {error}",
            f"Correct it: kubectl edit configmap {SETTINGS_NAME} --namespace {cluster.namespace}",
        )
    return settings.model_copy(update={"image": image}), CheckResult(
        _SETTINGS, True, f"{subject} is valid for tasks. The jobs of tasks are checked below."
    )


@check(_SECRET, action="get secrets")
def check_secret(cluster: Cluster, name: str) -> CheckResult | None:
    """Check that the Secret ``name`` contains a valid access key and a valid secret key of the store.

    Return None if ``name`` is empty, because the workers then use no Secret.
    """
    if not name:
        return None
    secret = cluster.get(SECRETS, name)
    lacking = [key for key in _KEYS if key not in ((secret or {}).get("data") or {})]
    fix = (
        "Write each key to a file without a newline (printf %s KEY > FILE), then: kubectl create secret generic "
        f"{name} --namespace {cluster.namespace} --from-file=access-key=FILE --from-file=secret-key=FILE "
        "--dry-run=client --output=yaml | kubectl apply --filename -"
    )
    if secret is None:
        sentence = f"The secret {name} with the keys to the store does not exist in {cluster.namespace}."
        return CheckResult(_SECRET, False, sentence, fix)
    if lacking:
        return CheckResult(_SECRET, False, f"The secret {name} must have {' and '.join(lacking)}.", fix)
    for key in _KEYS:
        subject = f"{key} of the secret {name}"
        try:
            text = b64decode(secret["data"][key], validate=True).decode("utf-8", errors="surrogateescape")
            check_key(text, where=subject)
        except ValueError as error:
            return CheckResult(_SECRET, False, str(error), fix)
        if text != text.strip():
            # peerkd strips the newline, so runs would succeed until a server is started with the same secret.
            rule = "must not end in a newline, which editors add and which servers take as part of the key"
            return CheckResult(_SECRET, False, f"{subject} {rule}.", fix)
    return CheckResult(_SECRET, True, f"The secret {name} has the keys to the store.")


def check_shared_folder(settings: ClusterConfig, address: str) -> CheckResult | None:
    """Check that workers share the folder of the store. Return None if the store is in S3, or is not to be checked."""
    if not address or address.startswith(S3_SCHEME):
        return None
    try:
        check_workers_folder(address, settings)
    except ValueError as error:
        # Runs on Kubeflow Pipelines may mount a claim by themselves, so this need not be a mistake.
        fix = "Set volumes and volume_mounts in the settings of the jobs, or submit runs with --claim NAME=PATH."
        return CheckResult("shared folder", None, str(error), fix)
    return CheckResult("shared folder", True, "All workers mount the folder of the store.")


def check_artifacts(address: str) -> list[CheckResult]:
    """Check that the store supports everything that runs need, by writing, reading, listing and deleting objects."""
    return [
        CheckResult(f"store: {step.name}", step.passed, step.text, "" if step.passed else _FIXES.get(step.name, _FIX))
        for step in check_store(address)
    ]
