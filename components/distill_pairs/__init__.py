"""The component ``distill_pairs``."""

from components.distill_pairs.component import distill_pairs

__all__ = ["distill_pairs"]
