"""Keys to a store: where they are read from, and which texts cannot be keys."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

FOLDER_VARIABLE: Final = "PEERKD_S3_SECRET_FOLDER"
_VARIABLES: Final = ("PEERKD_S3_ACCESS_KEY", "PEERKD_S3_SECRET_KEY")
_FILES: Final = ("access-key", "secret-key")


class Keys(NamedTuple):
    """What proves who we are. It has no place in a message."""

    access_key: str
    secret_key: str
    session_token: str | None = None


def read_keys(environment: Mapping[str, str] = os.environ) -> Keys:
    """Return the keys that the environment holds, or the files of the folder that it names.

    Raises:
        ValueError: If there are none, or what is there cannot be a key.
    """
    folder = keys_folder(environment)

    def of(*names: str) -> list[str]:
        return [check_key(environment[name], where=name) if environment.get(name) else "" for name in names]

    access_key, secret_key = of(*_VARIABLES)
    session_token = None
    # Never one key from here and one from there.
    if folder:
        access_key, secret_key = (_read_key(folder / name) for name in _FILES)
    elif not access_key and not secret_key:
        access_key, secret_key, session_token = of("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    if not access_key or not secret_key:
        raise ValueError(
            "A store at s3:// needs credentials: set PEERKD_S3_ACCESS_KEY and PEERKD_S3_SECRET_KEY, or "
            "PEERKD_S3_SECRET_FOLDER to a folder with the files access-key and secret-key."
        )
    return Keys(access_key, secret_key, session_token or None)


def keys_folder(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the folder of the files that the keys are read from; None if the environment itself holds keys."""
    folder = environment.get(FOLDER_VARIABLE, "").strip()
    return Path(folder) if folder and not any(environment.get(name) for name in _VARIABLES) else None


def check_key(text: str, *, where: str) -> str:
    """Return the key that a text holds: without the line end that editors and ``echo`` put after it.

    Args:
        text: What is there.
        where: The variable, file or secret that it is in, for the message.

    Raises:
        ValueError: If it is empty, or has white space or other characters that no key has. No message shows it.
    """
    key = text.removesuffix("\n").removesuffix("\r")
    if not key:
        raise ValueError(f"{where} must be a key, got an empty text.")
    for number, character in enumerate(key, start=1):
        if not "!" <= character <= "~":
            kind = "white space" if character.isspace() else "a character that no key has"
            raise ValueError(
                f"{where} must be a key of printable ASCII characters without spaces, got {kind} (U+"
                f"{ord(character):04X}) as number {number} of {len(key)}: write it anew."
            )
    return key


def _read_key(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise ValueError(f"PEERKD_S3_SECRET_FOLDER must have a file {path.name} to read, got {path.parent}.") from error
    return check_key(text, where=f"The content of {path}")
