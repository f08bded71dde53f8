"""The errors that a user cannot fix by other input. An error that a user can fix is a ``ValueError``.

PeerKDError
├── ArtifactNotFoundError    a store has no artifact under a key
├── ArtifactCorruptError     the contents of an artifact do not match its manifest
├── ClusterRefusedError      a cluster's API has refused a request
├── ClusterUnavailableError  a cluster's API cannot be reached
├── DataSourceError          a data set on disk is missing, truncated or unreadable
├── ExportDiffersError       a network that was written to a file gives other logits than before
├── MachineError             this machine, its disk or its memory has failed
├── StageFailedError         a stage of a pipeline ended without its result
│   └── JobFailedError       the job of a stage on a cluster failed
├── StoreUnavailableError    a store cannot be written or reached
├── WorkerDiedError          a process ended before its work was finished
└── WorkspaceBusyError       another process is working on the same artifact
"""


class PeerKDError(Exception):
    """The base class of all errors of peerkd."""


class ArtifactNotFoundError(PeerKDError):
    """A store has no artifact under a key."""


class ArtifactCorruptError(PeerKDError):
    """The contents of an artifact do not match its manifest."""


class ClusterRefusedError(PeerKDError):
    """A cluster's API has refused a request."""

    def __init__(self, message: str, *, status: int, reason: str = "") -> None:
        super().__init__(message)
        self.status, self.reason = status, reason


class ClusterUnavailableError(PeerKDError):
    """A cluster's API cannot be reached. A later attempt may succeed."""


class DataSourceError(PeerKDError):
    """A data set on disk is missing, truncated or unreadable."""


class ExportDiffersError(PeerKDError):
    """A network that was written to a file gives other logits than before."""


class MachineError(PeerKDError):
    """This machine, its disk or its memory has failed."""

    def __init__(self, message: str, *, may_pass: bool = False) -> None:
        super().__init__(message)
        self.may_pass = may_pass
        """Whether another attempt, perhaps on another machine, may succeed."""


class StageFailedError(PeerKDError):
    """A stage of a pipeline ended without its result."""


class JobFailedError(StageFailedError):
    """The job of a stage on a cluster failed. The message names the first worker that failed, and its last lines."""


class StoreUnavailableError(PeerKDError):
    """A store cannot be reached, or a read or write has failed."""


class WorkerDiedError(PeerKDError):
    """A process ended before its work was finished."""

    def __init__(self, message: str, *, was_killed: bool = False) -> None:
        super().__init__(message)
        self.was_killed = was_killed
        """Whether a signal ended the process, for instance because memory ran out. Another attempt may then succeed."""


class WorkspaceBusyError(PeerKDError):
    """Another process is working on the same artifact."""
