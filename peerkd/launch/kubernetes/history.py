"""What has happened to a job's workers so far. The operator makes pods anew and forgets the old ones; this does not."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.jobs import Job, has_failed, is_suspended, uid_of
from peerkd.launch.kubernetes.pods import Ending, Pod, ending_of, hindrance_of, is_running


class History:
    """The pods of a job and how earlier ones ended, and how long it has been running, silent or hindered.

    Times are sums of seconds between two calls of ``note``, so that no clocks of two machines are compared.
    """

    def __init__(
        self,
        *,
        num_out_of_memory: Mapping[int, int] | None = None,
        num_disruptions: Mapping[int, int] | None = None,
        running_seconds: float = 0.0,
    ) -> None:
        self.running_seconds = running_seconds
        """Time with at least one worker at work."""

        self.silent_seconds = 0.0
        """Time that the job was running and followed, and reported no progress."""

        self.hindered_seconds: dict[str, float] = {}
        """Time by hindrance: ``start`` or ``schedule`` and the pod's uid, ``create`` for pods that cannot be made,
        ``operator`` for an operator that has not looked at the job, ``end`` for one that has not seen it fail."""

        self.endings: list[Ending] = []
        """Endings of pods of this job, in the order in which they became known."""

        self.num_out_of_memory: Counter[int] = Counter(num_out_of_memory or {})
        """Number of times that each worker ran out of memory, over all attempts of the order."""

        self._num_earlier_disruptions: Counter[int] = Counter(num_disruptions or {})
        self._pods: dict[str, Pod] = {}
        self._era: dict[str, int] = {}
        self._num_suspensions = 0
        self._was_suspended = False
        self._unconfirmed: list[Ending] = []
        self._noted: float | None = None

    @property
    def pods(self) -> dict[int, Pod]:
        """The last existing pod of each worker."""
        return {names.worker_of(pod): pod for pod in self._pods.values()}

    def num_failures(self, worker: int) -> int:
        """Return how often a worker of this job failed: its pod was there until it ended without success."""
        return sum(ending.worker == worker and not ending.is_disruption for ending in self.endings)

    @property
    def num_disruptions(self) -> Counter[int]:
        """Number of times that the cluster took each worker's pod away, over all attempts of the order.

        Pods that a queue took back are not counted, since the queue gives them back.
        """
        here = Counter(ending.worker for ending in self.endings if ending.is_disruption)
        return self._num_earlier_disruptions + here

    def replace_pods(self, pods: Iterable[Pod]) -> None:
        """Take a whole list: what is missing in it is gone."""
        listed = list(pods)
        there = {uid_of(pod) for pod in listed}
        for uid in self._pods.keys() - there:
            self.change_pod("DELETED", self._pods[uid])
        for pod in listed:
            self.change_pod("MODIFIED", pod)

    def change_pod(self, kind: str, pod: Pod) -> None:
        """Take one change of one pod."""
        uid, is_gone = uid_of(pod), kind == "DELETED"
        if uid not in self._era:
            self._era[uid] = self._num_suspensions
            self._confirm(names.worker_of(pod))
            self.silent_seconds = 0.0
        known = {ending.uid for ending in (*self.endings, *self._unconfirmed)}
        ending = ending_of(pod, is_gone=is_gone)
        if ending is not None and uid not in known:
            # Whoever deleted a pod may be the queue, which tells the job of it only now: a successor will show.
            (self._unconfirmed if ending.was_deleted else self.endings).append(ending)
            self.num_out_of_memory[ending.worker] += ending.is_out_of_memory
        if is_gone:
            self._pods.pop(uid, None)
        else:
            self._pods[uid] = pod

    def note(
        self,
        job: Job,
        *,
        now_seconds: float,
        events: Iterable[Mapping[str, Any]] = (),
        is_listening: bool = True,
        is_current: bool = True,
    ) -> None:
        """Add the time since the last note to whatever lasted through it.

        Args:
            job: As it was seen last.
            now_seconds: Of a clock that never goes back.
            events: Warnings about the job and its pods.
            is_listening: Whether the workers' lines are being read.
            is_current: Whether what was seen last is known to be so still: an image that was missing when the API
                went away may have been there ever since.
        """
        events = list(events)
        elapsed = 0.0 if self._noted is None else now_seconds - self._noted
        self._noted = now_seconds
        if is_suspended(job) and not self._was_suspended:
            self._num_suspensions += 1
        self._was_suspended = is_suspended(job)
        at_work = not is_suspended(job) and any(is_running(pod) for pod in self._pods.values())
        self.running_seconds += elapsed * at_work
        self.silent_seconds += elapsed * (at_work and is_listening)
        hindered = self._hindrances(job, events)
        self.hindered_seconds = {
            each: self.hindered_seconds[each] + elapsed * is_current if each in self.hindered_seconds else 0.0
            for each in hindered
        }

    def heard(self) -> None:
        """Take note of a sign of progress."""
        self.silent_seconds = 0.0

    def _hindrances(self, job: Job, events: list[Mapping[str, Any]]) -> Iterable[str]:
        if is_suspended(job):
            return
        if not self._pods and not (job.get("status") or {}).get("conditions"):
            yield "operator"
        if any(not ending.may_pass for ending in self.endings) and not has_failed(job):
            yield "end"
        if refusal_to_create(job, self.pods, events):
            yield "create"
        for uid, pod in self._pods.items():
            hindrance = hindrance_of(pod, events)
            if hindrance:
                yield f"{hindrance.kind} {uid}"

    def _confirm(self, worker: int) -> None:
        """A worker has a new pod: its deleted one failed, unless the job was suspended between the two."""
        for ending in [each for each in self._unconfirmed if each.worker == worker]:
            self._unconfirmed.remove(ending)
            if self._era[ending.uid] == self._num_suspensions:
                self.endings.append(ending)


def refusal_to_create(job: Job, pods: Mapping[int, Pod], events: Iterable[Mapping[str, Any]]) -> str | None:
    """Return why the operator cannot make all of the job's pods, or None if it has made them or says nothing."""
    if len(pods) >= num_workers_of(job):
        return None
    refusals = [
        event
        for event in events
        if event.get("reason") == "FailedCreatePod" and (event.get("involvedObject") or {}).get("uid") == uid_of(job)
    ]
    if not refusals:
        return None
    latest = max(refusals, key=lambda event: event.get("lastTimestamp") or "")
    return str(latest.get("message") or "no reason given").strip().rstrip(".")


def num_workers_of(job: Job) -> int:
    """Return how many workers a job has."""
    return int(job["spec"]["pytorchReplicaSpecs"]["Worker"]["replicas"])
