"""Keys of artifacts: ``<kind>/<hash>``, where the hash covers everything that determines the content of the artifact.

Two experiments with the same partition share its key, so a change of the sweep does not repeat the pre-training. The
stage that orders work and the workers that do it compute a key with the same function.

The hash covers only those values of a config that differ from the defaults (see ``differences``). A new field therefore
changes no key, because its default describes how all existing artifacts were made. The limits of this rule:

- If a default changes, a key would find artifacts that were made with the old default. ``NUMERICS_VERSION`` must then
  be raised. ``tests/unit/artifacts/key_defaults.json`` records the defaults of the version, and a test compares them.
- The default of a new field must mean the behaviour of the program before the field existed.
- If a field is renamed, experiments that set it get new keys, and their artifacts are computed again.
- If an element of a list differs from the default, the whole list is part of the key.
- If a field can contain configs of several classes, each class must have a field ``kind`` with one permitted value.
  ``kind`` is always part of the key, because it names the class whose defaults apply to the other fields.

Settings that change no number are not part of a key: the name of the experiment, paths of data sets, devices, workers
and the settings of the cluster. Each stage names the sections of the config that it depends on, and the fields inside
them that do not count. A new field of such a section therefore counts unless a stage excludes it.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

NUMERICS_VERSION: Final = 4
"""A number from which every key is computed, in addition to the causes of the artifact.

Raise it when a change of the program alters numbers, their format or the default of a field, so that artifacts from
before the change are not found. If only one stage is affected, add a version to the ``causes`` from which that stage
computes its keys instead.
"""

_Path = tuple[str, ...]


def fingerprint(values: Any) -> str:
    """Return the SHA-256 of a value's JSON text with sorted keys, as 64 hexadecimal digits."""
    return hashlib.sha256(_text(values).encode()).hexdigest()


def key(kind: str, causes: Mapping[str, Any]) -> str:
    """Return the key of an artifact: ``<kind>/`` and 16 digits of a hash of its causes and ``NUMERICS_VERSION``.

    Args:
        kind: The kind of the artifact, in most cases the name of the stage that makes it.
        causes: Everything that determines the content, and no measured time: references to the inputs, and
            ``differences`` of the config.
    """
    return f"{kind}/{fingerprint([NUMERICS_VERSION, causes])[:16]}"


def differences(config: BaseModel, *, fields: Collection[str] = (), without: Collection[str] = ()) -> dict[str, Any]:
    """Return the values of a config that differ from their defaults, as JSON values nested like the config.

    Two configs of one class have the same differences only if they are equal in the fields that count.

    Args:
        config: The config.
        fields: Dotted names of the fields and sections that count. If empty, all of them count.
        without: Dotted names of the fields and sections that do not count although a section in ``fields`` contains
            them.

    Raises:
        ValueError: If the config has no field of a given name.
    """
    chosen, left_out = ([tuple(name.split(".")) for name in names] for names in (fields, without))
    for path in (*chosen, *left_out):
        _check_path(config, path)

    def counts(path: _Path) -> bool:
        return (not chosen or _is_within(path, chosen)) and not _is_within(path, left_out)

    return _differences(config, None, (), counts)


def _differences(
    config: BaseModel, default: BaseModel | None, path: _Path, counts: Callable[[_Path], bool]
) -> dict[str, Any]:
    """Return the values of a config that differ from those of ``default``, as ``differences`` describes them.

    If ``default`` is None, the values are compared with the defaults of the config's class.
    """
    found: dict[str, Any] = {}
    for name, field in type(config).model_fields.items():
        value, here = getattr(config, name), (*path, name)
        usual = field.get_default(call_default_factory=True) if default is None else getattr(default, name)
        if isinstance(value, BaseModel) and type(value) is type(usual):
            inner = _differences(value, usual, here, counts)
            if inner:
                found[name] = inner
        elif counts(here):
            is_kind = (
                default is None and get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1
            )
            if is_kind or field.is_required() or _text(_described(value)) != _text(_described(usual)):
                found[name] = _described(value)
    return found


def _described(value: Any) -> Any:
    """Return a value of a config as JSON values. Configs in it are replaced by their differences from the defaults."""
    if isinstance(value, BaseModel):
        return _differences(value, None, (), lambda _: True)
    if isinstance(value, Mapping):
        return {str(name): _described(inner) for name, inner in value.items()}
    if isinstance(value, Set):
        return sorted(map(_described, value), key=_text)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_described(inner) for inner in value]
    return to_jsonable_python(value)


def _text(values: Any) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _is_within(path: _Path, sections: Collection[_Path]) -> bool:
    return any(path[: len(section)] == section for section in sections)


def _check_path(config: BaseModel, path: _Path) -> None:
    inner: Any = config
    for name in path:
        if not isinstance(inner, BaseModel) or name not in type(inner).model_fields:
            raise ValueError(f"{type(config).__name__} must have the field {'.'.join(path)}, got none of that name.")
        inner = getattr(inner, name)
