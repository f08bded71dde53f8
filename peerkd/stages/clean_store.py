"""The deletions of ``peerkd clean``: chosen runs, and everything in a store that no run needs.

An artifact is needed if it belongs to a run that is kept, if such a run starts from it, or if it is the last note on
such a run. Everything else is deleted: artifacts that only the chosen runs need, artifacts without a run, damaged
artifacts that were set aside, and the workspaces of artifacts that exist.

A store in S3 has no locks. There, the time of the last change shows what a run may still need. An unfinished run may be
in progress if one of its artifacts or its workspace has changed within the last hour. An artifact or a workspace that
has changed within the last day may belong to a run that has no record yet.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any, Final

from peerkd.artifacts.cleaning import StoreCleaner, split_leftover
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.errors import WorkspaceBusyError
from peerkd.launch.invocations.files import Invocation, delete_invocations
from peerkd.launch.invocations.status import RUNNING
from peerkd.stages.artifact_graph import chain_of, inputs_of, read_manifests
from peerkd.stages.launched_stage import key_of_accounts
from peerkd.stages.notes import latest_notes
from peerkd.stages.run_record import COMPARISON_KIND
from peerkd.stages.stored_runs import StoredRun
from peerkd.wording import format_duration

_ACTIVE_SECONDS: Final = 3600.0
"""An unfinished run may be in progress if less time than this has passed since its files last changed.

A worker writes its heartbeat every ten seconds. The limit is much higher, because an upload may take long and the
clocks of machines may differ.
"""

RECENT_SECONDS: Final = 24 * 3600.0
"""The time after their last change for which artifacts and workspaces without a run are kept in a store without
locks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cleaning:
    """What would be deleted from a store."""

    cleaner: StoreCleaner
    runs: Sequence[StoredRun]
    """The runs that are deleted."""

    kept: Sequence[StoredRun]
    """The runs that are kept."""

    artifacts: Mapping[str, int]
    """The size of each artifact that is deleted, in bytes, by key. An artifact precedes the artifacts from which it was
    computed."""

    leftovers: Mapping[str, int]
    """The size of each folder with unfinished work or a damaged artifact, by its name in the store."""

    recent: Sequence[str]
    """The names of the artifacts and workspaces that no known run needs, and that are kept because they changed
    recently. Empty for a store with locks."""

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
        """Return the names and the sizes of what would be deleted or kept, as JSON values."""
        return {
            "runs": [run.name for run in self.runs],
            "kept_runs": [run.name for run in self.kept],
            "artifacts": dict(self.artifacts),
            "leftovers": dict(self.leftovers),
            "recent": list(self.recent),
            "invocations": [invocation.folder.name for invocation in self.invocations],
            "num_bytes": self.num_bytes,
        }

    def delete(self) -> None:
        """Delete the artifacts, the leftovers and the invocations that this object names."""
        self.cleaner.delete_artifacts(self.artifacts)
        self.cleaner.delete_leftovers(self.leftovers)
        delete_invocations(self.invocations)


