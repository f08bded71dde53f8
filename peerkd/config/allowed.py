"""The settings of a job that only an operator can choose, and the names that an operator allows runs to choose.

The parameters of a run, ``--cluster`` and the settings of a pipeline's task come from people who may start a run. They
can choose the resources of a job, but they can choose an account, secret, claim, image or priority class only if the
operator's settings allow it.

This check gives an early and clear error message, but the user can bypass it. The admission policy in manifests/base
cannot be bypassed, because the API server enforces it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from peerkd.config.strict import StrictConfig

Values = Mapping[str, Any]


class AllowedConfig(StrictConfig):
    """The names that a run may use in addition to those in the operator's own settings."""

    namespaces: tuple[str, ...] | None = None
    """The namespaces for jobs. Null: any namespace in which the launcher may create jobs."""

    service_accounts: tuple[str, ...] = ()
    """The service accounts for workers."""

    secrets: tuple[str, ...] = ()
    """The secrets for the keys of the store, the image registry, environment variables and volumes."""

    config_maps: tuple[str, ...] = ()
    """The ConfigMaps for environment variables and volumes."""

    claims: tuple[str, ...] = ()
    """The PersistentVolumeClaims for volumes."""

    images: tuple[str, ...] = ()
    """The images for workers, or the repositories that contain them, such as registry.example/team."""

    priority_classes: tuple[str, ...] = ()
    """The PriorityClasses for pods."""

    priorities: tuple[str, ...] = ("peerkd-low", "peerkd-normal", "peerkd-high")
    """The WorkloadPriorityClasses of Kueue for jobs."""


_NAMES: Final = {
    "namespace": "namespaces",
    "service_account": "service_accounts",
    "store_secret": "secrets",
    "image": "images",
    "priority_class": "priority_classes",
    "priority": "priorities",
}
"""The fields of ClusterConfig that contain a single name, each with the list in AllowedConfig that must contain it."""

_VOLUME_NAMES: Final = {
    "persistentVolumeClaim": ("claimName", "claims"),
    "secret": ("secretName", "secrets"),
    "configMap": ("name", "config_maps"),
}
"""The kinds of volumes that name an object of the cluster. Each kind is followed by the field of the volume that names
the object, and by the list in AllowedConfig that must contain the name."""

_FREE_VOLUMES: Final = ("emptyDir",)
"""The kinds of volumes that name no object of the cluster, so that every run may use them."""

_SOURCE_NAMES: Final = {"secretKeyRef": "secrets", "configMapKeyRef": "config_maps"}
"""The sources of environment variables that name an object of the cluster, each with the list in AllowedConfig that
must contain the name."""

_FREE_SOURCES: Final = ("fieldRef", "resourceFieldRef")
"""The sources of environment variables that only read the worker's own pod, so that every run may use them."""


def check_allowed(operators: Values, chosen: Values) -> None:
    """Check that the operator's settings allow every name that a run has chosen.

    Args:
        operators: ``ClusterConfig.model_dump()`` of the operator's settings.
        chosen: The same dictionary, in which the settings of a pipeline's task and of the person who starts the run
            have replaced the operator's.

    Raises:
        ValueError: If the run has changed ``allowed``, or has chosen a name that the operator does not allow, or a kind
            of volume or of environment variable that only an operator can use.
    """
    allowed: Values = operators["allowed"]
    if chosen["allowed"] != allowed:
        raise ValueError("allowed can only be set in the operator's settings, not by a run.")
    for field, setting in _NAMES.items():
        if chosen[field] != operators[field] and chosen[field]:
            _check_name(field, chosen[field], setting, allowed, also=operators[field])
    for secret in chosen["image_pull_secrets"]:
        if secret not in operators["image_pull_secrets"]:
            _check_name("image_pull_secrets", secret, "secrets", allowed)
    for volume in _added(operators, chosen, "volumes"):
        _check_volume(volume, allowed)
    for entry in _added(operators, chosen, "env"):
        _check_variable(entry, allowed)


def _added(operators: Values, chosen: Values, field: str) -> Iterable[Values]:
    return [entry for entry in chosen[field] if entry not in operators[field]]


def _check_volume(volume: Values, allowed: Values) -> None:
    name = volume.get("name")
    for kind, source in volume.items():
        if kind == "name" or kind in _FREE_VOLUMES:
            continue
        if kind not in _VOLUME_NAMES:
            kinds = ", ".join((*_FREE_VOLUMES, *_VOLUME_NAMES))
            raise ValueError(
                f"volumes of a run must be of the kinds {kinds}; others belong in the operator's settings, "
                f"got {kind} for the volume {name}."
            )
        key, setting = _VOLUME_NAMES[kind]
        _check_name(f"volumes.{kind}.{key}", _entry(source, key), setting, allowed)


def _check_variable(entry: Values, allowed: Values) -> None:
    source = entry.get("valueFrom")
    if source is None:
        return
    kinds = list(source) if isinstance(source, Mapping) else [source]
    for kind in kinds:
        if kind in _FREE_SOURCES:
            continue
        if kind not in _SOURCE_NAMES:
            known = ", ".join((*_FREE_SOURCES, *_SOURCE_NAMES))
            raise ValueError(f"env.valueFrom must be one of {known}, got {kind} for the variable {entry.get('name')}.")
        _check_name(f"env.valueFrom.{kind}.name", _entry(source[kind], "name"), _SOURCE_NAMES[kind], allowed)


def _entry(source: object, key: str) -> object:
    return source.get(key) if isinstance(source, Mapping) else source


def _check_name(field: str, name: object, setting: str, allowed: Values, *, also: str | None = None) -> None:
    """Check that the operator allows a name.

    Args:
        field: The field in which the run has chosen the name, for the message.
        name: The name.
        setting: The field of ``AllowedConfig`` with the list that must contain the name.
        allowed: The values of ``AllowedConfig``.
        also: The name in the operator's own settings, which the message mentions as allowed. None: these settings
            contain no name.

    Raises:
        ValueError: If the list does not contain the name.
    """
    names: tuple[str, ...] | None = allowed[setting]
    if names is None or any(_is_allowed(name, each, setting) for each in names):
        return
    own = f"{also} or " if also else ""
    raise ValueError(
        f"{field} must be {own}one of allowed.{setting} in the operator's settings ({', '.join(names) or 'none'}), "
        f"got {name}."
    )


def _is_allowed(name: object, entry: str, setting: str) -> bool:
    if setting != "images" or not isinstance(name, str):
        return name == entry
    # registry.example/team allows registry.example/team/trainer:1 and not registry.example/teams/trainer:1.
    rest = name.removeprefix(entry)
    return rest != name and (not rest or entry.endswith("/") or rest[0] in "/:@")
