"""The kinds of training jobs that peerkd can create. A new kind is one file in this package."""

from typing import Final

from peerkd.launch.kubernetes.kinds.kind import JobKind
from peerkd.launch.kubernetes.kinds.pytorchjob import PYTORCHJOB

__all__ = ["JOB_KINDS", "PYTORCHJOB"]

JOB_KINDS: Final[tuple[JobKind, ...]] = (PYTORCHJOB,)
"""All kinds of jobs that a launcher may have created."""
