"""How artifacts are named: ``<noun>/<fingerprint>``, where the fingerprint is of all that the content follows from.

Two experiments that share a partition share its key, so that a change of the sweep repeats no pre-training.
"""

import hashlib
import json
from typing import Any, Final

NUMERICS_VERSION: Final = 2
"""Part of every key. A change of the program that alters numbers, or how they are kept, raises it, so that nothing old
is found again. 2: weights are named by blocks."""


def fingerprint(values: Any) -> str:
    """Return the SHA-256, as 64 hexadecimal digits, of any value that JSON can write; keys are sorted first."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def key(noun: str, values: Any) -> str:
    """Return the artifact's key: ``<noun>/`` and 16 digits of the fingerprint of values and ``NUMERICS_VERSION``."""
    return f"{noun}/{fingerprint([NUMERICS_VERSION, values])[:16]}"
