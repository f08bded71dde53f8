"""The runs of a store, which ``peerkd runs`` and ``peerkd show`` present.

A run is found by its record. The keys of the artifacts of its stages follow from its config, so it is known exactly
which stages have not been done yet. Runs of earlier versions have no record. They are found by their reports or, if
they are unfinished, by their latest artifact.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from peerkd.artifacts import keys
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.cluster import resolve_cluster
from peerkd.config.pipelines import find_pipeline
from peerkd.config.strict import StrictConfig
from peerkd.errors import ArtifactCorruptError
from peerkd.excerpt import plain
from peerkd.launch.invocations.files import LATEST, Invocation
from peerkd.launch.invocations.status import FAILED, FINISHED, INTERRUPTED, RUNNING, STOPPED
from peerkd.reporting.run_headline import run_headline
from peerkd.results.cost import Account, Cost, run_cost
from peerkd.stages.artifact_graph import chain_of, inputs_of, read_manifests
from peerkd.stages.command import LAUNCHED, find_stage
from peerkd.stages.launched_stage import key_of_accounts
from peerkd.stages.notes import latest_notes, text_of
from peerkd.stages.run_record import EXPERIMENT_NAME, KIND, NUM_DIGITS, ROUTES, Route, find_route

_UNFINISHED: Final = "unfinished"
STATES: Final = (RUNNING, FINISHED, FAILED, INTERRUPTED, STOPPED, _UNFINISHED)
"""The states of a run."""

_NUM_LISTED: Final = 5
"""The maximum number of runs that a message lists."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredRun:
    """A run with everything that a store contains about it."""

    name: str
    """A name for people: the experiment, how its data are divided, and the beginning of a fingerprint."""

    key: str
    """The key of the record of the run. Without a record, it is the key of the report or of the latest artifact."""

    pipeline: str
    strategy: str | None
    """``sweep`` or ``tune``.

    It is None for a pipeline without strategies, and for a run without a record that has not reached the first stage
    that differs between the strategies."""

    started_at: str | None
    """The time when the run began, in UTC as ISO 8601 writes it. None if an earlier version did not record it."""

    finished_at: str | None
    """The time when the report was published. None if there is no report, or if an earlier version did not record the
    time."""

    stages_left: tuple[str, ...]
    """The stages whose results the store lacks, the report included. Empty for a finished run."""

    headline: str
    """The result in a phrase. Empty for an unfinished run."""

    cost: Cost | None
    """The resources of all jobs that computed the run's artifacts, even if other runs use these artifacts too.

    None if they are unknown."""

    artifacts: Mapping[str, Manifest]
    """The artifacts that the run needs, by key. The accounts of jobs are not among them."""

    report: Manifest | None

    next_key: str | None = None
    """The key of the artifact with which an unfinished run continues. None if it is finished, or if it is not known."""

    note: str = ""
    """The last note on the run; empty if there is none."""

    invocation: Invocation | None = None
    """The last invocation of the run, if its folder of ``--output`` is the store or the default."""

    @property
    def state(self) -> str:
        """The state: ``finished``, or the state of the last invocation, or ``unfinished`` if no invocation is known."""
        if self.invocation and self.invocation.state == RUNNING:
            return RUNNING
        if self.is_finished:
            return FINISHED
        # An invocation that has finished without this run's report belongs to a report that was deleted.
        return self.invocation.state if self.invocation and self.invocation.state != FINISHED else _UNFINISHED

    @property
    def is_finished(self) -> bool:
        """Whether the run has its report."""
        return self.report is not None

    @property
    def num_bytes(self) -> int:
        """The size of all files that the run needs, including those that it shares with other runs."""
        return sum(entry.num_bytes for manifest in self.artifacts.values() for entry in manifest.files.values())

    @property
    def metrics(self) -> Mapping[str, float] | None:
        """The headline numbers by name. None for an unfinished run, or if an earlier version wrote the report."""
        return self.report.metadata.get("metrics") if self.report else None

    def find(self, kind: str) -> Manifest | None:
        """Return the artifact of a kind, such as ``dataset``, among the artifacts of this run; None if there is none.

        If there are several, the one that was computed last is returned.
        """
        found = [manifest for key, manifest in self.artifacts.items() if key.partition("/")[0] == kind]
        return found[-1] if found else None

    def to_json(self) -> dict[str, Any]:
        """Return the run as JSON values."""
        return {
            "name": self.name,
            "key": self.key,
            "pipeline": self.pipeline,
            "strategy": self.strategy,
            "state": self.state,
            "stages_left": list(self.stages_left),
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "headline": self.headline,
            "worker_seconds": self.cost and self.cost.worker_seconds,
            "gpu_seconds": self.cost and self.cost.gpu_seconds,
            "cost": self.cost and self.cost.money,
            "num_bytes": self.num_bytes,
            "report": self.report and self.report.key,
            "metrics": self.metrics,
            "note": self.note,
        }


