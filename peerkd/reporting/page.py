"""What every page of HTML shares: the environment of its templates, and any config as tables of text."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import jinja2

from peerkd.config.strict import StrictConfig
from peerkd.reporting import wording


def render(template: str, view: Mapping[str, Any], *, filters: Mapping[str, Callable[..., str]]) -> str:
    """Return the page that a template makes of what it shows; an unknown name in the template is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("peerkd.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "points": lambda fraction: true_minus(wording.points(fraction)),
        "interval": lambda estimate: true_minus(wording.interval(estimate)),
        "magnitude": wording.magnitude,
        "percent": wording.percent,
        "number": wording.number,
        "minus": true_minus,
        **filters,
    }
    page: str = environment.get_template(template).render(view)
    return page


def true_minus(text: str) -> str:
    """Write a true minus, as wide as a plus, before negative numbers, so that columns of gains stay aligned."""
    return re.sub(r"(?<!\w)-(?=\d)", "\N{MINUS SIGN}", text)


def config_sections(config: StrictConfig) -> dict[str, dict[str, str]]:
    """Return every setting as text by section; a section inside another comes after it, as ``distill.conventions``."""
    return _sections(config.model_dump(mode="json"), "experiment")


def _sections(values: Mapping[str, Any], title: str, path: str = "") -> dict[str, dict[str, str]]:
    own = {name: _text(value) for name, value in values.items() if not isinstance(value, dict)}
    sections = {title: own}
    for name, value in values.items():
        if isinstance(value, dict):
            sections |= _sections(value, path + name, f"{path}{name}.")
    return sections


def _text(value: object) -> str:
    match value:
        case None:
            return "not set"
        case bool():
            return "yes" if value else "no"
        case float():
            return wording.number(value)
        case list():
            return ", ".join(map(_text, value))
    return str(value)
