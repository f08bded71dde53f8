"""The address of an S3 server. It is shown in messages, logs and the manifests of jobs, so that it holds no secret."""

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

from peerkd.artifacts.redaction import without_secrets

_HOST: Final = re.compile(r"[A-Za-z0-9._\[\]:-]+")


def check_endpoint(endpoint: str | None) -> SplitResult:
    """Return the parts of the address of an S3 server, which are scheme and host, and perhaps a port.

    Raises:
        ValueError: If it is missing or has other parts. The message shows neither a password nor a query.
    """
    if not endpoint:
        raise ValueError("A store at s3:// needs PEERKD_S3_ENDPOINT, as in http://minio.example:9000.")
    refused = f"PEERKD_S3_ENDPOINT must be like http://host:port or https://host:port, got {without_secrets(endpoint)}"
    try:
        address = urlsplit(endpoint)
        is_usable = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:
        # Its message may show what it found, and that may be a password: it is not passed on.
        is_usable = False
    if not is_usable:
        raise ValueError(f"{refused}.")
    if address.username is not None or address.password is not None:
        raise ValueError(
            f"{refused}; a user and a password belong in PEERKD_S3_ACCESS_KEY and PEERKD_S3_SECRET_KEY, since "
            "addresses are shown."
        )
    if address.path not in ("", "/") or address.query or address.fragment or not _HOST.fullmatch(address.netloc):
        raise ValueError(f"{refused}.")
    return address
