"""The component ``train_and_report``."""

from components.train_and_report.component import train_and_report

__all__ = ["train_and_report"]
