"""What jobs are called, and the labels and annotations by which launcher, reaper and dashboards know them."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from peerkd.launch.order import StageOrder

LABEL_NAME: Final = "app.kubernetes.io/name"
LABEL_COMPONENT: Final = "app.kubernetes.io/component"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
OUR_LABELS: Final = {LABEL_NAME: "peerkd", LABEL_COMPONENT: "worker", LABEL_MANAGED_BY: "peerkd"}
"""Labels of every object that a launcher creates."""

LABEL_RUN: Final = "peerkd.io/run"
LABEL_STAGE: Final = "peerkd.io/stage"
LABEL_SPEC: Final = "peerkd.io/spec"
"""Hash of all that the job was asked to be: the same order given again has the same."""

LABEL_QUEUE: Final = "kueue.x-k8s.io/queue-name"
LABEL_PRIORITY: Final = "kueue.x-k8s.io/priority-class"

LABEL_JOB_OF_POD: Final = "training.kubeflow.org/job-name"
LABEL_INDEX_OF_POD: Final = "training.kubeflow.org/replica-index"
"""These two the operator puts on pods."""

LABEL_JOB_OF_WORKLOAD: Final = "kueue.x-k8s.io/job-uid"
"""This one Kueue puts on the Workload of a job."""

LABEL_SENT_BACK: Final = "peerkd.io/sent-back"
"""Label of a Workload that the reaper has made inactive and will make active again."""

ANNOTATION_LEASE_RENEWED: Final = "peerkd.io/lease-renewed"
"""Changes as long as somebody waits for the job. Its value is a time of the launcher's clock, for people: whoever
watches the lease compares values with each other, never with a clock of its own."""

ANNOTATION_LEASE_SECONDS: Final = "peerkd.io/lease-seconds"
ANNOTATION_ATTEMPT: Final = "peerkd.io/attempt"
ANNOTATION_WORKFLOW: Final = "peerkd.io/workflow"
"""Namespace and name of the Workflow that the launcher belongs to."""

ANNOTATION_KEY: Final = "peerkd.io/key"
"""Key of the artifact that the job makes."""

CONTAINER: Final = "pytorch"
"""What the operator wants the container to be called."""

_MAX_LENGTH: Final = 50
_NUM_DIGITS: Final = 10


def run_of(order: StageOrder, run_id: str) -> str:
    """Return what tells the order's run from others: without an id, it follows from what the order makes and where."""
    return run_id or "local-" + _digest(order.store, order.key)


def job_name(order: StageOrder, *, run_id: str) -> str:
    """Return the job's name: the same for all tasks of a run that order the same artifact, and short.

    The operator makes pods and services called ``<name>-worker-<index>``, which must not be longer than 63 characters.
    """
    stage = re.sub(r"[^a-z0-9]+", "-", order.stage.lower()).strip("-")
    stage = stage[: _MAX_LENGTH - len("peerkd--") - _NUM_DIGITS].strip("-")
    return f"peerkd-{stage}-{_digest(run_of(order, run_id), order.key)}"


def label_value(text: str) -> str:
    """Return the text if a label can hold it, else a hash of it."""
    allowed = re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", text)
    return text if allowed else "hash-" + _digest(text)


def spec_hash(manifest: Mapping[str, Any]) -> str:
    """Return a hash of a manifest without what differs between two attempts at the same."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:16]


def is_ours(job: Mapping[str, Any]) -> bool:
    """Return whether a launcher of peerkd made this."""
    labels = job["metadata"].get("labels") or {}
    return all(labels.get(name) == value for name, value in OUR_LABELS.items())


def annotation(job: Mapping[str, Any], name: str) -> str:
    """Return the value of an annotation, empty if there is none."""
    return str((job["metadata"].get("annotations") or {}).get(name, ""))


def worker_of(pod: Mapping[str, Any]) -> int:
    """Return the index of the worker that a pod is."""
    return int((pod["metadata"].get("labels") or {}).get(LABEL_INDEX_OF_POD, 0))


def _digest(*texts: str) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:_NUM_DIGITS]
