"""Where the S3 server is and who we are to it: from the environment alone, never from a config or an address."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from minio import Minio

from peerkd.artifacts.s3_transport import open_pool

_DEFAULT_REGION: Final = "us-east-1"
"""What servers other than Amazon's take for theirs unless they are told otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What a connection needs."""

    endpoint: str
    """``http://host:port`` or ``https://host:port``."""
    region: str = _DEFAULT_REGION
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    """Certificates that the server's may be signed by; None: those of the usual authorities."""


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings that the environment names.

    ``PEERKD_S3_ENDPOINT``, ``PEERKD_S3_REGION``, ``PEERKD_S3_ACCESS_KEY``, ``PEERKD_S3_SECRET_KEY`` and
    ``PEERKD_S3_CA_FILE``. The keys may lie in the files ``access-key`` and ``secret-key`` of the folder
    ``PEERKD_S3_SECRET_FOLDER`` instead, as a mounted secret does, and all but that have a second name that other
    programs use too: ``AWS_ENDPOINT_URL``, ``AWS_REGION``, ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY`` (with
    ``AWS_SESSION_TOKEN``), ``SSL_CERT_FILE``.

    Raises:
        ValueError: If the endpoint or the keys are missing or cannot be used.
    """

    def first_of(*names: str) -> str | None:
        return next((environment[name] for name in names if environment.get(name)), None)

    access_key, secret_key, session_token = _read_keys(environment)
    ca_file = first_of("PEERKD_S3_CA_FILE", "SSL_CERT_FILE")
    if ca_file and not Path(ca_file).is_file():
        raise ValueError(f"PEERKD_S3_CA_FILE must name a file with certificates, got {ca_file}.")
    return Settings(
        endpoint=_check_endpoint(first_of("PEERKD_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")),
        region=first_of("PEERKD_S3_REGION", "AWS_REGION", "AWS_DEFAULT_REGION") or _DEFAULT_REGION,
        access_key=access_key,
        secret_key=secret_key,
        session_token=session_token,
        ca_file=ca_file,
    )


def connect(settings: Settings) -> Minio:
    """Return a client; nothing is sent yet.

    Raises:
        ValueError: If the region is none.
    """
    address = urlsplit(settings.endpoint)
    try:
        return Minio(
            address.netloc,
            access_key=settings.access_key,
            secret_key=settings.secret_key,
            session_token=settings.session_token,
            secure=address.scheme == "https",
            region=settings.region,
            http_client=open_pool(settings.ca_file),
        )
    except ValueError as error:
        raise ValueError(
            f"PEERKD_S3_ENDPOINT and PEERKD_S3_REGION must be those of an S3 server, got {settings.endpoint} and "
            f"{settings.region}: {error}."
        ) from error


def _read_keys(environment: Mapping[str, str]) -> tuple[str, str, str | None]:
    access_key, secret_key = (environment.get(f"PEERKD_S3_{kind}_KEY") for kind in ("ACCESS", "SECRET"))
    folder = environment.get("PEERKD_S3_SECRET_FOLDER")
    session_token = None
    # Never one key from here and one from there.
    if not access_key and not secret_key and folder:
        access_key, secret_key = (_read_key(Path(folder, name)) for name in ("access-key", "secret-key"))
    elif not access_key and not secret_key:
        access_key, secret_key = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
        session_token = environment.get("AWS_SESSION_TOKEN") or None
    if not access_key or not secret_key:
        raise ValueError(
            "A store at s3:// needs credentials: set PEERKD_S3_ACCESS_KEY and PEERKD_S3_SECRET_KEY, or "
            "PEERKD_S3_SECRET_FOLDER to a folder with the files access-key and secret-key."
        )
    return access_key, secret_key, session_token


def _read_key(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"PEERKD_S3_SECRET_FOLDER must have a file {path.name} to read, got {path.parent}.") from error


def _check_endpoint(endpoint: str | None) -> str:
    if not endpoint:
        raise ValueError("A store at s3:// needs PEERKD_S3_ENDPOINT, as in http://minio.example:9000.")
    try:
        address = urlsplit(endpoint)
        usable = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:
        usable = False
    if not usable or address.path not in ("", "/") or address.query or address.fragment or address.username:
        raise ValueError(f"PEERKD_S3_ENDPOINT must be like http://host:port or https://host:port, got {endpoint}.")
    return f"{address.scheme}://{address.netloc}"
