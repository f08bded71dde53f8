"""The component ``report_choices``."""

from components.report_choices.component import report_choices

__all__ = ["report_choices"]
