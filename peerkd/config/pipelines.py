"""The pipelines, each with its config class and its presets."""

from collections.abc import Callable, Mapping
from typing import Final, Generic, NamedTuple, TypeVar

from peerkd.config.collaborate import CollaborateConfig
from peerkd.config.collaborate_presets import COLLABORATE_PRESETS
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.json_text import read_json
from peerkd.config.pcl import PclConfig
from peerkd.config.pcl_presets import PCL_PRESETS
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.config.presets import PRESETS
from peerkd.config.strict import StrictConfig
from peerkd.suggestions import check_choice

Config_co = TypeVar("Config_co", bound=StrictConfig, covariant=True)


class Pipeline(NamedTuple, Generic[Config_co]):
    """The config class and the presets of a pipeline."""

    name: str
    """The name of the pipeline, as in ``peerkd run NAME``."""

    config: type[Config_co]
    presets: Mapping[str, Callable[[], Config_co]]
    """Functions that return the config of a preset, keyed by the name of the preset."""


DEFAULT_PRESET: Final = "digits"
"""The preset that is used if the user names none. Every pipeline has a preset of this name, which needs no files and
runs for about a minute."""

JOINTKD: Final = Pipeline("jointkd", ExperimentConfig, PRESETS)
PCL: Final = Pipeline("pcl", PclConfig, PCL_PRESETS)
COLLABORATE: Final = Pipeline("collaborate", CollaborateConfig, COLLABORATE_PRESETS)

PIPELINES: Final[Mapping[str, Pipeline[StrictConfig]]] = {
    pipeline.name: pipeline for pipeline in (JOINTKD, PCL, COLLABORATE)
}


def find_pipeline(name: str) -> Pipeline[StrictConfig]:
    """Return a pipeline by name.

    Raises:
        ValueError: If no pipeline has the name.
    """
    check_choice("pipeline", name, PIPELINES)
    return PIPELINES[name]


def pipeline_of(config: StrictConfig) -> Pipeline[StrictConfig]:
    """Return the pipeline that a config belongs to.

    Raises:
        TypeError: If the object is not a config of a pipeline.
    """
    for pipeline in PIPELINES.values():
        if type(config) is pipeline.config:
            return pipeline
    raise TypeError(f"config must be a config that peerkd.load returns, got {type(config).__name__}.")


def read_peer_experiment(text: str) -> PeerExperimentConfig:
    """Read the JSON of a config of any pipeline with peers, for the stages that these pipelines have in common.

    A config with rounds is recognised by its section ``rounds``, because ``to_json`` writes all sections.

    Raises:
        ValueError: If a key is unknown or repeated, or a value breaks a rule.
    """
    values = read_json(text)
    has_rounds = isinstance(values, Mapping) and "rounds" in values
    return CollaborateConfig.from_json(text) if has_rounds else ExperimentConfig.from_json(text)
