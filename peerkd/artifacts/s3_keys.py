"""Keys of an S3 store: where they are read from, and which characters they may have."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

FOLDER_VARIABLE: Final = "PEERKD_S3_SECRET_FOLDER"
_VARIABLES: Final = ("PEERKD_S3_ACCESS_KEY", "PEERKD_S3_SECRET_KEY")
_AWS_VARIABLES: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_FILES: Final = ("access-key", "secret-key")


class Keys(NamedTuple):
    """The credentials of requests. They must never be part of a message."""

    access_key: str
    secret_key: str
    session_token: str | None = None


def read_keys(environment: Mapping[str, str] = os.environ) -> Keys:
    """Return the keys from the environment, or from the files of the folder that it names.

    Raises:
        ValueError: If a key is missing or has characters that no key has.
    """
    folder = keys_folder(environment)

    def values_of(*names: str) -> list[str]:
        return [check_key(environment[name], where=name) if environment.get(name) else "" for name in names]

    access_key, secret_key = values_of(*_VARIABLES)
    session_token = None
    # Both keys come from the same source.
    if folder:
        access_key, secret_key = (_read_key(folder / name) for name in _FILES)
    elif not access_key and not secret_key:
        access_key, secret_key, session_token = values_of(*_AWS_VARIABLES)
    if not access_key or not secret_key:
        raise ValueError(
            "A store at s3:// needs credentials: set PEERKD_S3_ACCESS_KEY and PEERKD_S3_SECRET_KEY, or "
            "PEERKD_S3_SECRET_FOLDER to a folder with the files access-key and secret-key."
        )
    return Keys(access_key, secret_key, session_token or None)


def keys_folder(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the folder that the keys are read from; None if it is not set or the environment itself has keys."""
    folder = environment.get(FOLDER_VARIABLE, "").strip()
    return Path(folder) if folder and not any(environment.get(name) for name in _VARIABLES) else None


def check_key(text: str, *, where: str) -> str:
    """Return a key without the line end that editors and ``echo`` append to it.

    Args:
        text: The content of a variable or a file.
        where: The name of that variable or file, for the message.

    Raises:
        ValueError: If the key is empty, or has white space or another character that no key has. The message does not
            show the key.
    """
    key = text.removesuffix("\n").removesuffix("\r")
    if not key:
        raise ValueError(f"{where} must be a key, got an empty text.")
    for number, character in enumerate(key, start=1):
        if not "!" <= character <= "~":
            kind = "white space" if character.isspace() else "a character that no key has"
            raise ValueError(
                f"{where} must be a key of printable ASCII characters without spaces, got {kind} (U+"
                f"{ord(character):04X}) at position {number} of {len(key)}: write it again."
            )
    return key


def _read_key(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise ValueError(
            f"PEERKD_S3_SECRET_FOLDER must be a folder with a readable file {path.name}, got {path.parent}."
        ) from error
    return check_key(text, where=f"The content of {path}")
