"""The settings of an S3 store.

They are read only from environment variables, because configs and addresses appear in messages and reports.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from peerkd.artifacts.redaction import without_secrets

_FOLDER_VARIABLE: Final = "PEERKD_S3_SECRET_FOLDER"
_KEY_VARIABLES: Final = ("PEERKD_S3_ACCESS_KEY", "PEERKD_S3_SECRET_KEY")
_AWS_VARIABLES: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_KEY_FILES: Final = ("access-key", "secret-key")
_HOST: Final = re.compile(r"[A-Za-z0-9._\[\]:-]+")

_DEFAULT_REGION: Final = "us-east-1"
"""The region for which requests are signed if the user has set no region and the host contains none."""
_AMAZON: Final = re.compile(r"(?:.*\.)?s3[a-z0-9-]*\.(?:.*\.)?(?:amazonaws\.com(?:\.cn)?|amazonaws\.eu|api\.aws)")
"""The pattern of the hosts of Amazon S3: regional, global, dual-stack and FIPS hosts, access points, VPC endpoints.

A user's own server on an Amazon machine or behind an Amazon load balancer does not match."""
_AMAZON_REGION: Final = re.compile(r"(?:s3-(?:fips-)?)?([a-z]{2,4}(?:-[a-z]+)+-\d+)")
"""The pattern of the part of a host name that contains the region.

It matches the second part of s3.eu-west-2.amazonaws.com and the first of s3-eu-west-2.amazonaws.com."""
_AMAZON_GLOBAL: Final = ("s3.amazonaws.com", "s3-external-1.amazonaws.com")
"""The hosts of Amazon S3 that serve buckets in all regions."""
_WITH_REGIONS: Final = re.compile(
    r"(?:.*\.)?(?:"
    r"s3\.([a-z0-9-]+)\.(?:backblazeb2\.com|wasabisys\.com|scw\.cloud|cloud-object-storage\.appdomain\.cloud)"
    r"|s3\.([a-z0-9-]+)\.(?:io|perf)\.cloud\.ovh\.(?:net|us)"
    r"|compat\.objectstorage\.([a-z0-9-]+)\.oraclecloud\.com"
    r"|cos\.([a-z0-9-]+)\.myqcloud\.com|sos-([a-z0-9-]+)\.exo\.io|([a-z0-9-]+)\.your-objectstorage\.com)"
)
"""The pattern of host names that contain a region, for services other than Amazon S3. One group of a match is the
region."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The settings of a connection to an S3 server."""

    endpoint: str
    """The address of the server: ``http://host:port`` or ``https://host:port``."""
    region: str = _DEFAULT_REGION
    """The region for which requests are signed. A service refuses requests that are signed for another region."""
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    secret_folder: Path | None = None
    """The folder from which the keys were read; None if they come from variables.

    The files in the folder may be replaced while the program runs."""
    ca_file: str | None = None
    """A file with the certificates of the authorities to trust; None for the public ones."""


def read_settings(environment: Mapping[str, str] = os.environ, *, store: str = "s3://") -> Settings:
    """Read the settings from environment variables.

    They are ``PEERKD_S3_ENDPOINT``, ``PEERKD_S3_REGION``, ``PEERKD_S3_ACCESS_KEY``, ``PEERKD_S3_SECRET_KEY`` and
    ``PEERKD_S3_CA_FILE``. Instead of the keys, ``PEERKD_S3_SECRET_FOLDER`` may name a folder with the files
    ``access-key`` and ``secret-key``, such as a mounted secret. Where these are not set, variables that other programs
    use as well are read: ``AWS_ENDPOINT_URL``, ``AWS_REGION``, ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY`` (with
    ``AWS_SESSION_TOKEN``) and ``SSL_CERT_FILE``. The region may be omitted if the host of the endpoint contains it.

    Args:
        environment: The variables.
        store: The address of the store, for messages.

    Raises:
        ValueError: If the endpoint, the region or the keys are missing or not valid. No message shows a secret.
    """

    def first_of(*names: str) -> str | None:
        return next((text for name in names if (text := environment.get(name, "").strip())), None)

    # All keys come from the same source.
    folder, session_token = None, ""
    access_key, secret_key = _read_variables(environment, *_KEY_VARIABLES)
    if not access_key and not secret_key:
        text = environment.get(_FOLDER_VARIABLE, "").strip()
        if text:
            folder = Path(text)
            access_key, secret_key = read_key_files(folder)
        else:
            access_key, secret_key, session_token = _read_variables(environment, *_AWS_VARIABLES)
    if not access_key or not secret_key:
        raise ValueError(
            f"The store {without_secrets(store, keeps_path=True)} needs credentials: set PEERKD_S3_ACCESS_KEY and "
            "PEERKD_S3_SECRET_KEY, or "
            "PEERKD_S3_SECRET_FOLDER to a folder with the files access-key and secret-key."
        )
    ca_file = first_of("PEERKD_S3_CA_FILE", "SSL_CERT_FILE")
    if ca_file and not Path(ca_file).is_file():
        raise ValueError(f"PEERKD_S3_CA_FILE must name a file with certificates, got {ca_file}.")
    endpoint = check_endpoint(first_of("PEERKD_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"))
    return Settings(
        endpoint=f"{endpoint.scheme}://{endpoint.netloc}",
        region=_choose_region(
            (endpoint.hostname or "").rstrip("."),
            own=first_of("PEERKD_S3_REGION"),
            shared=first_of("AWS_REGION", "AWS_DEFAULT_REGION"),
        ),
        access_key=access_key,
        secret_key=secret_key,
        session_token=session_token or None,
        secret_folder=folder,
        ca_file=ca_file,
    )


