"""Names of jobs, and the labels and annotations that peerkd sets or reads, whatever the kind of the job."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from peerkd.artifacts.open import canonical_address
from peerkd.launch.order import StageOrder

LABEL_NAME: Final = "app.kubernetes.io/name"
LABEL_COMPONENT: Final = "app.kubernetes.io/component"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
OUR_LABELS: Final = {LABEL_NAME: "peerkd", LABEL_COMPONENT: "worker", LABEL_MANAGED_BY: "peerkd"}
"""The labels of every object that a launcher creates."""

LABEL_RUN: Final = "peerkd.io/run"
LABEL_STAGE: Final = "peerkd.io/stage"
LABEL_SPEC: Final = "peerkd.io/spec"
"""The label with the hash of a job's manifest. Two jobs with the same hash do the same work."""

LABEL_QUEUE: Final = "kueue.x-k8s.io/queue-name"
LABEL_PRIORITY: Final = "kueue.x-k8s.io/priority-class"
ANNOTATION_TOPOLOGY_REQUIRED: Final = "kueue.x-k8s.io/podset-required-topology"
ANNOTATION_TOPOLOGY_PREFERRED: Final = "kueue.x-k8s.io/podset-preferred-topology"
"""The annotation of a pod template that names the preferred level of a topology.

A template may have this annotation or ``ANNOTATION_TOPOLOGY_REQUIRED``, but not both."""

LABEL_JOB_OF_WORKLOAD: Final = "kueue.x-k8s.io/job-uid"
"""The label with the UID of a job, which Kueue sets on the Workload of the job."""

LABEL_REQUEUED: Final = "peerkd.io/sent-back"
"""The label of a Workload that the reaper has deactivated and will activate again."""

ANNOTATION_LEASE_RENEWED: Final = "peerkd.io/lease-renewed"
"""The annotation that a launcher rewrites regularly as long as it waits for the job.

Its value is the launcher's time, which is only for people to read. The reaper checks only whether the value changes,
because the clocks of two machines may differ."""

ANNOTATION_LEASE_SECONDS: Final = "peerkd.io/lease-seconds"
ANNOTATION_TTL_SECONDS: Final = "peerkd.io/ttl-seconds-after-finished"
"""The annotation with the time for which a finished job is kept. Only jobs whose kind has no field for this time have
it."""

ANNOTATION_ATTEMPT: Final = "peerkd.io/attempt"
ANNOTATION_WORKFLOW: Final = "peerkd.io/workflow"
"""The annotation with the namespace and the name of the Workflow that the launcher belongs to."""

ANNOTATION_KEY: Final = "peerkd.io/key"
"""The annotation with the key of the artifact that the job creates."""

_NUM_DIGITS: Final = 10


def run_of(order: StageOrder, run_id: str) -> str:
    """Return the ID of an order's run: ``run_id``, or ``local_run`` if that is empty."""
    return run_id or local_run(order.store, order.key)


def local_run(store: str, key: str) -> str:
    """Return the ID of a run outside of pipelines, which is a hash of the store and of the key of an artifact.

    The spelling of the address makes no difference, because a user may stop a run with another one.
    """
    return "local-" + _digest(canonical_address(store), key)


def job_name(order: StageOrder, *, run_id: str, max_length: int) -> str:
    """Return the name of an order's job, which is a hash of the run and of the key of the ordered artifact.

    Two tasks of a run that order the same artifact therefore get the same job.
    """
    stage = re.sub(r"[^a-z0-9]+", "-", order.stage.lower()).strip("-")
    stage = stage[: max_length - len("peerkd--") - _NUM_DIGITS].strip("-")
    return f"peerkd-{stage}-{_digest(run_of(order, run_id), order.key)}"


def label_value(text: str) -> str:
    """Return the text if it is a valid value of a label, else a hash of it."""
    allowed = re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", text)
    return text if allowed else "hash-" + _digest(text)


def spec_hash(*manifests: Mapping[str, Any]) -> str:
    """Return a hash of manifests, which is the same for all attempts at an order.

    The caller must leave out whatever differs between two attempts.
    """
    texts = (json.dumps(each, sort_keys=True) for each in manifests)
    return hashlib.sha256("".join(texts).encode()).hexdigest()[:16]


def is_ours(labels: Mapping[str, str]) -> bool:
    """Return whether an object with these labels was created by a launcher of peerkd."""
    return labels.items() >= OUR_LABELS.items()


def _digest(*texts: str) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:_NUM_DIGITS]
