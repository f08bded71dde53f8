"""Stage: choose a setting for every ordered pair with a tuner, for a fraction of the cost of the full sweep."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

from peerkd.artifacts import keys, references
from peerkd.artifacts.store import Manifest
from peerkd.config.experiment import ExperimentConfig
from peerkd.stages.launched_stage import LaunchedStage
from peerkd.wording import plural

NAME: Final = "tune_pairs"
TRIALS_NAME: Final = "trials.parquet"
CHOICES_NAME: Final = "choices.parquet"
CURVE_NAME: Final = "curve.parquet"
FEATURES_NAME: Final = "features.parquet"
TUNER: Final = "peerkd 4"
"""The name of the tuner, which is part of the key.

Change it when the suggestions of the tuner change but the version of the program does not."""


def key(config: ExperimentConfig, peers: Manifest) -> str:
    """Return the key of the artifact with a tuned study, given the config and the pre-trained peers.

    The version of the program is part of the key, because the suggestions of a tuner depend on its code.
    """
    differences = keys.differences(
        config,
        fields=("seed", "augmentation", "distill", "sweep", "tune"),
        without=(
            "sweep.validate_every_epoch",  # The field has no effect on a tuned study.
            # The following fields are resolved below.
            *("sweep.selection_metric", "sweep.default_transfer_set", "tune.own_weight"),
        ),
    )
    return keys.key(
        NAME,
        {
            "peers": references.reference(peers),
            "config": differences,
            "own_weight": config.resolved_own_weight,
            "default_transfer_set": config.sweep.resolved_default_transfer_set,
            "tuner": TUNER,
            "peerkd": version("peerkd"),
        },
    )


def summary(metadata: Mapping[str, Any]) -> str:
    """Describe the artifact of this stage in a few words, given its metadata."""
    num_diverged = metadata["num_diverged"]
    diverged = f" ({num_diverged:,} diverged)" if num_diverged else ""
    return (
        f"{plural(metadata['num_trials'], 'trial')}{diverged} for {metadata['spent_share']:.2%} of the full sweep's "
        f"cost, fingerprint {metadata['fingerprint'][:16]}"
    )


STAGE: Final = LaunchedStage(
    name=NAME,
    read_config=ExperimentConfig.from_json,
    input_name="peers",
    key=key,
    summary=summary,
)
