"""The reference pages of the configs, from their JSON schemas: ``python -m peerkd.config.describe PIPELINE``."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from peerkd.config.pipelines import COLLABORATE, JOINTKD, PCL, Pipeline, find_pipeline
from peerkd.config.strict import StrictConfig

_JOINTKD_INTRODUCTION: Final = """\
<!-- Written by `make docs` from peerkd/config/. Edit that. -->

# The experiment config

One config describes one experiment, from the data to the sweep. Start from a preset, change fields, and look at the
resulting config before you run it:

```sh
.venv/bin/peerkd config presets
.venv/bin/peerkd config show --preset cifar10_small --set data.path=FOLDER --set partition.num_peers=4
.venv/bin/peerkd run jointkd --set seed=1 --set "sweep.temperatures=[1,4]"
```

You can also write a file. Fields that the file omits have the defaults below; `peerkd config show` prints a complete
file.

```yaml
name: three-peers
seed: 1
partition:
  num_peers: 3
  label_skew: {kind: classes, classes_per_peer: 4}
peers:
  architectures: [mlp, small_cnn, small_cnn]
sweep:
  temperatures: [1, 4]
  transfer_sets: [student, both]
```

```sh
.venv/bin/peerkd run jointkd --config FILE
```
"""

_PCL_INTRODUCTION: Final = """\
<!-- Written by `make docs` from peerkd/config/. Edit that. -->

# The config of a PCL study

One config describes one study: every method trains every architecture with every seed, on the same data and with the
same recipe. Start from a preset, change fields, and look at the resulting config before you run it:

```sh
.venv/bin/peerkd config presets --pipeline pcl
.venv/bin/peerkd config show --pipeline pcl --preset cifar10_small --set data.path=FOLDER --set num_seeds=3
.venv/bin/peerkd config show --pipeline pcl --set "methods=[plain,pcl]" --set collaboration.num_branches=4
```

You can also write a file. Fields that the file omits have the defaults below; `peerkd config show` prints a complete
file.

```yaml
name: two-networks
num_seeds: 3
augmentation: {crop_padding_pixels: 1}
architectures: [mlp, small_cnn]
methods: [plain, one, pcl]
collaboration: {rampup_epochs: 8}
training: {epochs: 30, batch_size: 32, learning_rate: 0.05}
```

```sh
.venv/bin/peerkd run pcl --config FILE
```
"""

_COLLABORATE_INTRODUCTION: Final = """\
<!-- Written by `make docs` from peerkd/config/. Edit that. -->

# The config of rounds

One config describes one experiment with rounds: the data, their division among the peers, the pre-training, and the
rounds in which the peers train and exchange what they learned. [rounds.md](rounds.md) describes the methods. Start from
a preset, change fields, and look at the resulting config before you run it:

```sh
.venv/bin/peerkd config presets --pipeline collaborate
.venv/bin/peerkd config show --pipeline collaborate --set "rounds.methods=[predictions,fedavg]"
.venv/bin/peerkd run collaborate --set seed=1 --set rounds.topology.kind=ring
```

You can also write a file. Fields that the file omits have the defaults below; `peerkd config show` prints a complete
file.

```yaml
name: four-peers
partition:
  num_peers: 4
  public_fraction: 0.2
rounds:
  num_rounds: 5
  methods: [predictions, alone]
  topology: {kind: edges, edges: [[0, 1], [1, 2], [2, 3]]}
  max_own_drop: 0.02
```

```sh
.venv/bin/peerkd run collaborate --config FILE
```
"""

_RULES: Final = """
- `--set` takes the dotted name of a field and a value in YAML. It overrides the preset or the file. The order does not
  matter, unless a field is set twice; then the later value counts.
- Values are read as YAML 1.2: `010` is ten, `0o10` is eight, `1e3` is a number, and `12:30:45`, `yes` and `1_000` are
  strings.
- The preset, the file of `--config` and the options `--set` are layers: the file overrides the preset, and `--set`
  overrides both. A section is merged field by field, and a list replaces the whole list of the layer below. A file
  without `--preset` overrides the defaults on this page. Presets have values of their own: the values of `digits`
  differ from these defaults.
- A `--set` that would have no effect is refused, such as `decay_factor` without `schedule: multistep`.
- Unknown keys, values of the wrong type and values outside their range are refused before anything runs. The message
  lists all errors with their lines and columns in the file, and suggests the key or the choice that you may have meant.
- `peerkd config schema` prints the JSON schema, which editors can use to check and complete a file.
"""

_RULE_ON_KINDS: Final = """\
- A new `kind` of a section, such as `partition.label_skew.kind`, resets the fields of the section to the defaults of
  the new kind, except those that the same layer gives. A field that the new kind does not have is refused.
