"""The error of a config that breaks rules, with a sentence for each rule: the field, the rule, the value and advice."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeGuard

from pydantic import ValidationError

from peerkd.config.rule_texts import rule_text
from peerkd.config.unknown_keys import Remark, Schema, innermost, suggested_fields, unknown_key_text
from peerkd.excerpt import plain, sentence

_MAX_SHOWN: Final = 20
"""The largest number of sentences in one message."""


class BrokenRule(NamedTuple):
    """A rule of a config that the input breaks."""

    text: str
    """The sentence about the rule."""

    path: tuple[str | int, ...] = ()
    """The keys, and the positions in lists, that lead to the value or to the key that is wrong. Empty: the sentence is
    about the whole config, or about something that is no field."""

    is_about_key: bool = False
    """Whether the key itself is wrong, rather than its value."""

    def within(self, source: str) -> "BrokenRule":
        """Return the rule with a sentence that begins with the source of the config."""
        return self if self.text.startswith(source) else self._replace(text=f"{source}: {self.text}")


class ConfigError(ValueError):
    """A config that breaks one rule or several. The message is one sentence, or a line for each broken rule."""

    def __init__(self, broken: Sequence[BrokenRule]) -> None:
        self.broken = tuple(broken)
        texts = [rule.text for rule in broken]
        shown = [f"  {text}" for text in texts[:_MAX_SHOWN]]
        if len(texts) > _MAX_SHOWN:
            shown.append(f"  and {len(texts) - _MAX_SHOWN:,} more.")
        several = "\n".join([f"The config has {len(texts):,} errors:", *shown])
        super().__init__(texts[0] if len(texts) == 1 else several)

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are copied from their message by default, which is not the argument of this class.
        return ConfigError, (self.broken,)


def raise_all(texts: Iterable[str]) -> None:
    """Raise one error for all sentences about broken rules, if there are any.

    Raises:
        ConfigError: If there is at least one sentence.
    """
    broken = [BrokenRule(text) for text in texts]
    if broken:
        raise ConfigError(broken)


def broken_rules(error: ValidationError, values: Any, schema: Schema, *, remark: Remark) -> list[BrokenRule]:
    """Return the rules that a config breaks, in the order of the fields.

    A rule that is broken only because a key is misspelled is left out: if ``clases_per_peer`` is unknown, no message
    says that ``classes_per_peer`` is missing.

    Args:
        error: The error of pydantic.
        values: The values that pydantic validated.
        schema: The JSON schema of the config. Suggestions are taken from its names.
        remark: A function that returns a remark on an unknown key, such as the pipeline to which the key belongs.
    """
    rules: dict[str, BrokenRule] = {}
    missing: set[str] = set()
    misspelled: set[str] = set()
    for each in error.errors(include_url=False):
        path = tuple(_parts(each["loc"], values))
        field = dotted(path)
        if each["type"] == "extra_forbidden":
            value, section = _found(values, path), _found(values, path[:-1])
            kind = section.get("kind") if isinstance(section, dict) and each["loc"][:-1] != path[:-1] else None
            misspelled.update(suggested_fields(field, value, schema))
            path += (inner := innermost(field, value, schema))
            text = unknown_key_text(dotted(path), _found(values, path), None if inner else kind, schema, remark)
            rules[field] = BrokenRule(sentence(text), path, is_about_key=True)
            continue
        if each["type"] == "too_short" and len(each["input"]) >= each["ctx"]["min_length"]:
            # The entries that break rules do not count, and they have messages of their own.
            continue
        if each["type"] == "missing":
            missing.add(field)
        numbers = _found(values, path[:-1])
        if each["type"] == "string_type" and _are_numbers(numbers):
            # One mistake, and not one for each entry.
            path = path[:-1]
            field = dotted(path)
            example = plain(", ".join(f'"{number}"' for number in numbers[:2]))
            text = (
                f"{field} must be a list of text: put its numbers in quotes, as in [{example}], got {plain(numbers)}."
            )
        else:
            text = rule_text(each, field, schema)
        rules.setdefault(field, BrokenRule(sentence(text), path))
    return [rule for field, rule in rules.items() if not (field in missing and field in misspelled)]


def dotted(path: Iterable[str | int]) -> str:
    """Return a path as ``sweep.alphas[2]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _are_numbers(values: object) -> TypeGuard[list[int | float]]:
    """Return whether a value is a list of at least two numbers. True and false are no numbers."""
    return isinstance(values, list) and len(values) > 1 and all(type(each) in (int, float) for each in values)


def _parts(location: tuple[int | str, ...], values: object) -> Iterator[str | int]:
    """Yield the parts of a location of pydantic, without the tags that stand for kinds of sections."""
    for depth, part in enumerate(location):
        # A key that is missing is last, but so is the kind of a section whose fields do not fit together.
        is_last = depth == len(location) - 1
        if isinstance(values, dict) and part not in values and (not is_last or part == values.get("kind")):
            continue
        yield part
        if isinstance(values, dict):
            values = values.get(part)
        elif isinstance(values, list) and isinstance(part, int):
            values = values[part]


def _found(values: Any, path: Iterable[str | int]) -> Any:
    """Return the value at a path, or None if there is none."""
    for part in path:
        if isinstance(values, Mapping):
            values = values.get(part)
        elif isinstance(values, list) and isinstance(part, int):
            values = values[part]
        else:
            return None
    return values
