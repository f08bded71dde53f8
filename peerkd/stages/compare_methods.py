"""Stage: compare the methods, as a page and as tables."""

from typing import Final

from peerkd.stages import train_pcl
from peerkd.stages.report_stage import ReportStage

NAME: Final = "compare_methods"

STAGE: Final = ReportStage(
    name=NAME,
    input_name="runs",
    table_name="methods.csv",
    keys_of_steps=lambda runs: {train_pcl.NAME: runs.key},
)
