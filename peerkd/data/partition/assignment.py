"""Which sample is whose, on disk: written once, verified when read."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self
from zipfile import BadZipFile

import numpy as np

from peerkd.data.partition.arrays import IntArray
from peerkd.errors import ArtifactCorruptError

_FILE_NAME = "assignment.npz"


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """Indices into one data set, each array ascending.

    Training sets of the peers, the public set and the global validation set are disjoint. A peer's own validation
    and test sets have its class distribution; they may share samples with the global ones and with other peers'.
    """

    train: tuple[IntArray, ...]
    """Training set of each peer."""

    own_validation: tuple[IntArray, ...]
    own_test: tuple[IntArray, ...]

    validation: IntArray
    """Global: the class distribution of the whole data set."""

    test: IntArray
    """Global."""

    public: IntArray
    """A transfer set that belongs to no peer; empty unless one was asked for."""

    @property
    def num_peers(self) -> int:
        """Number of peers."""
        return len(self.train)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all indices and whose they are."""
        digest = sha256()
        for name, array in self._arrays().items():
            digest.update(f"{name}:{len(array)}:".encode() + array.astype("<i8").tobytes())
        return digest.hexdigest()

    def save(self, folder: Path) -> None:
        """Write the assignment into a folder."""
        np.savez_compressed(
            folder / _FILE_NAME,
            allow_pickle=False,
            **{"fingerprint": np.array(self.fingerprint), "num_peers": np.array(self.num_peers), **self._arrays()},
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read an assignment and verify its fingerprint.

        Raises:
            ArtifactCorruptError: If the file is missing, damaged, or not what was written.
        """
        try:
            # Opened here, because numpy leaves the file of a damaged archive open.
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
            raise ArtifactCorruptError(f"{folder / _FILE_NAME} does not hold a partition.") from error
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
