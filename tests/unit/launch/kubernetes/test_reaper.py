"""The tests move the clock from round to round; the cluster is in memory."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.client import WORKFLOWS, Resource
from peerkd.launch.kubernetes.kinds import PYTORCHJOB
from peerkd.launch.kubernetes.reaper import Reaper, run_reaper
from peerkd.launch.kubernetes.workflows import WorkflowReference, Workflows, how_ended, owner_of

PYTORCHJOBS = PYTORCHJOB.resource

LEASE_SECONDS = 60


class Memory:
    """The part of a cluster's API that the reaper uses."""

    namespace = "peerkd"

    def __init__(self) -> None:
        self.things: dict[Resource, dict[str, dict[str, Any]]] = {PYTORCHJOBS: {}, WORKFLOWS: {}}
        self.changes: list[tuple[str, dict[str, Any]] | Exception] = []
        self.error: Exception | None = None
        self.refused: dict[str, ClusterRefusedError] = {}
        self.deleted: list[str] = []
        self.num_gets = 0

    def list(self, resource: Resource, *, labels: Any) -> dict[str, Any]:
        self._may("list", resource)
        assert labels == (names.OUR_LABELS if resource == PYTORCHJOBS else {"workflows.argoproj.io/completed!": "true"})
        there = self.things[resource].values()
        unfinished = [each for each in there if resource != WORKFLOWS or not each.get("labelled")]
        return {"items": unfinished, "metadata": {"resourceVersion": "7"}}

    def watch(self, resource: Resource, *, resource_version: str, **_: Any) -> Iterator[tuple[str, dict[str, Any]]]:
        assert (resource, resource_version) == (WORKFLOWS, "7")
        while self.changes:
            change = self.changes.pop(0)
            if isinstance(change, Exception):
                raise change
            yield change

    def get(self, resource: Resource, name: str, *, is_certain: bool = False) -> dict[str, Any] | None:
        assert is_certain, "a job is deleted on the word of an answer that may not be the API's"
        self._may("get", resource)
        self.num_gets += 1
        return self.things[resource].get(name)

    def delete(self, resource: Resource, name: str, *, uid: str | None = None) -> bool:
        self._may("delete", resource)
        there = self.things[resource].get(name)
        if there is None or there["metadata"]["uid"] != uid:
            return False
        del self.things[resource][name]
        self.deleted.append(name)
        return True

    def _may(self, verb: str, resource: Resource) -> None:
        if self.error:
            raise self.error
        if f"{verb} {resource.plural}" in self.refused:
            raise self.refused[f"{verb} {resource.plural}"]


class Scene:
    """A reaper, its cluster, and its clock."""

    def __init__(self) -> None:
        self.memory, self.logged, self.now = Memory(), list[str](), 1000.0
        self.workflows = Workflows(self.memory, log=self.logged.append)
        self.reaper = Reaper(self.memory, [PYTORCHJOB], self.workflows, clock=lambda: self.now, log=self.logged.append)

    def job(self, name: str, *, lease: str | None = None, workflow: str | None = None, **more: Any) -> dict[str, Any]:
        metadata: dict[str, Any] = {"name": name, "uid": f"uid-{name}", "annotations": {}}
        if lease is not None:
            metadata["annotations"] = {
                names.ANNOTATION_LEASE_RENEWED: lease,
                names.ANNOTATION_LEASE_SECONDS: str(LEASE_SECONDS),
            }
        if workflow is not None:
            metadata["ownerReferences"] = [{"kind": "Workflow", "name": workflow, "uid": f"uid-{workflow}"}]
        self.memory.things[PYTORCHJOBS][name] = {"metadata": metadata, **more}
        return self.memory.things[PYTORCHJOBS][name]

    def workflow(self, name: str, **more: Any) -> dict[str, Any]:
        workflow = {"metadata": {"name": name, "uid": f"uid-{name}"}, "spec": {}, "status": {}, **more}
        self.memory.things[WORKFLOWS][name] = workflow
        return workflow

    def renew(self, name: str) -> None:
        self.memory.things[PYTORCHJOBS][name]["metadata"]["annotations"][names.ANNOTATION_LEASE_RENEWED] += "+"

    def rounds(self, seconds: float, *, step: float = 3.0) -> None:
        for _ in range(int(seconds / step)):
            self.now += step
            self.reaper.run_once()

    @property
    def deleted(self) -> list[str]:
        return self.memory.deleted


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_job_whose_lease_is_not_renewed_is_deleted_and_one_whose_is_stays(scene: Scene) -> None:
    scene.job("left", lease="10:00")
    scene.job("held", lease="10:00")
    scene.reaper.run_once()
    for _ in range(3):
        scene.rounds(21)
        scene.renew("held")
    assert scene.deleted == ["left"]
    assert scene.logged == ["deleted left, because its lease has not been renewed for 63 s."]
    scene.rounds(60)
    assert scene.deleted == ["left"]


