"""What accuracies are measured on. It imports nothing, since keys of artifacts name them too."""

from typing import Final

SPLITS: Final = ("validation", "test")
"""For choosing, and for reporting what was chosen."""

SCOPES: Final = ("global", "own")
"""All classes as the data set has them, and the student's own class distribution."""