def list_runs(
    store: ArtifactStore, *, notify: Callable[[str], None], invocations: Sequence[Invocation] = ()
) -> list[StoredRun]:
    """Return the runs of a store, latest first. Runs without a recorded time come at the end.

    Args:
        store: The artifact store.
        notify: Called with a message if the manifest of an artifact is damaged; the artifact counts as missing.
        invocations: The invocations of the runs, the latest first.
    """
    manifests = read_manifests(store, notify=notify)
    runs = [_recorded(manifest, manifests, store) for key, manifest in manifests.items() if _kind_of(key) == KIND]
    shown = {run.report.key for run in runs if run.report}
    recorded = {run.key for run in runs}
    reports = {route.stages[-1]: route for route in ROUTES}
    for key, manifest in manifests.items():
        # A run whose prices have changed has several reports, of which one is shown.
        if _kind_of(key) in reports and key not in shown and manifest.metadata.get("run") not in recorded:
            runs.append(_reported(manifest, manifests, route=reports[_kind_of(key)]))
    runs += _without_report(manifests, known={key for run in runs for key in run.artifacts})
    runs.sort(key=lambda run: (run.started_at or run.finished_at or "", run.name), reverse=True)
    last_invocations = {invocation.run_key: invocation for invocation in reversed(invocations)}
    notes = latest_notes(manifests)
    return _with_distinct_names(
        [replace(run, invocation=last_invocations.get(run.key), note=text_of(notes.get(run.key))) for run in runs]
    )


def find_run(runs: Sequence[StoredRun], text: str) -> StoredRun:
    """Return the run to which a user refers.

    The text may be ``latest``, or the name, a key or a fingerprint of a run. The beginning of a name, key or
    fingerprint suffices if it fits only one run.

    Raises:
        ValueError: If no run or several runs match.
    """
    if not runs:
        raise ValueError(f"RUN must be a run of the store, which has none, got {plain(text)}.")
    if text == LATEST:
        return runs[0]
    exact = [run for run in runs if text in _names(run)]
    found = exact or [run for run in runs if any(name.startswith(text) for name in _names(run))]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"RUN must name one run, got {plain(text)}, which fits {_listed(run.name for run in found)}.")
    names = [run.name for run in runs]
    near = difflib.get_close_matches(text[:80], [LATEST, *names], n=1)
    meant = f"did you mean {near[0]}?" if near else f"the store has {_listed(names)}"
    raise ValueError(f"RUN must be a run of the store, got {plain(text)} ({meant}).")


def _names(run: StoredRun) -> list[str]:
    """Return the texts by which a user can name a run.

    They are the name of the run, and the keys and fingerprints of its record, of its report, and of the artifact with
    its trials or trainings.
    """
    names = [run.name, run.key, run.key.partition("/")[2]]
    if run.report:
        names += [run.report.key, run.report.key.partition("/")[2]]
    for kind in ("distill_pairs", "tune_pairs", "train_pcl", "collaborate_peers"):
        results = run.find(kind)
        if results:
            names += [results.key, results.key.partition("/")[2], results.metadata.get("fingerprint", results.key)]
    return names


def _listed(names: Iterable[str]) -> str:
    known = list(names)
    more = f" and {len(known) - _NUM_LISTED:,} more" if len(known) > _NUM_LISTED else ""
    return ", ".join(known[:_NUM_LISTED]) + more


def _kind_of(key: str) -> str:
    return key.partition("/")[0]


def _recorded(record: Manifest, manifests: Mapping[str, Manifest], store: ArtifactStore) -> StoredRun:
    """Return a run, given its record and all manifests of the store by key."""
    described = record.metadata
    route = find_route(described["pipeline"], described["strategy"])
    reports = [
        manifest
        for key, manifest in manifests.items()
        if _kind_of(key) == route.stages[-1] and manifest.metadata.get("run") == record.key
    ]
    left: tuple[str, ...] = ()
    last, next_key = record, None
    if not reports:
        last, left, reports, next_key = _follow_stages(record, manifests, store, route=route)
    report = max(reports, key=lambda manifest: manifest.metadata.get("finished_at", ""), default=None)
    chain = chain_of([record, last, *reports], manifests)
    return _describe(
        record.key,
        chain,
        manifests,
        route=route,
        name=f"{described['experiment']}-{described['skew']}",
        started_at=described["started_at"],
        report=report,
        stages_left=() if report else left,
        next_key=None if report else next_key,
    )


def _follow_stages(
    record: Manifest, manifests: Mapping[str, Manifest], store: ArtifactStore, *, route: Route
) -> tuple[Manifest, tuple[str, ...], list[Manifest], str | None]:
    """Find the artifacts of a run stage by stage, by the keys that a repeated run would compute.

    Returns:
        The artifact of the last stage that is done, the names of the stages that are left, the reports on this
            artifact that earlier versions of the program wrote, and the key of the next artifact, if it is known.
    """
    division = manifests.get(record.metadata["inputs"]["division"]["key"])
    if division is None:
        return record, route.stages, [], None
    last, left = division, list(route.stages[1:])
    try:
        folder = store.fetch(record.key)
        text = (folder / EXPERIMENT_NAME).read_text(encoding="utf-8")
        config = find_pipeline(route.pipeline).config.from_json(text)
    except (ValueError, ArtifactCorruptError):
        # Another version wrote the config, and this one refuses it.
        return last, tuple(left), [], None
    while left[0] in LAUNCHED:
        key = find_stage(left[0]).key(config, last)
        found = manifests.get(key)
        if found is None:
            return last, tuple(left), [], key
        last = found
        left.pop(0)
    reports = [each for each in manifests.values() if _is_report_of(each, last, config, route=route)]
    return last, tuple(left), reports, None


