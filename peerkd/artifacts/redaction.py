"""Addresses as they may be shown: without what may be a secret."""

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
    """Return an address in which whatever may be a secret is ``***``: user and password, query, and what is no port.

    Args:
        address: What a user gave for the address of a service, right or wrong.
        keeps_path: Whether the path names something that is no secret, such as the place in a bucket.
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
