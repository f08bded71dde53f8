"""What can go wrong outside the user's reach; what a user can fix is a ``ValueError``.

PeerKDError
├── ArtifactNotFoundError    a store has nothing under this key
├── ArtifactCorruptError     what a store holds is not what its manifest says
├── DataSourceError          a data set on disk is missing, truncated or unreadable
├── StageFailedError         a stage of a pipeline ended without its result
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


class DataSourceError(PeerKDError):
    """A data set on disk is missing, truncated or unreadable."""


class StageFailedError(PeerKDError):
    """A stage of a pipeline ended without its result."""


class StoreUnavailableError(PeerKDError):
    """A store cannot be written or reached."""


class WorkerDiedError(PeerKDError):
    """A worker process ended before its work."""


class WorkspaceBusyError(PeerKDError):
    """Another process is at work on the same artifact."""
