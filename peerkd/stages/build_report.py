"""Stage: report the results of a sweep, as a page and as tables."""

from typing import Final

from peerkd.artifacts.store import Manifest
from peerkd.stages import improve_peers, pretrain_peers
from peerkd.stages.report_stage import ReportStage

NAME: Final = "build_report"
PAIRS_NAME: Final = "pairs.csv"
"""The name of the table with a line for each ordered pair."""


def keys_of_steps(improved: Manifest) -> dict[str, str]:
    """Return the keys of the artifacts that count towards the cost of a sweep or a tuned study, by name of stage."""
    inputs = {name: reference["key"] for name, reference in improved.metadata["inputs"].items()}
    trials = inputs["trials"]
    return {
        pretrain_peers.NAME: inputs["peers"],
        trials.partition("/")[0]: trials,
        improve_peers.NAME: improved.key,
    }


STAGE: Final = ReportStage(name=NAME, input_name="improved", table_name=PAIRS_NAME, keys_of_steps=keys_of_steps)
