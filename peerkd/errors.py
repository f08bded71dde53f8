"""What can go wrong outside the user's reach; what a user can fix is a ``ValueError``.

PeerKDError
├── ArtifactNotFoundError    a store has nothing under this key
├── ArtifactCorruptError     what a store holds is not what its manifest says
├── ClusterRefusedError      a cluster's API has answered no
├── ClusterUnavailableError  a cluster's API cannot be reached
├── DataSourceError          a data set on disk is missing, truncated or unreadable
├── MachineError             the machine that this runs on, its disk or its memory, fails
├── StageFailedError         a stage of a pipeline ended without its result
│   └── JobFailedError       because its job on a cluster failed
├── StoreUnavailableError    a store cannot be written or reached
├── WorkerDiedError          a worker process ended before its work
└── WorkspaceBusyError       another process is at work on the same artifact
"""


class PeerKDError(Exception):
    """The root of the tree: catch this to catch all of ours."""


class ArtifactNotFoundError(PeerKDError):
    """A store has nothing under this key."""


class ArtifactCorruptError(PeerKDError):
    """What a store holds is not what its manifest says."""


class ClusterRefusedError(PeerKDError):
    """A cluster's API has answered no."""

    def __init__(self, message: str, *, status: int, reason: str = "") -> None:
        super().__init__(message)
        self.status, self.reason = status, reason


class ClusterUnavailableError(PeerKDError):
    """A cluster's API cannot be reached; that may pass."""


class DataSourceError(PeerKDError):
    """A data set on disk is missing, truncated or unreadable."""


class MachineError(PeerKDError):
    """The machine that this runs on, its disk or its memory, fails."""

    def __init__(self, message: str, *, may_pass: bool = False) -> None:
        super().__init__(message)
        self.may_pass = may_pass
        """Whether another attempt, perhaps on another machine, may fare better."""


class StageFailedError(PeerKDError):
    """A stage of a pipeline ended without its result."""


class JobFailedError(StageFailedError):
    """A stage's job on a cluster failed; the message names the first failing worker, its reason and its last lines."""


class StoreUnavailableError(PeerKDError):
    """A store cannot be written or reached."""


class WorkerDiedError(PeerKDError):
    """A worker process ended before its work."""

    def __init__(self, message: str, *, was_killed: bool = False) -> None:
        super().__init__(message)
        self.was_killed = was_killed
        """Whether a signal ended it, as when memory runs out: another attempt may fare better."""


class WorkspaceBusyError(PeerKDError):
    """Another process is at work on the same artifact."""
