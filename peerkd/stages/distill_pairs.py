"""Stage: distil every ordered pair under every setting of the sweep."""

from collections.abc import Mapping
from typing import Any, Final

from peerkd.artifacts import keys
from peerkd.artifacts.store import Manifest
from peerkd.config.experiment import ExperimentConfig
from peerkd.stages.launched_stage import LaunchedStage
from peerkd.wording import plural

NAME: Final = "distill_pairs"
TABLE_NAME: Final = "trials.parquet"
FEATURES_NAME: Final = "features.parquet"
"""The name of the table of features, which exists if ``sweep.validate_every_epoch`` is set."""


def key(config: ExperimentConfig, peers: Manifest) -> str:
    """Return the key of the artifact with the trials of a sweep, given the config and the pre-trained peers."""
    differences = keys.differences(
        config,
        fields=("seed", "augmentation", "distill", "sweep"),
        # These fields affect only the choice among finished trials.
        without=("sweep.selection_metric", "sweep.default_transfer_set"),
    )
    return keys.key(NAME, {"peers": peers.fingerprint, "config": differences})


def summary(metadata: Mapping[str, Any]) -> str:
    """Describe the artifact of this stage in a few words, given its metadata."""
    num_diverged = metadata["num_diverged"]
    diverged = f"{num_diverged:,} of them diverged, " if num_diverged else ""
    return f"{plural(metadata['num_trials'], 'trial')}, {diverged}fingerprint {metadata['fingerprint'][:16]}"


STAGE: Final = LaunchedStage(
    name=NAME,
    config=ExperimentConfig,
    input_name="peers",
    key=key,
    summary=summary,
)
