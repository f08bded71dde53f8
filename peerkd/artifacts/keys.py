"""Keys of artifacts: ``<noun>/<fingerprint>``, where the fingerprint covers everything that determines the content.

Two experiments with the same partition share its key, so a change of the sweep does not repeat the pre-training.
"""

import hashlib
import json
from typing import Any, Final

NUMERICS_VERSION: Final = 2
"""A part of every key. It is increased when a change of the program alters numbers or their format, so that old
artifacts are not found. Version 2 names weights by blocks."""


def fingerprint(values: Any) -> str:
    """Return the SHA-256, as 64 hexadecimal digits, of any value that JSON can write; keys are sorted first."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def key(noun: str, values: Any) -> str:
    """Return the artifact's key: ``<noun>/`` and 16 digits of the fingerprint of values and ``NUMERICS_VERSION``."""
    return f"{noun}/{fingerprint([NUMERICS_VERSION, values])[:16]}"
