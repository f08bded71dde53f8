"""The component ``tune_pairs``."""

from components.tune_pairs.component import tune_pairs

__all__ = ["tune_pairs"]
