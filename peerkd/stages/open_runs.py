"""The runs of the store at an address, with what is known of their invocations from this machine."""

from collections.abc import Callable
from pathlib import Path

from peerkd.artifacts.open import S3_SCHEME, open_store
from peerkd.artifacts.store import ArtifactStore
from peerkd.launch.invocations.files import list_invocations
from peerkd.stages.stored_runs import StoredRun, list_runs


def open_runs(address: str, *, notify: Callable[[str], None]) -> tuple[ArtifactStore, list[StoredRun]]:
    """Return the store at an address, and its runs, latest first.

    Args:
        address: The address of the store.
        notify: Called with messages about the store, and about damaged artifacts.

    Raises:
        ValueError: If the address is not the address of a store.
        StoreUnavailableError: If the store does not answer.
    """
    store = open_store(address, notify=notify)
    invocations = () if address.startswith(S3_SCHEME) else list_invocations(Path(address))
    return store, list_runs(store, notify=notify, invocations=invocations)
