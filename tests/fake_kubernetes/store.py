"""The objects of the fake API with their versions, and a history that can be cleared."""

import copy
import itertools
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

Object = dict[str, Any]


class Change(NamedTuple):
    version: int
    kind: str
    plural: str
    seen: Object


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    def __init__(self) -> None:
        self.changed = threading.Condition()
        self._objects: dict[tuple[str, str, str], Object] = {}
        self._changes: list[Change] = []
        self._versions = itertools.count(101)
        self._uids = itertools.count(1)
        self._version = 100
        self.oldest = 0

    @property
    def version(self) -> int:
        return self._version

    def put(self, plural: str, namespace: str, seen: Mapping[str, Any]) -> Object:
        """Create or replace an object."""
        with self.changed:
            kept = copy.deepcopy(dict(seen))
            metadata = kept.setdefault("metadata", {})
            key = (plural, namespace, metadata["name"])
            metadata.setdefault("uid", f"uid-{next(self._uids)}")
            metadata |= {"namespace": namespace}
            metadata.setdefault("creationTimestamp", now())
            kind = "MODIFIED" if key in self._objects else "ADDED"
            self._objects[key] = kept
            self._note(kind, plural, kept)
            return copy.deepcopy(kept)

    def get(self, plural: str, namespace: str, name: str) -> Object | None:
        with self.changed:
            return copy.deepcopy(self._objects.get((plural, namespace, name)))

    def remove(self, plural: str, namespace: str, name: str) -> Object | None:
        with self.changed:
            gone = self._objects.pop((plural, namespace, name), None)
            if gone is not None:
                self._note("DELETED", plural, gone)
            return gone

    def remove_owned_by(self, uid: str) -> None:
        """Delete all objects that an object with this UID owns, as the garbage collector does."""
        with self.changed:
            owned = [
                key
                for key, seen in self._objects.items()
                if any(each["uid"] == uid for each in seen["metadata"].get("ownerReferences") or ())
            ]
            for key in owned:
                self.remove(*key)

    def list(self, plural: str, namespace: str) -> list[Object]:
        with self.changed:
            return [
                copy.deepcopy(each)
                for (kind, where, _), each in self._objects.items()
                if kind == plural and namespace in ("", where)
            ]

    def changes_after(self, version: int, plural: str, namespace: str) -> Iterator[Change]:
        with self.changed:
            found = [each for each in self._changes if each.version > version and each.plural == plural]
        yield from (each for each in found if namespace in ("", each.seen["metadata"]["namespace"]))

    def forget_the_past(self) -> None:
        """Clear the history, as a compaction of etcd does. A watch can then no longer start at an older version."""
        with self.changed:
            self.oldest = next(self._versions)
            self._version = self.oldest
            self._changes.clear()
            self.changed.notify_all()

    def _note(self, kind: str, plural: str, seen: Object) -> None:
        self._version = next(self._versions)
        seen["metadata"]["resourceVersion"] = str(self._version)
        self._changes.append(Change(self._version, kind, plural, copy.deepcopy(seen)))
        self.changed.notify_all()


def merged(target: Any, patch: Any) -> Any:
    """Return the target after a merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def selected(seen: Object, *, labels: str, fields: str) -> bool:
    """Return whether selectors of the form a=b,c!=d match an object."""
    own = seen["metadata"].get("labels") or {}
    for pair in filter(None, labels.split(",")):
        name, _, value = pair.partition("=")
        if (own.get(name.removesuffix("!")) == value) is name.endswith("!"):
            return False
    for pair in filter(None, fields.split(",")):
        path, _, value = pair.partition("=")
        found: Any = seen
        for part in path.removesuffix("!").split("."):
            found = (found or {}).get(part)
        if (found == value) is path.endswith("!"):
            return False
    return True
