"""A run with several seeds: the report on all of them, and the runs of the single seeds."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from peerkd.artifacts import references
from peerkd.artifacts.store import ArtifactStore
from peerkd.errors import ArtifactNotFoundError
from peerkd.excerpt import plain
from peerkd.stages.artifact_graph import read_manifests
from peerkd.stages.run_record import COMPARISON_KIND, NUM_DIGITS
from peerkd.stages.stored_runs import StoredRun, cost_of

_NAME: Final = re.compile(r"(?:.+-\d+-seeds-)?(?P<digits>[0-9a-f]+)")
"""The pattern of the name of a run with several seeds, and of the fingerprint of its report."""


class SeveralSeeds(NamedTuple):
    """A run with several seeds."""

    whole: StoredRun
    """The run whose report is the report on all seeds."""

    single: tuple[StoredRun, ...]
    """The run of each seed, in the order of the seeds."""


def find_several_seeds(text: str, runs: Sequence[StoredRun], store: ArtifactStore) -> SeveralSeeds | None:
    """Return the run with several seeds to which a user refers; None if the text names none.

    Args:
        text: The name of the run, or the key or the fingerprint of its report. The beginning of a name suffices if it
            contains a digit of the fingerprint, and that of a key if it contains the kind of the report.
        runs: All runs of the store.
        store: The artifact store.

    Raises:
        ValueError: If the text is the beginning of several names or keys, or looks like a key and fits none.
        ArtifactNotFoundError: If the store no longer has the run of a seed.
    """
    is_key, match = text.startswith(f"{COMPARISON_KIND}/"), _NAME.fullmatch(text)
    if not (is_key or match):
        return None
    begin = text if is_key or match is None else f"{COMPARISON_KIND}/{match['digits']}"
    keys = [key for key in store.keys() if key.startswith(begin)]  # noqa: SIM118 -- a store is no mapping
    is_whole = begin in keys
    if match and match["digits"] == text and not is_whole:
        # It may be the beginning of the fingerprint of another run.
        return None
    found = [_read(key, runs, store) for key in ([begin] if is_whole else keys)]
    if match and match["digits"] != text:
        found = [each for each in found if each.whole.name.startswith(text)]
    if len(found) > 1:
        names = ", ".join(each.whole.key for each in found)
        raise ValueError(f"RUN must name one run, got {plain(text)}, which fits {names}.")
    if is_key and not found:
        raise ValueError(f"RUN must be a run of the store, got {plain(text)}: it has no such report on several seeds.")
    return found[0] if found else None


def _read(key: str, runs: Sequence[StoredRun], store: ArtifactStore) -> SeveralSeeds:
    """Return a run with several seeds, given the key of its report, all runs and the store."""
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