def test_a_lease_is_measured_on_the_reapers_own_clock(scene: Scene) -> None:
    """The clock of a launcher may be years behind."""
    scene.job("old", lease="1970-01-01T00:00:00Z")
    scene.rounds(60)
    assert scene.deleted == []


def test_a_job_without_a_lease_stays(scene: Scene) -> None:
    scene.job("other")
    scene.rounds(600)
    assert scene.deleted == []


@pytest.mark.parametrize("condition", ["Succeeded", "Failed"])
def test_a_job_that_has_ended_is_kept_for_inspection(scene: Scene, condition: str) -> None:
    scene.job("ended", lease="1", status={"conditions": [{"type": condition, "status": "True"}]})
    scene.rounds(600)
    assert scene.deleted == []


@pytest.mark.parametrize("condition", ["Succeeded", "Failed"])
def test_a_job_that_has_ended_goes_when_its_time_and_the_operators_are_over(scene: Scene, condition: str) -> None:
    """The operator deletes jobs that succeeded, but forgets jobs that failed with restartPolicy ExitCode."""
    ended = {"conditions": [{"type": condition, "status": "True"}]}
    scene.job("ended", status=ended, spec={"runPolicy": {"ttlSecondsAfterFinished": 600}})
    scene.rounds(720)
    assert scene.deleted == []
    scene.rounds(6)
    assert scene.deleted == ["ended"]
    assert scene.logged == ["deleted ended, because it ended more than 600 s ago (ttl_seconds_after_finished)."]


def test_the_time_to_live_of_a_job_begins_at_its_end(scene: Scene) -> None:
    job = scene.job("job", spec={"runPolicy": {"ttlSecondsAfterFinished": 60}})
    scene.rounds(600)
    job["status"] = {"conditions": [{"type": "Failed", "status": "True"}]}
    scene.rounds(150)
    assert scene.deleted == []


