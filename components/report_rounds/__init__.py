"""The component ``report_rounds``."""

from components.report_rounds.component import report_rounds

__all__ = ["report_rounds"]
