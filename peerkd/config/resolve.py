"""Functions that make one config of the user's input: a preset, changed by a file and then by single fields."""

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from peerkd.config.files import read_text
from peerkd.config.json_text import MAX_CHARACTERS
from peerkd.config.layers import TextLayer, combine
from peerkd.config.pipelines import DEFAULT_PRESET, PIPELINES, Pipeline
from peerkd.config.strict import StrictConfig
from peerkd.config.unknown_keys import Remark, all_fields
from peerkd.config.yaml_text import read_yaml, write_yaml
from peerkd.excerpt import excerpt, plain, plain_path
from peerkd.suggestions import did_you_mean, near, one_of

Config = TypeVar("Config", bound=StrictConfig)


def resolve(pipeline: Pipeline[Config], *, preset: str = "", config_json: str = "", overrides: str = "") -> Config:
    """Return the config of a preset, changed by a config that is given as text and then by overrides.

    Args:
        pipeline: The pipeline of the experiment.
        preset: The name of a preset of the pipeline. Empty: ``DEFAULT_PRESET``, or the defaults of all fields if
            ``config_json`` is given.
        config_json: A config as YAML or JSON, which the user may have typed into a form, or an empty string. Fields
            that it omits have the values of the preset.
        overrides: ``key=value`` pairs separated by spaces, such as ``seed=3 sweep.alphas=[0.5,0.9]``, with quotes as in
            a shell. They are one string, so that the user can type them into a form.

    Raises:
        ValueError: If the preset is unknown, a pair has no key, or the result breaks rules.
    """
    layer = read_layer(config_json, field="config_json", source=excerpt(config_json)) if config_json else None
    base = _base(pipeline, preset, has_layer=layer is not None)
    return combine(base, text=layer, pairs=split_overrides(overrides), remark=_remark(pipeline))


def load(
    pipeline: Pipeline[Config], *, preset: str | None, config_file: Path | None, overrides: Iterable[str]
) -> Config:
    """Return the config of a preset, changed by a file and then by ``key=value`` pairs.

    Without a preset, the file changes the defaults of all fields. With neither a preset nor a file, the preset is
    ``DEFAULT_PRESET``.

    Raises:
        ValueError: If the preset is unknown, the file cannot be read, or the result breaks rules.
    """
    layer = _read_file(config_file) if config_file is not None else None
    if preset is not None:
        _check_preset(pipeline, preset)
    base = _base(pipeline, preset or "", has_layer=layer is not None)
    return combine(base, text=layer, pairs=overrides, remark=_remark(pipeline))


def load_mapping(
    pipeline: Pipeline[Config], values: Mapping[str, Any], *, preset: str = "", overrides: Iterable[str] = ()
) -> Config:
    """Return the config of a preset, changed by a mapping and then by ``key=value`` pairs.

    Without a preset, the mapping changes the defaults of all fields.

    Raises:
        ValueError: If the preset is unknown, or the result breaks rules.
    """
    layer = TextLayer("", values, source="")
    return combine(_base(pipeline, preset, has_layer=True), text=layer, pairs=overrides, remark=_remark(pipeline))


def split_overrides(text: str, *, field: str = "overrides") -> list[str]:
    """Split a text such as ``a=1 b='x y'`` into its pairs. Error messages name the ``field``.

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
        ValueError: If a pair is not ``key=value``, the result breaks rules, or a pair sets a field that has no effect
            in the resulting config.
    """
    return combine(base, pairs=pairs, remark=lambda _: "")


def load_file(pipeline: Pipeline[Config], path: Path, *, field: str = "config") -> Config:
    """Read a config from a YAML or JSON file. Missing keys have their defaults.

    Args:
        pipeline: The pipeline of the experiment.
        path: The file.
        field: The option or variable that names the file, for error messages.

    Raises:
        ValueError: If the file cannot be read, does not contain a mapping, or breaks rules.
    """
    return combine(pipeline.config(), text=_read_file(path, field=field), remark=_remark(pipeline))


def load_text(pipeline: Pipeline[Config], text: str, *, field: str, source: str) -> Config:
    """Read a config from a text in YAML or JSON. Missing keys have their defaults.

    Error messages name the ``field`` that gives the text. The ``source`` is the file of the text, or an excerpt of it.

    Raises:
        ValueError: If the text is not a YAML mapping, or breaks rules.
    """
    return combine(pipeline.config(), text=read_layer(text, field=field, source=source), remark=_remark(pipeline))


def read_layer(text: str, *, field: str, source: str, place: str = "") -> TextLayer:
    """Read the layer of a config that a text in YAML or JSON contains.

    Args:
        text: The text.
        field: The option, parameter or variable that gives the text.
        source: The file of the text, or an excerpt of the text.
        place: The name with which the places of errors begin. If empty, it is ``field``.

    Raises:
        ValueError: If the text is not a YAML mapping.
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
    return TextLayer(text, values, place or field)


def to_yaml(experiment: StrictConfig) -> str:
    """Return a config as YAML that ``load_file`` can read, in the order of the schema and with all defaults."""
    return write_yaml(experiment.model_dump(mode="json"))


def _read_file(path: Path, *, field: str = "config") -> TextLayer:
    # A character has at most four bytes.
    text = read_text(path, field=field, max_bytes=4 * MAX_CHARACTERS)
    # People know which file they have given, but not which variable an operator has set.
    place = plain_path(path) if field == "config" else f"{field} {plain_path(path)}"
    return read_layer(text, field=field, source=plain_path(path), place=place)


def _base(pipeline: Pipeline[Config], preset: str, *, has_layer: bool) -> Config:
    """Return the lowest layer of a config: a preset, or the defaults if there is a higher layer and no preset."""
    if not preset and has_layer:
        return pipeline.config()
    _check_preset(pipeline, preset or DEFAULT_PRESET)
    return pipeline.presets[preset or DEFAULT_PRESET]()


def _check_preset(pipeline: Pipeline[Config], preset: str) -> None:
    if preset in pipeline.presets:
        return
    others = [name for name, other in PIPELINES.items() if preset in other.presets]
    hint = f" (a preset of {' and '.join(others)})" if others else did_you_mean(near(preset, pipeline.presets))
    raise ValueError(f"preset must be {one_of(pipeline.presets)}, got {plain(preset)}{hint}.")


def _remark(pipeline: Pipeline[Config]) -> Remark:
    """Return a function that names the other pipelines whose configs have a key."""

    def remark(field: str) -> str:
        others = [
            name
            for name, other in PIPELINES.items()
            if other.config is not pipeline.config and field in all_fields(other.config.model_json_schema())
        ]
        if not others or pipeline.name not in PIPELINES:
            return ""
        return f"it belongs to the pipeline{'s' if len(others) > 1 else ''} {' and '.join(others)}"

    return remark
