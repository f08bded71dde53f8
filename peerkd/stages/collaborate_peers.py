"""Stage: let the peers train in rounds and exchange what they learned, by every method."""

from collections.abc import Mapping
from typing import Any, Final

from peerkd.artifacts import keys, references
from peerkd.artifacts.store import Manifest
from peerkd.config.collaborate import CollaborateConfig
from peerkd.rounds import ROUND_METHODS
from peerkd.stages.launched_stage import LaunchedStage
from peerkd.wording import plural

NAME: Final = "collaborate_peers"
TABLE_NAME: Final = "rounds.parquet"


def key(config: CollaborateConfig, peers: Manifest) -> str:
    """Return the key of the artifact with the rounds, given the config and the pre-trained peers."""
    differences = keys.differences(config, fields=("seed", "augmentation", "rounds"))
    return keys.key(NAME, {"peers": references.reference(peers), "config": differences})


def summary(metadata: Mapping[str, Any]) -> str:
    """Describe the artifact of this stage in a few words, given its metadata."""
    reached = ", ".join(f"{ROUND_METHODS[name].title} {value:.1%}" for name, value in metadata["reached"].items())
    rounds = plural(metadata["num_rounds"], "round")
    return f"{rounds}, mean test accuracy: {reached}; fingerprint {metadata['fingerprint'][:16]}"


STAGE: Final = LaunchedStage(
    name=NAME,
    read_config=CollaborateConfig.from_json,
    input_name="peers",
    key=key,
    summary=summary,
)
