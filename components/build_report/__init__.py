"""The component ``build_report``."""

from components.build_report.component import build_report

__all__ = ["build_report"]
