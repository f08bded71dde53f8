"""The frame of every HTML page: the environment of its templates, its sections, and the config as tables of text.

A page is self-contained: it uses neither the network nor the browser's storage, and can be opened from disk. Its texts
and tables are complete without a script. A script draws its charts. Kubeflow's interface shows a page in a frame with
``sandbox="allow-scripts"``. In this frame, storage, downloads and links inside the page do not work.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from peerkd.config.experiment import ExperimentConfig
from peerkd.config.strict import StrictConfig
from peerkd.reporting import figures, heatmaps, palette, wording
from peerkd.reporting.environment import new_environment
from peerkd.reporting.facts import ComparedFacts, ExperimentFacts, PclFacts, RoundsFacts
from peerkd.reporting.scripts import page_scripts
from peerkd.study.transfer_sets import TRANSFER_SETS
from peerkd.wording import format_bytes, plural


def render(
    template: str,
    view: Mapping[str, Any],
    *,
    facts: ExperimentFacts | PclFacts | RoundsFacts | ComparedFacts,
    sections: Mapping[str, str],
    section_folder: str,
    filters: Mapping[str, Callable[..., str]],
    more_scripts: Sequence[str] = (),
) -> str:
    """Return a page. A template that uses an unknown variable is an error.

    Args:
        template: File name of the template.
        view: The variables that only this template uses, by name.
        facts: The facts about the run.
        sections: Titles of the sections by id. The id is also the name of the section's template.
        section_folder: The folder of the templates of the sections.
        filters: The filters that only this template uses.
        more_scripts: The names of the scripts that only this template uses.
    """
    environment = new_environment()
    environment.filters |= {
        "points": lambda fraction: wording.true_minus(wording.points(fraction)),
        "interval": lambda estimate: wording.true_minus(wording.interval(estimate)),
        "magnitude": wording.magnitude,
        "percent": wording.percent,
        "number": wording.number,
        "value": wording.value,
        "bytes": format_bytes,
        "minus": wording.true_minus,
        "plural": plural,
        "step_class": palette.step_class,
        "xy_chart": figures.xy_chart,
        "panel": figures.panel,
        "interval_chart": figures.interval_chart,
        "bar_chart": figures.bar_chart,
        "network": figures.network,
        **filters,
    }
    shared = {
        "facts": facts,
        "config": facts.config,
        "config_json": facts.config.model_dump_json(indent=2),
        "config_sections": config_sections(facts.config),
        "sections": sections,
        "section_folder": section_folder,
        "num_steps": palette.NUM_STEPS,
        "palette_css": palette.css(),
        "line_css": palette.line_css(),
        "scripts": page_scripts(tuple(more_scripts)),
    }
    page: str = environment.get_template(template).render({**shared, **view})
    return page


def distillation_view(config: ExperimentConfig) -> dict[str, Any]:
    """Return the variables for the templates of sweeps and of tuned studies that describe the distillation.

    They are, among others, the formula of the loss, sentences on the conventions of the loss, and the transfer sets.
    """
    return {
        "loss_formula": wording.loss_formula(config.distill),
        "conventions": [
            *wording.conventions_in_words(config.distill, config.sweep.tried_transfer_sets),
            *wording.alternatives_in_words(config),
        ],
        "transfer_sets": TRANSFER_SETS,
        "no_alpha": heatmaps.NO_ALPHA,
        "without_labels": wording.without_labels(config.sweep.tried_transfer_sets),
        "default_setting": wording.default_setting(config.untuned_default),
        "grid": wording.grid_in_words(config),
    }


def config_sections(config: StrictConfig) -> dict[str, dict[str, str]]:
    """Return all settings as text by section. A nested section, such as ``distill.conventions``, follows its parent."""
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
        case dict():
            # An element of a list, such as a setting: what is not set is left out.
            return f"({', '.join(f'{name}: {_text(each)}' for name, each in value.items() if each is not None)})"
    return str(value)
