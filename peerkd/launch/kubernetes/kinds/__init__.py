"""The kinds of training jobs that peerkd can create. A new kind is one file in this package."""

from typing import Final

from peerkd.launch.kubernetes.kinds.kind import JobKind
from peerkd.launch.kubernetes.kinds.pytorchjob import PYTORCHJOB
from peerkd.launch.kubernetes.kinds.trainjob import TRAINJOB

__all__ = ["JOB_KINDS", "PYTORCHJOB", "TRAINJOB"]

JOB_KINDS: Final[tuple[JobKind, ...]] = (PYTORCHJOB, TRAINJOB)
"""All kinds of jobs that a launcher may have created. On a cluster that has several, the first is the default."""
