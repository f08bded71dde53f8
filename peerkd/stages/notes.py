"""The notes of people on runs.

A note is an artifact of its own, which names the run. It is no input of anything, so it changes no key. A later note on
a run replaces an earlier one.
"""

import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from peerkd.artifacts import keys
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.excerpt import plain

KIND: Final = "note"

_MAX_CHARACTERS: Final = 500
_PROPERTIES: Final = frozenset({"run", "text", "written_at"})
_JOINERS: Final = "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"


def write_note(run_key: str, text: str, store: ArtifactStore) -> None:
    """Publish a note on a run, which replaces an earlier note.

    Args:
        run_key: The key of the record of the run, or the key by which a run without a record is listed.
        text: The note, in one line. If it is empty, the run has no note any more. The text of an earlier note stays in
            the store until it is cleaned.
        store: The store of the run.

    Raises:
        ValueError: If the text is too long, or contains a line break or a control character.
    """
    text = text.strip()
    refused = [each for each in text if not _is_allowed(each)]
    if len(text) > _MAX_CHARACTERS or refused:
        which = f", one of which is U+{ord(refused[0]):04X}" if refused else ""
        raise ValueError(
            f"TEXT must be one line of at most {_MAX_CHARACTERS} printable characters, got {len(text):,} "
            f"characters{which}: {plain(text)}."
        )
    described = {"run": run_key, "text": text, "written_at": datetime.now(UTC).isoformat(timespec="microseconds")}
    key = keys.key(KIND, described)
    with store.open_workspace(key):
        store.publish(key, metadata=described)


def latest_notes(manifests: Mapping[str, Manifest]) -> dict[str, Manifest]:
    """Return the note that was written last on each run, by the key of the run.

    A note of another program that lacks a property is ignored.
    """
    notes = (
        manifest
        for key, manifest in manifests.items()
        if key.startswith(f"{KIND}/") and manifest.metadata.keys() >= _PROPERTIES
    )
    by_time = sorted(notes, key=lambda manifest: str(manifest.metadata["written_at"]))
    return {str(manifest.metadata["run"]): manifest for manifest in by_time}


def text_of(note: Manifest | None) -> str:
    """Return the text of a note; empty if there is no note. Characters that would control a terminal are replaced."""
    text = str(note.metadata["text"]) if note else ""
    return "".join(each if _is_allowed(each) else "\N{REPLACEMENT CHARACTER}" for each in text)


def _is_allowed(character: str) -> bool:
    """Return whether a note may have a character, which is printable, a space of any width, or joins emoji."""
    return character.isprintable() or character in _JOINERS or unicodedata.category(character) == "Zs"
