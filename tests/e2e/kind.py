"""The kind of the jobs in these tests, which the variable JOB_KIND names: pytorchjob (the default) or trainjob."""

import os
from typing import Any, Final

from peerkd.launch.kubernetes.kinds import JOB_KINDS, PYTORCHJOB
from peerkd.launch.kubernetes.kinds.choice import find_kind
from peerkd.launch.kubernetes.kinds.kind import Job, JobKind
from peerkd.launch.kubernetes.manifest import JobManifest

NAME: Final = os.environ.get("JOB_KIND") or PYTORCHJOB.name.lower()


def _kind() -> JobKind:
    found = find_kind(NAME)
    if found is None:
        names = " or ".join(kind.name.lower() for kind in JOB_KINDS)
        raise ValueError(f"JOB_KIND must be {names}, got {NAME}.")
    return found


KIND: Final = _kind()
RESOURCE: Final = f"{KIND.resource.plural}.{KIND.resource.group}"
"""The resource of the jobs, as kubectl names it."""

SETTING: Final = f"job_kind={NAME}"
"""The setting with which a run creates jobs of this kind."""


def read(job: dict[str, Any]) -> Job:
    """Return a job from its object."""
    return KIND.read(job)


def objects_of(made: JobManifest) -> list[dict[str, Any]]:
    """Return the objects of a job in the order in which a launcher creates them: the job is the last one."""
    return [*(each.manifest for each in made.prerequisites), made.job]


def holder_of_pods(made: JobManifest) -> dict[str, Any]:
    """Return the object that contains the pod templates of a job."""
    return objects_of(made)[0]


def pod_templates(holder: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the pod templates in an object of ``holder_of_pods``, by the name of the replica."""
    if KIND is PYTORCHJOB:
        return {name: replica["template"] for name, replica in holder["spec"]["pytorchReplicaSpecs"].items()}
    jobs = holder["spec"]["template"]["spec"]["replicatedJobs"]
    return {each["name"]: each["template"]["spec"]["template"] for each in jobs}
