"""Redaction of addresses: parts that may be secrets are replaced before an address is shown."""

import re
from typing import Final

_ADDRESS: Final = re.compile(
    r"""
    (?P<scheme> [a-z][a-z0-9+.-]* :// )?
    (?P<user> .* @ )?
    (?P<host> \[ [0-9a-f:.]* \] | [\w.-]* )
    (?P<port> : \d{1,5} (?= [/?\#] | $ ) )?
    (?P<rest> .* )
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


def without_secrets(address: str, *, keeps_path: bool = False) -> str:
    """Return an address with ``***`` in place of its user and password, its query, and anything that may be a secret.

    Args:
        address: The address of a service as a user gave it, valid or not.
        keeps_path: Whether to show the path. The prefix in a bucket, for example, is not a secret.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None:
        return "***"
    user, rest = "***@" if found["user"] else "", found["rest"]
    shown, hidden = "", "***" if rest not in ("", "/") else ""
    if keeps_path and rest.startswith("/"):
        shown = re.split("[?#]", rest, maxsplit=1)[0]
        hidden = "?***" if rest != shown else ""
    return f"{found['scheme'] or ''}{user}{found['host']}{found['port'] or ''}{shown}{hidden}"
