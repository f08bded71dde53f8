"""The resolution of a person's input to one config: a preset or a file, then overrides."""

import difflib
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from peerkd.config.files import read_text
from peerkd.config.json_text import MAX_CHARACTERS
from peerkd.config.overrides import Path as FieldPath
from peerkd.config.overrides import leaves, read_override
from peerkd.config.pipelines import DEFAULT_PRESET, PIPELINES, Pipeline
from peerkd.config.strict import StrictConfig
from peerkd.config.unused import check_used
from peerkd.config.yaml_text import read_yaml, write_yaml
from peerkd.excerpt import excerpt, plain, plain_path

Config = TypeVar("Config", bound=StrictConfig)


def resolve(pipeline: Pipeline[Config], *, preset: str = "", config_json: str = "", overrides: str = "") -> Config:
    """Return the config that results from a preset, or from a whole config in its place, and overrides.

    Args:
        pipeline: The pipeline of the experiment.
        preset: The name of a preset of the pipeline. Empty: ``DEFAULT_PRESET``, unless ``config_json`` is given.
        config_json: A whole config as YAML or JSON, which a person may have typed into a form, or an empty string.
        overrides: ``key=value`` pairs separated by spaces, such as ``seed=3 sweep.alphas=[0.5,0.9]``, with quotes as in
            a shell. They are one string, so that a person can type them into a form.

    Raises:
        ValueError: If the preset is unknown or given together with a config, a pair has no key, or the result breaks a
            rule.
    """
    # Kubeflow Pipelines always passes the parameter, with its default if nobody sets it.
    if config_json and preset not in ("", DEFAULT_PRESET):
        raise ValueError(f"preset must not be given together with a config, which replaces it, got {plain(preset)}.")
    if config_json:
        base = load_text(pipeline, config_json, field="config_json", source=excerpt(config_json))
    else:
        _check_preset(pipeline, preset or DEFAULT_PRESET)
        base = pipeline.presets[preset or DEFAULT_PRESET]()
    return override(base, split_overrides(overrides))


def load(
    pipeline: Pipeline[Config], *, preset: str | None, config_file: Path | None, overrides: Iterable[str]
) -> Config:
    """Return the config that results from a preset, or from a file in its place, and ``key=value`` pairs.

    Raises:
        ValueError: If the preset is unknown or given together with a file, the file cannot be read, or the result
            breaks a rule.
    """
    if preset is not None and config_file is not None:
        raise ValueError(
            f"preset must not be given together with a config file, which replaces it, got {plain(preset)} and "
            f"{plain_path(config_file)}."
        )
    if config_file is not None:
        return override(load_file(pipeline, config_file), overrides)
    if preset is not None:
        _check_preset(pipeline, preset)
    return override(resolve(pipeline, preset=preset or ""), overrides)


def split_overrides(text: str, *, field: str = "overrides") -> list[str]:
    """Split ``a=1 b='x y'`` into its pairs. Error messages name the ``field``.

    Raises:
        ValueError: If a quotation mark is not closed.
    """
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ValueError(f"{field} must close every quotation mark, got {plain(text)}.") from error


def override(base: Config, pairs: Iterable[str]) -> Config:
    """Return the config with each ``dotted.key=value`` applied. Values are YAML, so ``[1,2]`` is a list.

    The order of the pairs matters only if two pairs set the same field: the later pair counts. If the value of a pair
    is a mapping, the mapping replaces a section; fields of the section that other pairs set keep the values of those
    pairs. If a pair sets a new ``kind`` of a section, the section's fields that no pair sets get their defaults,
    because each kind has its own fields.

    Raises:
        ValueError: If a pair is not ``key=value``, the result breaks a rule, or a pair sets a field that has no effect
            in the resulting config.
    """
    values: dict[str, Any] = base.model_dump(mode="json")
    given: dict[FieldPath, Any] = {}
    for pair in pairs:
        path, value = read_override(pair)
        given.pop(path, None)
        given[path] = value
    for path, value in given.items():
        if isinstance(value, dict):
            _assign(values, path, {})
    fields = dict(leaf for path, value in given.items() for leaf in leaves(path, value))
    for (*section, name), value in fields.items():
        if name == "kind":
            _reset_unless_of_kind(values, section, value)
    # Short paths come first. With seed=1 and seed.a=2, the validation then sees, and refuses, seed.a.
    for path in sorted(fields, key=len):
        _assign(values, path, fields[path])
    for field, lists in base.counts.items():
        path = tuple(field.split("."))
        if path not in fields and any(tuple(entries.split(".")) in fields for entries in lists):
            _discard(values, path)
    config = type(base).from_mapping(values)
    check_used(config, map(".".join, fields))
    return config


def load_file(pipeline: Pipeline[Config], path: Path, *, field: str = "config") -> Config:
    """Read a config from a YAML or JSON file. Missing keys have their defaults.

    Args:
        pipeline: The pipeline of the experiment.
        path: The file.
        field: The option or variable that names the file, for error messages.

    Raises:
        ValueError: If the file cannot be read, does not contain a mapping, or breaks a rule.
    """
    # A character has at most four bytes.
    text = read_text(path, field=field, max_bytes=4 * MAX_CHARACTERS)
    return load_text(pipeline, text, field=field, source=plain_path(path))


def load_text(pipeline: Pipeline[Config], text: str, *, field: str, source: str) -> Config:
    """Read a config from a text in YAML or JSON.

    Raises:
        ValueError: If the text breaks a rule, or is not a YAML mapping. If it is not a mapping, the message names
            ``field``, the option or variable that gives the text, and ``source``, its file or the text itself.
    """
    try:
        values = read_yaml(text)
    except ValueError as error:
        raise ValueError(f"{field} must be YAML or JSON, got {source}: {error}.") from error
    if not isinstance(values, dict):
        # A ValueError, not a TypeError: the mistake is in the user's text, not in a caller's argument.
        found = excerpt(values) if text.strip() else "nothing"
        raise ValueError(  # noqa: TRY004
            f"{field} must contain a mapping of keys to values, got {found} in {source}."
        )
    return pipeline.config.from_mapping(values)


def to_yaml(experiment: StrictConfig) -> str:
    """Return a config as YAML that ``load_file`` can read, in the order of the schema and with all defaults."""
    return write_yaml(experiment.model_dump(mode="json"))


def _check_preset(pipeline: Pipeline[Config], preset: str) -> None:
    if preset in pipeline.presets:
        return
    others = [name for name, other in PIPELINES.items() if preset in other.presets]
    near = difflib.get_close_matches(preset[:80], pipeline.presets, n=1)
    hint = f" (a preset of {others[0]})" if others else f" (did you mean {near[0]}?)" if near else ""
    raise ValueError(f"preset must be one of {', '.join(pipeline.presets)}, got {plain(preset)}{hint}.")


def _discard(values: dict[str, Any], path: FieldPath) -> None:
    *sections, last = path
    for section in sections:
        values = values.get(section, {})
    values.pop(last, None)


def _assign(values: dict[str, Any], path: FieldPath, value: object) -> None:
    *sections, last = path
    for section in sections:
        inner = values.get(section)
        if not isinstance(inner, dict):
            # If the section does not exist, the validation refuses it with its full path.
            inner = values[section] = {}
        values = inner
    values[last] = value


def _reset_unless_of_kind(values: dict[str, Any], path: Iterable[str], kind: object) -> None:
    section: Any = values
    for name in path:
        section = section.get(name) if isinstance(section, dict) else None
    if isinstance(section, dict) and section.get("kind", kind) != kind:
        section.clear()
