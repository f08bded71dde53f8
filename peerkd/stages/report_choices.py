"""Stage: report who should teach whom under which setting, as a page and as tables."""

from typing import Final

from peerkd.stages.build_report import keys_of_steps
from peerkd.stages.report_stage import ReportStage

NAME: Final = "report_choices"

STAGE: Final = ReportStage(name=NAME, input_name="improved", table_name="plan.csv", keys_of_steps=keys_of_steps)
