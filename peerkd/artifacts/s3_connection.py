"""The address and the credentials of the S3 server, from the environment alone: configs and addresses are shown."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from minio import Minio
from minio.credentials.credentials import Credentials
from minio.credentials.providers import Provider

from peerkd.artifacts.s3_endpoint import check_endpoint
from peerkd.artifacts.s3_keys import FOLDER_VARIABLE, keys_folder, read_keys
from peerkd.artifacts.s3_region import DEFAULT_REGION, choose_region
from peerkd.artifacts.s3_transport import open_pool


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The settings of a connection."""

    endpoint: str
    """``http://host:port`` or ``https://host:port``."""
    region: str = DEFAULT_REGION
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    secret_folder: str | None = None
    """The folder that the keys were read from, if any: its files may be replaced while the program runs."""
    ca_file: str | None = None
    """A file with the certificates of the authorities to trust; None for the public ones."""


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings from the environment.

    They are ``PEERKD_S3_ENDPOINT``, ``PEERKD_S3_REGION``, ``PEERKD_S3_ACCESS_KEY``, ``PEERKD_S3_SECRET_KEY`` and
    ``PEERKD_S3_CA_FILE``. Instead of the keys, ``PEERKD_S3_SECRET_FOLDER`` may name a folder with the files
    ``access-key`` and ``secret-key``, such as a mounted secret. Where these are not set, variables that other programs
    use as well are read: ``AWS_ENDPOINT_URL``, ``AWS_REGION``, ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY`` (with
    ``AWS_SESSION_TOKEN``) and ``SSL_CERT_FILE``. The region may be omitted if the host of the endpoint contains it.

    Raises:
        ValueError: If the endpoint, the region or the keys are missing or not valid. No message shows a secret.
    """

    def first_of(*names: str) -> str | None:
        return next((text for name in names if (text := environment.get(name, "").strip())), None)

    keys, folder = read_keys(environment), keys_folder(environment)
    ca_file = first_of("PEERKD_S3_CA_FILE", "SSL_CERT_FILE")
    if ca_file and not Path(ca_file).is_file():
        raise ValueError(f"PEERKD_S3_CA_FILE must name a file with certificates, got {ca_file}.")
    endpoint = check_endpoint(first_of("PEERKD_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"))
    region = choose_region(
        endpoint.hostname or "",
        peerkd_region=first_of("PEERKD_S3_REGION"),
        aws_region=first_of("AWS_REGION", "AWS_DEFAULT_REGION"),
    )
    return Settings(
        endpoint=f"{endpoint.scheme}://{endpoint.netloc}",
        region=region,
        access_key=keys.access_key,
        secret_key=keys.secret_key,
        session_token=keys.session_token,
        secret_folder=str(folder) if folder else None,
        ca_file=ca_file,
    )


def connect(settings: Settings) -> Minio:
    """Return a client, without sending a request.

    Raises:
        ValueError: If the client does not accept the endpoint or the region.
    """
    address = urlsplit(settings.endpoint)
    try:
        return Minio(
            address.netloc,
            credentials=_CurrentKeys(settings),
            secure=address.scheme == "https",
            region=settings.region,
            http_client=open_pool(settings.ca_file),
        )
    except ValueError as error:
        raise ValueError(
            f"PEERKD_S3_ENDPOINT and PEERKD_S3_REGION must be those of an S3 server, got {settings.endpoint} and "
            f"{settings.region}: {error}."
        ) from error


class _CurrentKeys(Provider):
    """The current keys: mounted files are read for each request, since an operator may have replaced them."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.secret_folder
        self._credentials = Credentials(settings.access_key, settings.secret_key, settings.session_token)

    def retrieve(self) -> Credentials:
        if self._folder:
            # While files are being replaced, they may be missing for a moment.
            with suppress(ValueError):
                keys = read_keys({FOLDER_VARIABLE: self._folder})
                self._credentials = Credentials(keys.access_key, keys.secret_key)
        return self._credentials
