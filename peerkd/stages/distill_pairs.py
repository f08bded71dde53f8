"""Stage: distil every ordered pair under every setting of the sweep."""

from collections.abc import Mapping
from typing import Any, Final

from peerkd.artifacts import keys, references
from peerkd.artifacts.store import Manifest
from peerkd.config.experiment import ExperimentConfig
from peerkd.stages.launched_stage import LaunchedStage
from peerkd.wording import plural

NAME: Final = "distill_pairs"
TABLE_NAME: Final = "trials.parquet"
FEATURES_NAME: Final = "features.parquet"
"""The name of the table of features, which exists if ``sweep.validate_every_epoch`` is set."""

VERSION_OF_EXTENSION: Final = 1
"""The version of the rule by which an extension adds values to the grid. Raise it when the rule changes."""


def key(config: ExperimentConfig, peers: Manifest) -> str:
    """Return the key of the artifact with the trials of a config on the given peers."""
    # These fields affect only the choice among finished trials, on which the values that are added to a grid depend.
    fields_of_choice = ("sweep.selection_metric", "sweep.default_transfer_set")
    differences = keys.differences(
        config, fields=("seed", "augmentation", "distill", "sweep"), without=fields_of_choice
    )
    causes: dict[str, Any] = {"peers": references.reference(peers), "config": differences}
    if config.sweep.extend:
        choice = config.sweep.selection_metric, config.sweep.resolved_default_transfer_set
        causes |= {"choice": choice, "extension": VERSION_OF_EXTENSION}
    return keys.key(NAME, causes)


def summary(metadata: Mapping[str, Any]) -> str:
    """Describe the artifact of this stage in a few words, given its metadata."""
    num_diverged = metadata["num_diverged"]
    diverged = f"{num_diverged:,} of them diverged, " if num_diverged else ""
    return f"{plural(metadata['num_trials'], 'trial')}, {diverged}fingerprint {metadata['fingerprint'][:16]}"


STAGE: Final = LaunchedStage(
    name=NAME,
    read_config=ExperimentConfig.from_json,
    input_name="peers",
    key=key,
    summary=summary,
)