def plan_cleaning(
    cleaner: StoreCleaner,
    store: ArtifactStore,
    runs: Sequence[StoredRun],
    *,
    chosen: Sequence[StoredRun],
    has_unfinished: bool,
    invocations: Sequence[Invocation] = (),
) -> Cleaning:
    """Return what would be deleted from a store.

    Args:
        cleaner: The object that deletes parts of the store.
        store: The store.
        runs: All runs of the store.
        chosen: The runs to delete.
        has_unfinished: Whether to delete all unfinished runs as well, except runs that may be in progress, and all
            workspaces that belong to no known run.
        invocations: The invocations of the runs of the store.

    Raises:
        ArtifactCorruptError: If a manifest is damaged, because it is then unknown what its artifact was computed from.
        WorkspaceBusyError: If a chosen run may be in progress.
    """
    active = {run.key for run in runs if _is_active(run, cleaner)}
    for run in chosen:
        if run.key in active:
            raise WorkspaceBusyError(
                f"{run.name} may be in progress, because something of it has changed within the last "
                f"{format_duration(_ACTIVE_SECONDS)}; delete it later, if it has been ended."
            )
    deleted = [run for run in runs if run in chosen or (has_unfinished and not (run.is_finished or run.key in active))]
    gone = {run.key for run in deleted}
    kept = [run for run in runs if run.key not in gone]
    manifests = read_manifests(store)
    needed = _needed(kept, manifests)
    # What the deleted runs need goes whatever its age.
    of_deleted = {key for run in deleted for key in (*run.artifacts, *map(key_of_accounts, run.artifacts))}
    recent = [key for key in manifests if key not in needed | of_deleted and _is_recent(key, cleaner)]
    needed |= chain_of([manifests[key] for key in recent], manifests).keys()
    unneeded = {key: manifest for key, manifest in manifests.items() if key not in needed}
    order = TopologicalSorter(
        {key: [each for each in inputs_of(manifest) if each in unneeded] for key, manifest in unneeded.items()}
    )
    leftovers = _leftovers(cleaner, deleted, kept, manifests, has_unfinished=has_unfinished)
    next_of_deleted = {run.next_key for run in deleted}
    recent_leftovers = [
        name for name in leftovers if split_leftover(name)[0] not in next_of_deleted and _is_recent(name, cleaner)
    ]
    return Cleaning(
        cleaner=cleaner,
        runs=deleted,
        kept=kept,
        artifacts={key: _num_bytes(unneeded[key]) for key in reversed(list(order.static_order()))},
        leftovers={name: num_bytes for name, num_bytes in leftovers.items() if name not in recent_leftovers},
        recent=[*recent, *recent_leftovers],
        invocations=[
            invocation
            for invocation in invocations
            if invocation.state != RUNNING and invocation.run_key not in {run.key for run in kept}
        ],
    )


def _is_active(run: StoredRun, cleaner: StoreCleaner) -> bool:
    """Return whether a run may still be in progress, judged by when its files last changed.

    The result is always False in a store with locks, because the locks show whether a run is in progress.
    """
    if run.is_finished:
        return False
    names = [*run.artifacts, *([f"{run.next_key}.partial"] if run.next_key else [])]
    ages = [cleaner.seconds_since_change(name) for name in names]
    return any(age is not None and age < _ACTIVE_SECONDS for age in ages)


def _is_recent(name: str, cleaner: StoreCleaner) -> bool:
    age = cleaner.seconds_since_change(name)
    return age is not None and age < RECENT_SECONDS


def _needed(kept: Iterable[StoredRun], manifests: Mapping[str, Manifest]) -> set[str]:
    """Return the keys of the artifacts that kept runs need: those that they consist of or start from, and their notes.

    The accounts of these artifacts are needed too.

    A report on several studies is needed if the reports of all these studies are needed.
    """
    needed: set[str] = set()
    notes = latest_notes(manifests)
    for run in kept:
        record = manifests.get(run.key)
        named = [each["key"] for each in record.metadata.get("starts_from", ())] if record else []
        named += [notes[run.key].key] if run.key in notes else []
        needed |= {*run.artifacts, *chain_of([manifests[key] for key in named if key in manifests], manifests)}
    for key, manifest in manifests.items():
        if key.startswith(f"{COMPARISON_KIND}/") and needed.issuperset(inputs_of(manifest)):
            needed.add(key)
    return needed | {key_of_accounts(key) for key in needed}


def _leftovers(
    cleaner: StoreCleaner,
    deleted: Sequence[StoredRun],
    kept: Sequence[StoredRun],
    manifests: Mapping[str, Manifest],
    *,
    has_unfinished: bool,
) -> dict[str, int]:
    needed = {run.next_key for run in kept}
    unneeded = {run.next_key for run in deleted} | manifests.keys()
    found = {}
    for name, num_bytes in cleaner.leftovers().items():
        key, kind = split_leftover(name)
        # A workspace that belongs to no known run may be one of an older version, so it goes only if it is asked for.
        if kind != "partial" or (key not in needed and (key in unneeded or has_unfinished)):
            found[name] = num_bytes
    return found


def _num_bytes(manifest: Manifest) -> int:
    return sum(entry.num_bytes for entry in manifest.files.values())
