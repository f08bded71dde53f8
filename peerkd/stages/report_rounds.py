"""Stage: report the rounds of every method, as a page and as a table."""

from typing import Final

from peerkd.stages import collaborate_peers, pretrain_peers
from peerkd.stages.report_stage import ReportStage

NAME: Final = "report_rounds"
CLASSES_NAME: Final = "classes.csv"
TEACHERS_NAME: Final = "teachers.csv"
SETTINGS_NAME: Final = "settings.csv"
"""The table of the settings that peers tried, if peers choose settings."""

STAGE: Final = ReportStage(
    name=NAME,
    input_name="rounds",
    table_name="methods.csv",
    keys_of_steps=lambda rounds: {
        pretrain_peers.NAME: rounds.metadata["inputs"]["peers"]["key"],
        collaborate_peers.NAME: rounds.key,
    },
)
