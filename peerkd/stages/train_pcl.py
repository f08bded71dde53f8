"""Stage: train every architecture by every method with every seed."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from peerkd.artifacts import keys, references
from peerkd.artifacts.store import Manifest
from peerkd.config.pcl import PclConfig
from peerkd.stages.launched_stage import LaunchedStage

NAME: Final = "train_pcl"
CURVES_NAME: Final = "curves.parquet"
NETWORKS_FOLDER: Final = "networks"


def key(config: PclConfig, split: Manifest) -> str:
    """Return the key of the artifact with the runs of a study, given the config and the split of the data set."""
    differences = keys.differences(
        config,
        fields=(
            *("seed", "num_seeds", "augmentation", "architectures", "methods", "collaboration", "training"),
            "evaluation",
        ),
        without=("evaluation.baseline",),
    )
    return keys.key(NAME, {"split": references.reference(split), "config": differences})


def summary(metadata: Mapping[str, Any]) -> str:
    """Describe the artifact of this stage in a few words, given its metadata."""
    num_diverged = num_diverged_runs(metadata["runs"])
    diverged = f"{num_diverged:,} of them diverged, " if num_diverged else ""
    return f"{len(metadata['runs']):,} runs, {diverged}fingerprint {metadata['fingerprint'][:16]}"


def num_diverged_runs(runs: Sequence[Mapping[str, Any]]) -> int:
    """Return the number of diverged runs, given the records of all runs."""
    return sum(not run["is_finite"] for run in runs)


def check_any_finite(runs: Sequence[Mapping[str, Any]], *, learning_rate: float) -> None:
    """Check that at least one run did not diverge.

    Args:
        runs: The records of all runs.
        learning_rate: The learning rate of the study, for the message.

    Raises:
        ValueError: If all runs diverged.
    """
    if num_diverged_runs(runs) == len(runs):
        raise ValueError(
            f"All {len(runs):,} runs diverged, but at least one must end in finite numbers: lower "
            f"training.learning_rate, which is {learning_rate:g}."
        )


STAGE: Final = LaunchedStage(
    name=NAME,
    read_config=PclConfig.from_json,
    input_name="split",
    key=key,
    summary=summary,
    num_processes=lambda config: config.training.num_processes,
)
