"""The component ``partition_data``."""

from components.partition_data.component import partition_data

__all__ = ["partition_data"]