def test_jobs_without_nodes_are_searched_for_from_time_to_time(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[list[str]] = []
    monkeypatch.setattr(scene.reaper._requeuer, "run_once", lambda jobs: looks.append([job.name for job in jobs]))
    scene.job("at work")
    scene.job("ended", status={"conditions": [{"type": "Succeeded", "status": "True"}]})
    scene.rounds(60)
    assert looks == [["at work"]] * 4


def test_a_job_that_failed_once_and_runs_again_is_not_at_its_end(scene: Scene) -> None:
    scene.job("again", lease="1", status={"conditions": [{"type": "Failed", "status": "False"}]})
    scene.rounds(90)
    assert scene.deleted == ["again"]


def test_an_outage_of_the_api_expires_no_lease(scene: Scene) -> None:
    scene.job("held", lease="1")
    scene.rounds(54)
    scene.memory.error = ClusterUnavailableError("The cluster's API cannot be reached.")
    scene.rounds(60)
    scene.memory.error = None
    scene.rounds(60)
    assert scene.deleted == []
    assert scene.logged == [
        "waiting: The cluster's API cannot be reached.",
        "the cluster answers again; all leases are observed from now on.",
    ]
    scene.rounds(9)
    assert scene.deleted == ["held"]


def test_a_delay_of_the_reaper_itself_expires_no_lease(scene: Scene) -> None:
    scene.job("held", lease="1")
    scene.rounds(30)
    scene.now += 3600
    scene.reaper.run_once()
    assert scene.deleted == []


def test_a_new_job_with_the_same_name_has_a_new_lease(scene: Scene) -> None:
    scene.job("job", lease="1")
    scene.rounds(57)
    scene.job("job", lease="1")["metadata"]["uid"] = "another"
    scene.rounds(57)
    assert scene.deleted == []


def test_only_the_job_that_was_seen_is_deleted(scene: Scene) -> None:
    job = scene.job("job", lease="1")
    scene.rounds(60)
    listed = scene.memory.list
    # Another job takes the name between the list and the deletion.
    scene.memory.list = lambda *args, **more: (  # type: ignore[method-assign]
        listed(*args, **more),
        scene.memory.things[PYTORCHJOBS].update(job={"metadata": {**job["metadata"], "uid": "another"}}),
    )[0]
    scene.rounds(3)
    assert scene.deleted == []
    assert scene.logged == []


@pytest.mark.parametrize(
    ("ended", "why"),
    [
        ({"spec": {"activeDeadlineSeconds": 0}}, "was terminated"),
        ({"status": {"phase": "Succeeded"}}, "has ended (Succeeded)"),
        ({"status": {"phase": "Failed"}}, "has ended (Failed)"),
        ({"status": {"phase": "Error"}}, "has ended (Error)"),
    ],
)
def test_the_job_of_an_ended_workflow_is_deleted_at_the_next_look_and_others_stay(
    scene: Scene, ended: dict[str, Any], why: str
) -> None:
    scene.workflow("running", status={"phase": "Running"})
    scene.workflow("over", status={"phase": "Running"})
    scene.job("kept", lease="1", workflow="running")
    scene.job("unwanted", lease="1", workflow="over")
    scene.workflows.follow_once()
    scene.reaper.run_once()
    assert scene.deleted == []
    scene.workflows.changed.clear()
    scene.memory.changes = [("MODIFIED", scene.workflow("over", **ended))]
    scene.workflows.follow_once()
    assert scene.workflows.changed.is_set()
    scene.reaper.run_once()
    assert scene.deleted == ["unwanted"]
    assert scene.logged == [f"deleted unwanted, because its Workflow over {why}."]


def test_a_workflow_that_left_the_selection_or_the_cluster_is_read_directly(scene: Scene) -> None:
    for name in ("gone", "finished", "alive"):
        scene.job(name, workflow=name)
        scene.workflow(name)
    del scene.memory.things[WORKFLOWS]["gone"]
    scene.workflow("finished", status={"phase": "Succeeded"}, labelled=True)
    scene.workflows.follow_once()
    scene.reaper.run_once()
    assert scene.deleted == ["gone", "finished"]
    assert scene.logged[0] == "deleted gone, because its Workflow gone no longer exists."


def test_a_workflow_of_the_same_name_is_another(scene: Scene) -> None:
    scene.job("job", workflow="run")
    scene.workflow("run")["metadata"]["uid"] = "another"
    scene.workflows.follow_once()
    scene.reaper.run_once()
    assert scene.deleted == ["job"]


def test_a_workflow_newer_than_what_is_known_keeps_its_job(scene: Scene) -> None:
    scene.workflows.follow_once()
    scene.workflow("new")
    scene.job("job", workflow="new")
    scene.reaper.run_once()
    assert scene.deleted == []


def test_running_workflows_are_not_read_one_by_one(scene: Scene) -> None:
    for number in range(50):
        scene.workflow(f"run-{number}")
        scene.job(f"job-{number}", workflow=f"run-{number}")
    scene.workflows.follow_once()
    scene.rounds(30)
    assert scene.memory.num_gets == 0


def test_a_run_that_was_retried_keeps_its_job(scene: Scene) -> None:
    scene.workflow("run", spec={"activeDeadlineSeconds": 0})
    scene.workflows.follow_once()
    scene.memory.changes = [("ADDED", scene.workflow("run", status={"phase": "Running"}))]
    scene.workflows.follow_once()
    scene.job("job", workflow="run")
    scene.reaper.run_once()
    assert scene.deleted == []


def test_without_argo_leases_are_watched_alone(scene: Scene) -> None:
    scene.memory.refused["list workflows"] = ClusterRefusedError("no such thing", status=404)
    scene.job("job", lease="1", workflow="run")
    assert scene.workflows.follow_once() == 5
    assert scene.workflows.follow_once() == 5
    scene.reaper.run_once()
    assert scene.deleted == []
    assert scene.logged == ["this cluster has no Workflows: only leases are watched."]
    scene.rounds(63)
    assert scene.deleted == ["job"]


def test_workflows_that_the_reaper_may_not_list_are_asked_for_rarely(scene: Scene) -> None:
    scene.memory.refused["list workflows"] = ClusterRefusedError("The cluster refused.", status=403)
    assert scene.workflows.follow_once() == 60
    assert scene.logged == ["Workflows cannot be watched, only leases: The cluster refused."]


def test_an_expired_version_is_listed_again_immediately_and_an_outage_after_a_pause(scene: Scene) -> None:
    scene.memory.changes = [ClusterRefusedError("too old", status=410)]
    assert scene.workflows.follow_once() == 0
    scene.memory.changes = [ClusterUnavailableError("broken")]
    assert scene.workflows.follow_once() == 2
    # Knowledge from before the outage may be outdated, so nothing is deleted because of it.
    assert not scene.workflows.may_have_ended(WorkflowReference("run", "uid-run"))


def test_a_refused_deletion_is_reported_once_and_tried_again(scene: Scene) -> None:
    scene.memory.refused["delete pytorchjobs"] = ClusterRefusedError("The cluster refused.", status=403)
    scene.job("job", lease="1")
    scene.rounds(90)
    assert scene.logged == ["cannot delete job, although its lease has not been renewed for 63 s: The cluster refused."]
    scene.memory.refused.clear()
    scene.rounds(3)
    assert scene.deleted == ["job"]


def test_unreadable_jobs_are_reported(scene: Scene) -> None:
    scene.memory.refused["list pytorchjobs"] = ClusterRefusedError("The cluster refused to list.", status=403)
    scene.reaper.run_once()
    assert scene.logged == ["cannot list the PyTorchJobs: The cluster refused to list."]


def test_unreadable_workflows_are_reported(scene: Scene) -> None:
    scene.workflows.follow_once()
    scene.job("job", workflow="run")
    scene.memory.refused["get workflows"] = ClusterRefusedError("The cluster refused.", status=403)
    scene.reaper.run_once()
    assert scene.logged == ["cannot read the Workflow of a job: The cluster refused."]


def test_deleted_jobs_leave_no_state_behind(scene: Scene) -> None:
    for number in range(100):
        scene.job(f"job-{number}", lease="1")
    scene.rounds(9)
    scene.memory.things[PYTORCHJOBS].clear()
    scene.rounds(3)
    assert len(scene.reaper._unchanged) == 0


def test_the_owner_is_also_found_by_the_annotation(scene: Scene) -> None:
    job = scene.job("job")
    assert owner_of(PYTORCHJOB.read(job), namespace="peerkd") is None
    job["metadata"]["annotations"][names.ANNOTATION_WORKFLOW] = "peerkd/run"
    assert owner_of(PYTORCHJOB.read(job), namespace="peerkd") == WorkflowReference("run", None)
    assert owner_of(PYTORCHJOB.read(job), namespace="elsewhere") is None


def test_a_running_workflow_has_not_ended() -> None:
    for status in ({}, {"phase": ""}, {"phase": "Pending"}, {"phase": "Running"}):
        assert how_ended({"metadata": {}, "spec": {"activeDeadlineSeconds": 600}, "status": status}) == ""


def test_a_workflow_that_ends_wakes_the_reaper_up(scene: Scene) -> None:
    """The reaper runs in its threads, and reacts much sooner than its next round."""
    scene.workflow("over", spec={"activeDeadlineSeconds": 0})
    scene.job("unwanted", workflow="over")
    stop, done = threading.Event(), threading.Event()

    def log(text: str) -> None:
        if text.startswith("deleted"):
            done.set()

    # The watch of a cluster in memory ends immediately and is started again.
    pulse = run_reaper(scene.memory, [PYTORCHJOB], stop=stop, log=log)
    try:
        assert done.wait(20)
        assert pulse() < 20
    finally:
        stop.set()
    assert scene.deleted == ["unwanted"]
