"""The runs of the store at an address, with what is known of their invocations from this machine."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from peerkd.artifacts.open import S3_SCHEME, canonical_address, open_store
from peerkd.artifacts.store import ArtifactStore
from peerkd.launch.invocations.files import Invocation, list_invocations
from peerkd.stages.stored_runs import StoredRun, list_runs

DEFAULT_OUTPUT: Final = "runs"
"""The folder of ``--output`` if the option is not given."""


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
    return store, list_runs(store, notify=notify, invocations=invocations_of(address))


def invocations_of(address: str) -> list[Invocation]:
    """Return the invocations of the runs of a store, the latest first.

    They are in the folder of the store and in the folder ``runs`` of the working directory, where ``peerkd run`` with
    ``--store`` and without ``--output`` records them. An invocation that does not name its store, because an earlier
    version recorded it, belongs to the folder that contains it.
    """
    wanted, default = canonical_address(address), canonical_address(DEFAULT_OUTPUT)
    folders = {default} if wanted.startswith(S3_SCHEME) else {default, wanted}
    found = [
        invocation
        for folder in folders
        for invocation in list_invocations(Path(folder))
        if (invocation.status.store or folder) == wanted
    ]
    return sorted(found, key=lambda invocation: invocation.status.started_at, reverse=True)
