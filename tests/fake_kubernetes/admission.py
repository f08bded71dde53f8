"""The refusals of the admission webhook of Kubeflow Trainer."""

from peerkd.launch.kubernetes.kinds import TRAINJOB
from tests.fake_kubernetes.store import Object, Store


def refusal_of(job: Object, store: Store, namespace: str) -> str | None:
    """Return why an object cannot be created or changed, if it is a TrainJob whose TrainingRuntime does not exist."""
    name = ((job.get("spec") or {}).get("runtimeRef") or {}).get("name")
    if not name or store.get("trainingruntimes", namespace, name) is not None:
        return None
    return f"admission webhook denied the request: {TRAINJOB.missing_prerequisite}"
