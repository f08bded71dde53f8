"""The address of an S3 server. It appears in messages, logs and manifests of jobs, so it must not contain a secret."""

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

from peerkd.artifacts.redaction import without_secrets

_HOST: Final = re.compile(r"[A-Za-z0-9._\[\]:-]+")


def check_endpoint(endpoint: str | None) -> SplitResult:
    """Return the parts of the address of an S3 server: a scheme, a host and perhaps a port.

    Raises:
        ValueError: If the address is missing or has other parts. The message shows neither a password nor a query.
    """
    if not endpoint:
        raise ValueError("A store at s3:// needs PEERKD_S3_ENDPOINT, as in http://minio.example:9000.")
    refusal = f"PEERKD_S3_ENDPOINT must be like http://host:port or https://host:port, got {without_secrets(endpoint)}"
    try:
        address = urlsplit(endpoint)
        is_usable = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:
        # The message of this error may contain a password, so it is not passed on.
        is_usable = False
    if not is_usable:
        raise ValueError(f"{refusal}.")
    if address.username is not None or address.password is not None:
        raise ValueError(
            f"{refusal}; a user and a password belong in PEERKD_S3_ACCESS_KEY and PEERKD_S3_SECRET_KEY, since "
            "addresses appear in messages and logs."
        )
    if address.path not in ("", "/") or address.query or address.fragment or not _HOST.fullmatch(address.netloc):
        raise ValueError(f"{refusal}.")
    return address
