"""The settings of a job that only an operator chooses, and the names that an operator allows runs to choose.

A parameter of a run, ``--cluster`` and a pipeline's task come from people who may start a run. They choose the
resources of a job. They choose no account, secret, claim, image or priority class, unless the operator's settings
allow it.

This check gives an early and clear answer, and a person can bypass it. The admission policy in manifests/base is
enforced by the API server.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from peerkd.config.strict import StrictConfig

Values = Mapping[str, Any]


class AllowedConfig(StrictConfig):
    """Names that a run may use beside those in the operator's own settings."""

    namespaces: tuple[str, ...] | None = None
    """Namespaces for jobs. Null: any in which the launcher may create jobs."""

    service_accounts: tuple[str, ...] = ()
    """Service accounts for the workers."""

    secrets: tuple[str, ...] = ()
    """Secrets for the store's keys, for the image's registry, in variables and in volumes."""

    config_maps: tuple[str, ...] = ()
    """ConfigMaps in variables and in volumes."""

    claims: tuple[str, ...] = ()
    """PersistentVolumeClaims in volumes."""

    images: tuple[str, ...] = ()
    """Images, or the repositories that they come from, as in registry.example/team."""

    priority_classes: tuple[str, ...] = ()
    """PriorityClasses of pods."""

    priorities: tuple[str, ...] = ("peerkd-low", "peerkd-normal", "peerkd-high")
    """WorkloadPriorityClasses of Kueue."""


_NAMES: Final = {
    "namespace": "namespaces",
    "service_account": "service_accounts",
    "store_secret": "secrets",
    "image": "images",
    "priority_class": "priority_classes",
    "priority": "priorities",
}
"""Fields of ClusterConfig that hold one name, and the list of ``AllowedConfig`` that may hold it."""

_VOLUME_NAMES: Final = {
    "persistentVolumeClaim": ("claimName", "claims"),
    "secret": ("secretName", "secrets"),
    "configMap": ("name", "config_maps"),
}
"""Kinds of volumes that a run may add: for each, the field with its object's name and the list of allowed names."""

_FREE_VOLUMES: Final = ("emptyDir",)
"""Kinds of volumes that name no object."""

_SOURCE_NAMES: Final = {"secretKeyRef": "secrets", "configMapKeyRef": "config_maps"}
"""Sources of variables that name an object, and the list of allowed names."""

_FREE_SOURCES: Final = ("fieldRef", "resourceFieldRef")
"""Sources of variables that tell a worker about its own pod."""


def check_allowed(operators: Values, chosen: Values) -> None:
    """Check that a run's choices keep to what the operator's settings allow.

    Args:
        operators: ``ClusterConfig.model_dump()`` of the operator's settings.
        chosen: The same of the settings with the choices of a task and a person applied.

    Raises:
        ValueError: If a field differs from the operator's and holds a name that no list allows.
    """
    allowed: Values = operators["allowed"]
    if chosen["allowed"] != allowed:
        raise ValueError("allowed must be set in the operator's settings, and not by a run.")
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
    """Check one name against a list; ``also``, the operator's own name, is only for the message."""
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
