"""Resolving the input of a person to one experiment: a preset or a file, then overrides."""

import difflib
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from peerkd.config.files import read_text
from peerkd.config.json_text import MAX_CHARACTERS
from peerkd.config.pipelines import DEFAULT_PRESET, PIPELINES, Pipeline
from peerkd.config.strict import StrictConfig
from peerkd.config.unused import check_used
from peerkd.config.yaml_text import read_yaml, write_yaml
from peerkd.excerpt import excerpt, plain, plain_path

Config = TypeVar("Config", bound=StrictConfig)


def resolve(pipeline: Pipeline[Config], *, preset: str = "", config_json: str = "", overrides: str = "") -> Config:
    """Return the experiment that a preset, or a whole config in its place, and overrides describe.

    Args:
        pipeline: The pipeline of the experiment.
        preset: A name of the pipeline's presets. Empty: ``DEFAULT_PRESET``, unless ``config_json`` is given.
        config_json: A whole experiment as JSON, or empty.
        overrides: ``key=value`` pairs separated by white space, as in ``seed=3 sweep.alphas=[0.5,0.9]``; quoting is
            the shell's. One text, so that a person can type it into a form.

    Raises:
        ValueError: If the preset is unknown or given beside a config, a pair has no key, or the result breaks a rule.
    """
    # Kubeflow Pipelines always sends the parameter, with its default if nobody sets it.
    if config_json and preset not in ("", DEFAULT_PRESET):
        raise ValueError(f"preset must not be given beside a config, which stands in its place, got {plain(preset)}.")
    if config_json:
        base = pipeline.config.from_json(config_json)
    else:
        _check_preset(pipeline, preset or DEFAULT_PRESET)
        base = pipeline.presets[preset or DEFAULT_PRESET]()
    return override(base, split_overrides(overrides))


def load(
    pipeline: Pipeline[Config], *, preset: str | None, config_file: Path | None, overrides: Iterable[str]
) -> Config:
    """Return the experiment that a preset, or a file in its place, and ``key=value`` pairs describe.

    Raises:
        ValueError: If the preset is unknown or given beside a file, the file cannot be read, or the result breaks a
            rule.
    """
    if preset is not None and config_file is not None:
        raise ValueError(
            f"preset must not be given beside a config file, which stands in its place, got {plain(preset)} and "
            f"{plain_path(config_file)}."
        )
    if config_file is not None:
        return override(load_file(pipeline, config_file), overrides)
    if preset is not None:
        _check_preset(pipeline, preset)
    return override(resolve(pipeline, preset=preset or ""), overrides)


def split_overrides(text: str, *, field: str = "overrides") -> list[str]:
    """Split ``a=1 b='x y'`` into its pairs; ``field`` is what the message names.

    Raises:
        ValueError: If a quotation mark is not closed.
    """
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ValueError(f"{field} must close every quotation mark, got {plain(text)}.") from error


def override(base: Config, pairs: Iterable[str]) -> Config:
    """Return the experiment with each ``dotted.key=value`` applied; values are YAML, so ``[1,2]`` is a list.

    Of two pairs for one field the later one wins. Setting a section's ``kind`` resets that section, since each kind has
    its own fields.

    Raises:
        ValueError: If a pair is not ``key=value``, the result breaks a rule, or a pair sets a field that has no effect
            in the resulting experiment.
    """
    values: dict[str, Any] = base.model_dump(mode="json")
    given: list[str] = []
    for pair in pairs:
        key, separator, text = pair.partition("=")
        path = key.split(".")
        if not separator or not all(part.strip() for part in path):
            raise ValueError(f"An override must have the form key=value, got {plain(pair)}.")
        try:
            value = read_yaml(text)
        except ValueError as error:
            raise ValueError(f"The value of {plain(key)} must be YAML, got {plain(text)}: {error}.") from error
        _assign(values, path, value)
        given.extend(_leaves(key, value))
    config = type(base).from_mapping(values)
    check_used(config, given)
    return config


def load_file(pipeline: Pipeline[Config], path: Path, *, field: str = "config") -> Config:
    """Read an experiment from a YAML or JSON file (JSON is YAML). Missing keys take their defaults.

    Args:
        pipeline: The pipeline of the experiment.
        path: The file.
        field: What names the file, for messages.

    Raises:
        ValueError: If the file cannot be read, is not a mapping, or breaks a rule.
    """
    # A character has at most four bytes.
    text = read_text(path, field=field, max_bytes=4 * MAX_CHARACTERS)
    return load_text(pipeline, text, field=field, source=plain_path(path))


def load_text(pipeline: Pipeline[Config], text: str, *, field: str, source: str) -> Config:
    """Read an experiment from a text in YAML or JSON.

    Raises:
        ValueError: If the text is not YAML or not a mapping, where the message names ``field`` and ``source``, or if it
            breaks a rule.
    """
    try:
        values = read_yaml(text)
    except ValueError as error:
        raise ValueError(f"{field} must be YAML or JSON, got {source}: {error}.") from error
    if not isinstance(values, dict):
        # A ValueError, not a TypeError: the user wrote the text, and no caller passed a wrong type.
        held = excerpt(values) if text.strip() else "nothing"
        raise ValueError(  # noqa: TRY004
            f"{field} must hold a mapping of keys to values, got {held} in {source}."
        )
    return pipeline.config.from_mapping(values)


def to_yaml(experiment: StrictConfig) -> str:
    """Return the text of a file for ``load_file``: in the order of the schema, with every default written out."""
    return write_yaml(experiment.model_dump(mode="json"))


def _check_preset(pipeline: Pipeline[Config], preset: str) -> None:
    if preset in pipeline.presets:
        return
    others = [name for name, other in PIPELINES.items() if preset in other.presets]
    near = difflib.get_close_matches(preset[:80], pipeline.presets, n=1)
    hint = f" (a preset of {others[0]})" if others else f" (did you mean {near[0]}?)" if near else ""
    raise ValueError(f"preset must be one of {', '.join(pipeline.presets)}, got {plain(preset)}{hint}.")


def _leaves(key: str, value: Any) -> Iterator[str]:
    """Yield the dotted names of the fields that a value sets, which are several if it is a section."""
    if not isinstance(value, dict):
        yield key
        return
    for name, inner in value.items():
        yield from _leaves(f"{key}.{name}", inner)


def _assign(values: dict[str, Any], path: list[str], value: object) -> None:
    *sections, last = path
    for section in sections:
        inner = values.get(section)
        if not isinstance(inner, dict):
            # The schema then refuses the section, with its full path.
            inner = values[section] = {}
        values = inner
    if last == "kind" and "kind" in values:
        values.clear()
    values[last] = value
