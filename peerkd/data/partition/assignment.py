"""The assignment of samples to peers, stored in a file that is verified when it is read."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self
from zipfile import BadZipFile

import numpy as np

from peerkd.arrays import IntArray
from peerkd.errors import ArtifactCorruptError

_FILE_NAME = "assignment.npz"


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """The samples of each peer, as ascending arrays of indices into one data set.

    The training sets of the peers, the public set and the global validation set are disjoint. A peer's own validation
    and test sets have the class distribution of the peer. They may overlap with the global sets and with the own sets
    of other peers.
    """

    train: tuple[IntArray, ...]
    """The training set of each peer."""

    own_validation: tuple[IntArray, ...]
    """A validation set for each peer, with the peer's class distribution."""

    own_test: tuple[IntArray, ...]
    """A test set for each peer, with the peer's class distribution."""

    validation: IntArray
    """The global validation set, with the class distribution of the whole data set."""

    test: IntArray
    """The global test set."""

    public: IntArray
    """A transfer set that belongs to no peer; empty unless the config requests one."""

    @property
    def num_peers(self) -> int:
        """The number of peers."""
        return len(self.train)

    @property
    def fingerprint(self) -> str:
        """A SHA-256 of all indices and the sets that they belong to, in hex."""
        digest = sha256()
        for name, array in self._arrays().items():
            digest.update(f"{name}:{len(array)}:".encode() + array.astype("<i8").tobytes())
        return digest.hexdigest()

    def save(self, folder: Path) -> None:
        """Write the assignment into ``folder``."""
        np.savez_compressed(
            folder / _FILE_NAME,
            allow_pickle=False,
            **{"fingerprint": np.array(self.fingerprint), "num_peers": np.array(self.num_peers), **self._arrays()},
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the assignment in ``folder`` and verify its fingerprint.

        Raises:
            ArtifactCorruptError: If the file is missing, damaged or altered.
        """
        try:
            # The file is opened here, because numpy does not close a damaged archive.
            with (folder / _FILE_NAME).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                values = dict(arrays)
            peers = range(int(values["num_peers"]))
            assignment = cls(
                train=tuple(values[f"train_{peer}"] for peer in peers),
                own_validation=tuple(values[f"own_validation_{peer}"] for peer in peers),
                own_test=tuple(values[f"own_test_{peer}"] for peer in peers),
                validation=values["validation"],
                test=values["test"],
                public=values["public"],
            )
            expected = str(values["fingerprint"])
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise ArtifactCorruptError(f"{folder / _FILE_NAME} does not contain an assignment.") from error
        if assignment.fingerprint != expected:
            raise ArtifactCorruptError(
                f"{folder / _FILE_NAME} must have the fingerprint {expected[:16]}, got {assignment.fingerprint[:16]}."
            )
        return assignment

    def _arrays(self) -> dict[str, IntArray]:
        arrays = {"validation": self.validation, "test": self.test, "public": self.public}
        for peer in range(self.num_peers):
            arrays[f"train_{peer}"] = self.train[peer]
            arrays[f"own_validation_{peer}"] = self.own_validation[peer]
            arrays[f"own_test_{peer}"] = self.own_test[peer]
        return arrays
