"""What ``peerkd clean`` deletes: chosen runs, and what no run needs.

An artifact is needed if it belongs to a run that is kept, or if such a run starts from it. Everything else goes: the
artifacts of the chosen runs that no kept run shares, artifacts without a run, damaged artifacts that were set aside,
and the workspaces of artifacts that exist.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from peerkd.artifacts.cleaning import delete_artifacts, delete_leftovers, find_leftovers, split_leftover
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.launch.invocations.files import Invocation, delete_invocations, list_invocations
from peerkd.launch.invocations.status import RUNNING
from peerkd.stages.artifact_graph import chain_of, inputs_of, read_manifests
from peerkd.stages.launched_stage import key_of_accounts
from peerkd.stages.stored_runs import StoredRun


@dataclass(frozen=True, kw_only=True, slots=True)
class Cleaning:
    """What would be deleted from a store in a folder."""

    root: Path
    runs: Sequence[StoredRun]
    """The runs that are deleted."""

    kept: Sequence[StoredRun]
    """The runs that are kept."""

    artifacts: Mapping[str, int]
    """The size of each artifact that is deleted, in bytes, by key. An artifact precedes those it was computed from."""

    leftovers: Mapping[str, int]
    """The size of each folder with unfinished work or a damaged artifact, by its name in the store."""

    invocations: Sequence[Invocation]
    """The invocations of runs that no longer exist."""

    @property
    def num_bytes(self) -> int:
        """The size of all that is deleted, without the logs of invocations."""
        return sum(self.artifacts.values()) + sum(self.leftovers.values())

    @property
    def is_empty(self) -> bool:
        """Whether nothing would be deleted."""
        return not (self.artifacts or self.leftovers or self.invocations)

    def to_json(self) -> dict[str, Any]:
        """Return the facts as JSON values."""
        return {
            "runs": [run.name for run in self.runs],
            "kept_runs": [run.name for run in self.kept],
            "artifacts": dict(self.artifacts),
            "leftovers": dict(self.leftovers),
            "invocations": [invocation.folder.name for invocation in self.invocations],
            "num_bytes": self.num_bytes,
        }

    def delete(self) -> None:
        """Delete everything."""
        delete_artifacts(self.root, self.artifacts)
        delete_leftovers(self.root, self.leftovers)
        delete_invocations(self.invocations)


def plan_cleaning(
    root: Path, store: ArtifactStore, runs: Sequence[StoredRun], *, chosen: Sequence[StoredRun], has_unfinished: bool
) -> Cleaning:
    """Return what would be deleted from a store.

    Args:
        root: The folder of the store.
        store: The store.
        runs: All runs of the store.
        chosen: The runs to delete.
        has_unfinished: Whether the unfinished runs are among them. Workspaces that belong to no known run go with them.

    Raises:
        ArtifactCorruptError: If a manifest is damaged, because it is then unknown what its artifact was computed from.
    """
    deleted = [run for run in runs if run in chosen or (has_unfinished and not run.is_finished)]
    gone = {run.key for run in deleted}
    kept = [run for run in runs if run.key not in gone]
    manifests = read_manifests(store)
    needed = _needed(kept, manifests)
    unneeded = {key: manifest for key, manifest in manifests.items() if key not in needed}
    order = TopologicalSorter(
        {key: [each for each in inputs_of(manifest) if each in unneeded] for key, manifest in unneeded.items()}
    )
    invocations = [
        invocation
        for invocation in list_invocations(root)
        if invocation.state != RUNNING and invocation.run_key not in {run.key for run in kept}
    ]
    return Cleaning(
        root=root,
        runs=deleted,
        kept=kept,
        artifacts={key: _num_bytes(unneeded[key]) for key in reversed(list(order.static_order()))},
        leftovers=_leftovers(root, deleted, kept, manifests, has_unfinished=has_unfinished),
        invocations=invocations,
    )


def _needed(kept: Iterable[StoredRun], manifests: Mapping[str, Manifest]) -> set[str]:
    """Return the keys of the artifacts of the kept runs, of those from which they start, and of their accounts."""
    needed: set[str] = set()
    for run in kept:
        record = manifests.get(run.key)
        named = [each["key"] for each in record.metadata.get("starts_from", ())] if record else []
        needed |= {*run.artifacts, *chain_of([manifests[key] for key in named if key in manifests], manifests)}
    return needed | {key_of_accounts(key) for key in needed}


def _leftovers(
    root: Path,
    deleted: Sequence[StoredRun],
    kept: Sequence[StoredRun],
    manifests: Mapping[str, Manifest],
    *,
    has_unfinished: bool,
) -> dict[str, int]:
    needed = {run.next_key for run in kept}
    unneeded = {run.next_key for run in deleted} | manifests.keys()
    found = {}
    for name, num_bytes in find_leftovers(root).items():
        key, kind = split_leftover(name)
        # A workspace that belongs to no known run may be one of an older version, so it goes only if it is asked for.
        if kind != "partial" or (key not in needed and (key in unneeded or has_unfinished)):
            found[name] = num_bytes
    return found


def _num_bytes(manifest: Manifest) -> int:
    return sum(entry.num_bytes for entry in manifest.files.values())
