"""The artifact store of a stage: its messages become progress lines, and its failures are counted in the metrics."""

from functools import partial

from peerkd.artifacts.open import open_store
from peerkd.artifacts.store import ArtifactStore
from peerkd.launch.shared_folder import check_task_folder
from peerkd.metrics import recorder
from peerkd.metrics.progress import print_line


def open_stage_store(stage: str, address: str) -> ArtifactStore:
    """Return the store at an address. Messages of the store become progress lines of the stage.

    Raises:
        ValueError: If the address is not valid, or is a folder that a task of Kubeflow Pipelines does not mount.
    """
    check_task_folder(address)
    return open_store(address, notify=partial(print_line, stage), count_failure=recorder.store_error)