def _is_report_of(manifest: Manifest, results: Manifest, config: StrictConfig, *, route: Route) -> bool:
    """Return whether an artifact is a report of an earlier version of the program on the given results and config.

    Such a report does not name its run.
    """
    if _kind_of(manifest.key) != route.stages[-1] or "run" in manifest.metadata:
        return False
    summary = manifest.metadata.get("summary")
    found = summary.get("config_fingerprint") if isinstance(summary, Mapping) else None
    ours = keys.fingerprint(keys.differences(config, without=("compute",)))
    return results.key in inputs_of(manifest) and found in (None, ours)


def _reported(report: Manifest, manifests: Mapping[str, Manifest], *, route: Route) -> StoredRun:
    """Return a run without a record, given its report and all manifests of the store by key."""
    summary = report.metadata.get("summary")
    name = route.pipeline
    if isinstance(summary, str):
        name = summary.partition(":")[0]
    elif isinstance(summary, Mapping):
        name = next((str(summary[field]) for field in ("experiment", "study") if field in summary), name)
    return _describe(report.key, chain_of([report], manifests), manifests, route=route, name=name, report=report)


def _without_report(manifests: Mapping[str, Manifest], *, known: set[str]) -> Iterator[StoredRun]:
    """Yield an unfinished run without a record for each artifact that nothing else in the store needs.

    Args:
        manifests: All manifests of the store, by key.
        known: The keys of the artifacts of all runs with a record or a report.
    """
    needed = known | {key for manifest in manifests.values() for key in inputs_of(manifest)}
    for key, manifest in manifests.items():
        routes = [route for route in ROUTES if _kind_of(key) in route.stages]
        if key in needed or not routes:
            continue
        chain = chain_of([manifest], manifests)
        present = {_kind_of(each) for each in chain}
        # The better peers of both strategies come from the same stage, and the trials before them differ.
        route = max(routes, key=lambda each: len(present.intersection(each.stages)))
        data = next((each for each in chain.values() if _kind_of(each.key) == "dataset"), None)
        strategy = route.strategy if present.intersection(("distill_pairs", "tune_pairs")) else None
        yield replace(
            _describe(
                key,
                chain,
                manifests,
                route=route,
                name=str(data.metadata.get("name", route.pipeline)) if data else route.pipeline,
                stages_left=route.stages[route.stages.index(_kind_of(key)) + 1 :],
            ),
            strategy=strategy,
        )


def _describe(
    key: str,
    chain: Mapping[str, Manifest],
    manifests: Mapping[str, Manifest],
    *,
    route: Route,
    name: str,
    started_at: str | None = None,
    report: Manifest | None = None,
    stages_left: tuple[str, ...] = (),
    next_key: str | None = None,
) -> StoredRun:
    return StoredRun(
        name=name,
        key=key,
        pipeline=route.pipeline,
        strategy=route.strategy,
        started_at=started_at,
        finished_at=report.metadata.get("finished_at") if report else None,
        stages_left=stages_left,
        next_key=next_key,
        headline=run_headline(report.metadata.get("summary")) if report else "",
        cost=cost_of(chain, manifests),
        artifacts=chain,
        report=report,
    )


def cost_of(chain: Iterable[str], manifests: Mapping[str, Manifest]) -> Cost | None:
    """Return the resources of all jobs that computed artifacts, or None if they are unknown.

    Args:
        chain: The keys of the artifacts.
        manifests: All manifests of the store, by key.
    """
    accounts = [
        Account(
            step=_kind_of(key),
            seconds=job["seconds"],
            num_workers=job["num_workers"],
            gpus_per_worker=job["gpus_per_worker"],
        )
        for key in chain
        if key_of_accounts(key) in manifests
        for job in manifests[key_of_accounts(key)].metadata["jobs"]
    ]
    return run_cost(accounts, prices=resolve_cluster().prices).total if accounts else None


def _with_distinct_names(runs: Sequence[StoredRun]) -> list[StoredRun]:
    """Return the runs with names that are all different.

    The beginning of a run's fingerprint is added to its name, with as many digits as the runs need to differ.
    """
    named = []
    for run in runs:
        digits = run.key.partition("/")[2]
        others = [other.key.partition("/")[2] for other in runs if other.name == run.name and other is not run]
        num = NUM_DIGITS
        while num < len(digits) and any(other[:num] == digits[:num] for other in others):
            num += 1
        named.append(replace(run, name=f"{run.name}-{digits[:num]}"))
    return named