def check_endpoint(endpoint: str | None) -> SplitResult:
    """Return the parts of the address of an S3 server: a scheme, a host and perhaps a port.

    The address appears in messages, logs and the manifests of jobs, so it must not contain a secret.

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


def check_key(text: str, *, where: str) -> str:
    """Return an access key or a secret key without the line end that editors and ``echo`` append to it.

    Args:
        text: The content of a variable or a file.
        where: The name of that variable or file, for the message.

    Raises:
        ValueError: If the key is empty, or has whitespace or another character that no key has. The message does not
            show the key.
    """
    key = text.removesuffix("\n").removesuffix("\r")
    if not key:
        raise ValueError(f"{where} must be a key, got an empty text.")
    for number, character in enumerate(key, start=1):
        if not "!" <= character <= "~":
            kind = "whitespace" if character.isspace() else "a character that no key has"
            raise ValueError(
                f"{where} must be a key of printable ASCII characters without spaces, got {kind} (U+"
                f"{ord(character):04X}) at position {number} of {len(key)}: enter it again."
            )
    return key


def read_key_files(folder: Path) -> tuple[str, str]:
    """Return the access key and the secret key from the files of a folder.

    Raises:
        ValueError: If a file cannot be read, or its content is no key.
    """
    access_key, secret_key = (_read_key_file(folder / name) for name in _KEY_FILES)
    return access_key, secret_key


def _read_key_file(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise ValueError(
            f"PEERKD_S3_SECRET_FOLDER must be a folder with a readable file {path.name}, got {path.parent}."
        ) from error
    return check_key(text, where=f"The content of {path}")


def _read_variables(environment: Mapping[str, str], *names: str) -> list[str]:
    return [check_key(environment[name], where=name) if environment.get(name) else "" for name in names]


def _choose_region(host: str, *, own: str | None, shared: str | None) -> str:
    """Return the region for which requests are signed.

    Args:
        host: The host of the endpoint, in lower case.
        own: The region that the user has set for this program, or None.
        shared: The region that the user has set for all programs, or None. It is used if ``own`` is None and the host
            contains no region.

    Raises:
        ValueError: If ``own`` differs from the region that a host of Amazon S3 contains, or if no region is known for a
            host of Amazon S3 that serves only one region.
    """
    named = _region_of(host)
    is_amazon = _AMAZON.fullmatch(host) is not None
    if is_amazon and named and own not in (None, named):
        raise ValueError(
            f"PEERKD_S3_REGION must be {named}, the region that PEERKD_S3_ENDPOINT names ({host}), got {own}."
        )
    region = own or named or shared
    if is_amazon and not region and host not in _AMAZON_GLOBAL:
        raise ValueError(f"PEERKD_S3_REGION must be set, since PEERKD_S3_ENDPOINT names no region: {host}.")
    return region or _DEFAULT_REGION


def _region_of(host: str) -> str | None:
    """Return the region that the name of a host contains; None if it contains none."""
    if host in _AMAZON_GLOBAL:
        return None
    if _AMAZON.fullmatch(host):
        labels = (_AMAZON_REGION.fullmatch(label) for label in reversed(host.split(".")))
        return next((found[1] for found in labels if found), None)
    if f".{host}".endswith(".r2.cloudflarestorage.com"):
        return "auto"
    found = _WITH_REGIONS.fullmatch(host)
    return next(filter(None, found.groups())) if found else None
