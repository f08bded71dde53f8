"""References to artifacts: small files that one pipeline task hands to the next instead of gigabytes."""

import difflib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.errors import ArtifactCorruptError, ArtifactNotFoundError

_NUM_LISTED: Final = 5
"""The maximum number of artifacts that a message lists."""


def write(path: str, *manifests: Manifest) -> None:
    """Write references to published artifacts to a JSON file.

    A reference to one artifact is written as an object, and references to several artifacts as a list of objects.
    """
    found = [reference(manifest) for manifest in manifests]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(found[0] if len(found) == 1 else found), encoding="utf-8")


def reference(manifest: Manifest) -> dict[str, str]:
    """Return a reference to an artifact: its ``key`` and its ``fingerprint``."""
    return {"key": manifest.key, "fingerprint": manifest.fingerprint}


def reference_to_values(manifest: Manifest) -> dict[str, str]:
    """Return a reference to an artifact whose files contain measured times.

    Its fingerprint is the one in the metadata, which covers the values without the times. Therefore the reference stays
    the same if the artifact is computed again, in this store or in another one.
    """
    return {"key": manifest.key, "fingerprint": manifest.metadata["fingerprint"]}


def follow_file(path: str, store: ArtifactStore, *, num: int = 1) -> list[Manifest]:
    """Read references from a file that ``write`` made, and return the manifests of the artifacts.

    Args:
        path: The path of the file.
        store: The store of the artifacts.
        num: The number of references that the file must contain.

    Raises:
        ArtifactNotFoundError: If the store no longer has one of the artifacts.
        ArtifactCorruptError: If the file does not contain ``num`` references, or the fingerprint of an artifact differs
            from the reference.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        listed = values if isinstance(values, list) else [values]
        found = [{name: str(each[name]) for name in ("key", "fingerprint")} for each in listed]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactCorruptError(f"{path} must contain a reference to an artifact.") from error
    if len(found) != num:
        wanted = "a reference to an artifact" if num == 1 else f"references to {num} artifacts, got {len(found)}"
        raise ArtifactCorruptError(f"{path} must contain {wanted}.")
    return [follow(each, store) for each in found]


def follow(values: Mapping[str, Any], store: ArtifactStore) -> Manifest:
    """Return the manifest of the artifact that a reference refers to.

    Args:
        values: What ``reference`` or ``reference_to_values`` returned.
        store: The store of the artifact.

    Raises:
        ArtifactNotFoundError: If the store no longer has the artifact.
        ArtifactCorruptError: If the fingerprint of the artifact with this key differs from the fingerprint in the
            reference.
    """
    manifest = store.find(values["key"])
    if manifest is None:
        raise ArtifactNotFoundError(
            f"The store no longer has {values['key']}: a cached pipeline step refers to an artifact that has been "
            "deleted; run again without the cache (peerkd submit --no-cache, or enable_caching=False in KFP's client; "
            "peerkd run has no cache)."
        )
    if values["fingerprint"] not in (manifest.fingerprint, manifest.metadata.get("fingerprint")):
        raise ArtifactCorruptError(
            f"{manifest.key} must have the fingerprint {values['fingerprint'][:16]}, got {manifest.fingerprint[:16]}."
        )
    return manifest


def similar_keys(key: str, store: ArtifactStore, *, kinds: Collection[str]) -> str:
    """Return, for a message, the keys of a store that the user may have meant, the most similar to ``key`` first.

    Args:
        key: The key that the store does not have.
        store: The artifact store.
        kinds: The kinds of the artifacts whose keys may be listed. The kind of an artifact is the first part of its
            key.
    """
    published = store.keys()
    keys = [each for each in published if each.partition("/")[0] in kinds]
    near = difflib.get_close_matches(key, keys, n=_NUM_LISTED, cutoff=0)
    more = f" and {len(keys) - len(near):,} more" if len(keys) > len(near) else ""
    return f"the store has {', '.join(near)}{more}" if near else "the store has none"
