"""From what a person types to one experiment: a preset or a file, then overrides."""

import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml

from peerkd.config.pipelines import Pipeline
from peerkd.config.strict import StrictConfig
from peerkd.config.sweep import EVERY_FIELD

Config = TypeVar("Config", bound=StrictConfig)


class _Loader(yaml.SafeLoader):
    """YAML that sides with YAML 1.2: 1e-2 is a number and not a text, 2026-01-31 a text and not a date."""

    yaml_implicit_resolvers = {  # noqa: RUF012, as the base class has it
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that comes twice, where the base class would take the last."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f"{key} must be given once in a mapping, got it {keys.count(key)} times.")
        return super().construct_mapping(node, deep=deep)


class _Dumper(yaml.SafeDumper):
    """Writes what ``_Loader`` reads: a text that looks like such a number is quoted."""


for _dialect in (_Loader, _Dumper):
    _dialect.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)$"),
        list("-+.0123456789"),
    )


def resolve(pipeline: Pipeline[Config], *, preset: str, config_json: str = "", overrides: str = "") -> Config:
    """Return the experiment that a preset, or a whole config in its place, and overrides describe.

    Args:
        pipeline: What the experiment is for.
        preset: A name of the pipeline's presets. Not looked at when ``config_json`` is given.
        config_json: A whole experiment as JSON, or empty.
        overrides: ``key=value`` pairs parted by white space, as in ``seed=3 sweep.alphas=[0.5,0.9]``; quoting is
            the shell's. One text, so that a person can type it into a form.

    Raises:
        ValueError: If the preset is unknown, a pair has no key, or the result breaks a rule.
    """
    if config_json:
        base = pipeline.config.from_json(config_json)
    elif preset in pipeline.presets:
        base = pipeline.presets[preset]()
    else:
        raise ValueError(f"preset must be one of {', '.join(pipeline.presets)}, got {preset}.")
    return override(base, split_overrides(overrides))


def load(pipeline: Pipeline[Config], *, preset: str, config_file: Path | None, overrides: Iterable[str]) -> Config:
    """Return the experiment that a preset, or a file in its place, and ``key=value`` pairs describe.

    Raises:
        ValueError: If the preset is unknown, the file cannot be read, or the result breaks a rule.
    """
    config_json = load_file(pipeline, config_file).to_json() if config_file else ""
    return override(resolve(pipeline, preset=preset, config_json=config_json), overrides)


def split_overrides(text: str) -> list[str]:
    """Part ``a=1 b='x y'`` into its pairs.

    Raises:
        ValueError: If a quotation mark is not closed.
    """
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ValueError(f"overrides must close every quotation mark, got {text}.") from error


def override(base: Config, pairs: Iterable[str]) -> Config:
    """Return the experiment with each ``dotted.key=value`` in place; values are YAML, so ``[1,2]`` is a list.

    Setting a section's ``kind`` starts that section afresh, since each kind has fields of its own.

    Raises:
        ValueError: If a pair is not ``key=value``, or the result breaks a rule.
    """
    values: dict[str, Any] = base.model_dump(mode="json")
    for pair in pairs:
        key, separator, text = pair.partition("=")
        path = key.split(".")
        if not separator or "" in path:
            raise ValueError(f"An override must have the form key=value, got {pair}.")
        try:
            value = yaml.load(text, Loader=_Loader)
        except yaml.YAMLError as error:
            raise ValueError(f"The value of {key} must be YAML, got {text}.") from error
        _assign(values, path, value)
    return type(base).from_mapping(values)


def load_file(pipeline: Pipeline[Config], path: Path) -> Config:
    """Read an experiment from a YAML or JSON file (JSON is YAML). Missing keys take their defaults.

    Raises:
        ValueError: If the file cannot be read, is not a mapping, or breaks a rule.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"config must be a file that can be read, got {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"config must be YAML or JSON, got {path}.") from error
    return load_text(pipeline, text, source=str(path))


def load_text(pipeline: Pipeline[Config], text: str, *, source: str) -> Config:
    """Read an experiment from the text of such a file, wherever it comes from.

    Raises:
        ValueError: If the text is not a mapping, or breaks a rule; the message names ``source`` if it is no YAML.
    """
    try:
        values = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"config must be YAML or JSON, got {source}.") from error
    if not isinstance(values, dict):
        # A ValueError, not a TypeError: the text is the user's, no caller passed a wrong type.
        raise ValueError(f"config must hold a mapping of keys to values, got {values!r}.")  # noqa: TRY004
    return pipeline.config.from_mapping(values)


def to_yaml(experiment: StrictConfig) -> str:
    """Return what ``load_file`` reads: sections in the order of the schema, every default written out."""
    return yaml.dump(experiment.model_dump(mode="json", context=EVERY_FIELD), Dumper=_Dumper, sort_keys=False)


def _assign(values: dict[str, Any], path: list[str], value: object) -> None:
    *sections, last = path
    for section in sections:
        inner = values.get(section)
        if not isinstance(inner, dict):
            # Leave it to the schema to say that this is no section: it names the full path.
            inner = values[section] = {}
        values = inner
    if last == "kind":
        values.clear()
    values[last] = value
