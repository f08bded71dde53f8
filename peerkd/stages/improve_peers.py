"""Stage: publish the network that each student should have from now on, as a sweep or a tuned study advises."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

from peerkd.artifacts import keys, references
from peerkd.artifacts.store import Manifest
from peerkd.config.experiment import ExperimentConfig
from peerkd.stages import tune_pairs
from peerkd.stages.launched_stage import LaunchedStage

NAME: Final = "improve_peers"

_VERSION: Final = 2
"""The version of the format of the manifest and the model cards. It is part of the key.

Raise it when the format changes."""


def is_tuned(trials: Manifest) -> bool:
    """Return whether the trials belong to a tuned study; False if they belong to a full sweep."""
    return trials.key.partition("/")[0] == tune_pairs.NAME


def key(config: ExperimentConfig, trials: Manifest) -> str:
    """Return the key of the artifact with the better peers, given the config and the artifact with the trials.

    The version of the program is part of the key, because the model cards depend on the code of the program.
    """
    fields, without = ["seed", "augmentation", "distill", "sweep"], ["sweep.default_transfer_set"]  # Resolved below.
    if is_tuned(trials):
        fields.append("tune")
        without.append("sweep.validate_every_epoch")  # It has no effect on a tuned study.
    return keys.key(
        NAME,
        {
            "trials": references.reference_to_values(trials),
            "config": keys.differences(config, fields=fields, without=without),
            "default_transfer_set": config.sweep.resolved_default_transfer_set,
            "version": _VERSION,
            "peerkd": version("peerkd"),
        },
    )


def summary(metadata: Mapping[str, Any]) -> str:
    """Describe the artifact of this stage in a few words, given its metadata."""
    decisions = [student["decision"] for student in metadata["students"]]
    parts = {"distil": "distilled", "fine_tune": "trained on without a teacher", "leave": "left unchanged"}
    counted = ", ".join(f"{decisions.count(name)} {words}" for name, words in parts.items() if name in decisions)
    return f"{len(decisions)} students: {counted}"


STAGE: Final = LaunchedStage(
    name=NAME,
    read_config=ExperimentConfig.from_json,
    input_name="trials",
    key=key,
    summary=summary,
)