"""

_INTRODUCTIONS: Final = {
    JOINTKD.name: _JOINTKD_INTRODUCTION + _RULES + _RULE_ON_KINDS,
    PCL.name: _PCL_INTRODUCTION + _RULES,
    COLLABORATE.name: _COLLABORATE_INTRODUCTION + _RULES + _RULE_ON_KINDS,
}


def page(pipeline: Pipeline[StrictConfig]) -> str:
    """Return the page on a pipeline's config as Markdown."""
    schema = pipeline.config.model_json_schema()
    return "\n".join([_INTRODUCTIONS[pipeline.name], *_section("", schema, schema["$defs"])])


def _section(
    path: str,
    schema: Mapping[str, Any],
    definitions: Mapping[str, Any],
    *,
    remark: str = "",
    defaults: Mapping[str, Any] | None = None,
) -> Iterator[str]:
    """Yield the lines of a section: a table of its fields, then its subsections.

    Args:
        path: The dotted name of the section.
        schema: The JSON schema of the section.
        definitions: The definitions that schemas refer to.
        remark: The docstring of the field that contains the section.
        defaults: The default of the field that contains the section. It may differ from the defaults in the schema.
            None: there is no such field, or it has no default.
    """
    yield f"## {f'`{path}`' if path else 'Top level'}\n"
    yield from (f"{_prose(text, keep_paragraphs=True)}\n" for text in (remark, schema["description"]) if text)
    prefix = f"{path}." if path else ""
    inner: dict[str, Mapping[str, Any]] = {}
    rows: list[tuple[str, ...]] = []
    for name, own_field in schema["properties"].items():
        field = {**own_field, "default": defaults[name]} if defaults and name in defaults else own_field
        if "$ref" in field or "oneOf" in field:
            inner[prefix + name] = field
        elif "$ref" in field.get("items", {}):
            rows.append((f"`{prefix}{name}`", _default(field), "list of sections", _prose(field["description"])))
            inner[f"{prefix}{name}[]"] = field["items"]
        else:
            rows.append((f"`{prefix}{name}`", _default(field), _values(field), _prose(field["description"])))
    if rows:
        yield _table(("Field", "Default", "Values", "Meaning"), rows)
    for inner_path, field in inner.items():
        if "oneOf" in field:
            yield from _kinds(inner_path, field, definitions)
        else:
            yield from _section(
                inner_path,
                _resolve(field, definitions),
                definitions,
                remark=field.get("description", ""),
                defaults=field.get("default"),
            )


def _kinds(path: str, field: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a section that has several kinds: a table of the kinds, and a table of their fields."""
    yield f"## `{path}`\n\n{_prose(field['description'])}\n"
    default = field["default"]["kind"]
    options = [_resolve(option, definitions) for option in field["oneOf"]]
    kinds = {option["properties"]["kind"]["const"]: option for option in options}
    names = {kind: f"`{kind}`{' (default)' if kind == default else ''}" for kind in kinds}
    yield _table(("`kind`", "Meaning"), [(names[kind], _prose(kinds[kind]["description"])) for kind in kinds])
    rows = [
        (f"`{path}.{name}`", f"`{kind}`", _default(inner), _values(inner), _prose(inner["description"]))
        for kind, option in kinds.items()
        for name, inner in option["properties"].items()
        if name != "kind"
    ]
    if rows:
        yield _table(("Field", "With `kind`", "Default", "Values", "Meaning"), rows)


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def _resolve(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    definition: Mapping[str, Any] = definitions[field["$ref"].rpartition("/")[2]]
    return definition


def _default(field: Mapping[str, Any]) -> str:
    return f"`{json.dumps(field['default'])}`" if "default" in field else "required"


def _values(field: Mapping[str, Any]) -> str:
    """Return a description of the values that a field accepts."""
    if "anyOf" in field:
        # Null comes first, because "null" after a list of bounds would read as one of them.
        options = sorted(field["anyOf"], key=lambda option: option.get("type") != "null")
        return " or ".join(_values(option) for option in options)
    if "const" in field or "enum" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    if field["type"] == "array":
        return f"list of: {_values(field['items'])}"
    if "pattern" in field:
        return f"string that matches `{field['pattern']}`"
    names = {"integer": "whole number", "boolean": "`true`, `false`", "string": "string", "null": "`null`"}
    bounds = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    limits = [f"{words} {field[bound]}" for bound, words in bounds.items() if bound in field]
    return " ".join([names.get(field["type"], field["type"]), ", ".join(limits)]).strip()


def _prose(description: str, *, keep_paragraphs: bool = False) -> str:
    """Return a docstring as Markdown, on one line unless its paragraphs are kept."""
    paragraphs = [" ".join(part.split()) for part in description.replace("``", "`").split("\n\n")]
    return ("\n\n" if keep_paragraphs else " ").join(paragraphs)


if __name__ == "__main__":
    sys.stdout.write(page(find_pipeline(sys.argv[1])))
