"""A run with several seeds: the report on all of them, and the runs of the single seeds."""

from collections.abc import Sequence
from typing import NamedTuple

from peerkd.artifacts import references
from peerkd.artifacts.store import ArtifactStore
from peerkd.errors import ArtifactNotFoundError
from peerkd.stages.artifact_graph import read_manifests
from peerkd.stages.run_record import COMPARISON_KIND, NUM_DIGITS
from peerkd.stages.stored_runs import StoredRun, cost_of


class SeveralSeeds(NamedTuple):
    """A run with several seeds."""

    whole: StoredRun
    """The run whose report is the report on all seeds."""

    single: tuple[StoredRun, ...]
    """The run of each seed, in the order of the seeds."""


def is_of_several_seeds(key: str) -> bool:
    """Return whether a key is that of a report on several seeds."""
    return key.startswith(f"{COMPARISON_KIND}/")


def find_several_seeds(key: str, runs: Sequence[StoredRun], store: ArtifactStore) -> SeveralSeeds:
    """Return a run with several seeds, given the key of its report.

    Args:
        key: The key of the report on several seeds.
        runs: All runs of the store.
        store: The artifact store.

    Raises:
        ArtifactNotFoundError: If the store does not have the report, or no longer has one of the runs.
    """
    report = store.find(key)
    if report is None:
        raise ArtifactNotFoundError(f"The store has no report {key}.")
    by_key = {run.key: run for run in runs}
    reports = [references.follow(each, store) for each in report.metadata["inputs"]["reports"]]
    missing = [each.metadata["run"] for each in reports if each.metadata["run"] not in by_key]
    if missing:
        raise ArtifactNotFoundError(f"The store no longer has the run {missing[0]} of the report {key}.")
    single = tuple(by_key[each.metadata["run"]] for each in reports)
    first = single[0]
    artifacts = {each.key: each for run in single for each in run.artifacts.values()} | {key: report}
    whole = StoredRun(
        # The name of a run ends with the beginning of its fingerprint.
        name=f"{first.name.rpartition('-')[0]}-{len(single)}-seeds-{key.partition('/')[2][:NUM_DIGITS]}",
        key=key,
        pipeline=first.pipeline,
        strategy=first.strategy,
        started_at=min(filter(None, (run.started_at for run in single)), default=None),
        finished_at=report.metadata.get("finished_at"),
        stages_left=(),
        headline=report.metadata["summary"],
        cost=cost_of(artifacts, read_manifests(store, notify=lambda _: None)),
        artifacts=artifacts,
        report=report,
    )
    return SeveralSeeds(whole, single)
