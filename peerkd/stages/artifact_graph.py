"""The artifacts of a store as a graph: which artifact was computed from which others."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.errors import ArtifactCorruptError


def read_manifests(store: ArtifactStore, *, notify: Callable[[str], None] | None = None) -> dict[str, Manifest]:
    """Return the manifests of all artifacts of a store, by key.

    Args:
        store: The artifact store.
        notify: Called with a message if a manifest is damaged; the artifact counts as missing.

    Raises:
        ArtifactCorruptError: If a manifest is damaged and there is no ``notify``.
    """
    manifests = {}
    for key in store.keys():  # noqa: SIM118
        try:
            manifest = store.find(key)
        except ArtifactCorruptError as error:
            if notify is None:
                raise
            notify(str(error))
            continue
        if manifest:
            manifests[key] = manifest
    return manifests


def inputs_of(manifest: Manifest) -> Iterator[str]:
    """Yield the keys of the artifacts from which an artifact was computed."""
    for value in manifest.metadata.get("inputs", {}).values():
        for reference in value if isinstance(value, list) else [value]:
            if reference:
                yield reference["key"]


def chain_of(last: Iterable[Manifest], manifests: Mapping[str, Manifest]) -> dict[str, Manifest]:
    """Return artifacts together with all artifacts from which they were computed, inputs before outputs.

    Artifacts that the store lacks are omitted.
    """
    chain: dict[str, Manifest] = {}

    def add(manifest: Manifest) -> None:
        if manifest.key in chain:
            return
        for key in inputs_of(manifest):
            if key in manifests:
                add(manifests[key])
        chain[manifest.key] = manifest

    for manifest in last:
        add(manifest)
    return chain


def find_input(manifest: Manifest, kind: str, store: ArtifactStore) -> Manifest | None:
    """Return the first artifact of a kind from which an artifact was computed, itself included; None if none is found.

    Args:
        manifest: The artifact.
        kind: The kind, such as ``partition_data``.
        store: The artifact store.
    """
    if manifest.key.partition("/")[0] == kind:
        return manifest
    inputs = filter(None, map(store.find, inputs_of(manifest)))
    return next(filter(None, (find_input(each, kind, store) for each in inputs)), None)
