"""Objects of a user's own Python modules, which a config names as ``module:name``.

Only a config can name such an object, because importing a module executes its code. No other file that the program
reads, such as a checkpoint or an artifact, can name an object.
"""

import difflib
import hashlib
import re
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple

from peerkd.excerpt import plain, sentence

_PATH: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(@[0-9a-f]{8})?", re.ASCII)
"""The form of the path of an object: ``module:name``, perhaps with ``@`` and the digest of the module's file."""

_REMEDY: Final = "install the package, or start the command with PYTHONPATH set to the folder that contains the module"

_NUM_DIGITS: Final = 8
_MAX_REASON_CHARACTERS: Final = 300


class OwnObject(NamedTuple):
    """An object of a user's module, and the path that identifies its code."""

    path: str
    """``module:name@digest``. The digest consists of the first 8 hexadecimal digits of the SHA-256 of the module's
    file. A key that contains the path therefore changes when the file changes."""

    value: Any


def is_path(name: str) -> bool:
    """Return whether a name has the form of a path. Names of the program's own losses and kinds contain no colon."""
    return ":" in name


def find_object(path: str, *, field: str, noun: str) -> OwnObject:
    """Import a module, and return one of its objects.

    Args:
        path: ``module:name``, or ``module:name@digest`` for code that must not have changed.
        field: The field of the config, with which error messages begin.
        noun: What the object is, such as ``function``, for error messages.

    Raises:
        ValueError: If the module cannot be imported, lacks the object, or has changed. The message is one sentence.
    """
    if not _PATH.fullmatch(path):
        raise ValueError(
            f"{field} must be module:name, the dotted name of a module and the name of a {noun} in it, got "
            f"{plain(path)}."
        )
    named, _, digest = path.partition("@")
    module, _, name = named.partition(":")
    value = import_attribute(module, name, field=field, noun=noun)
    found = _digest(module)
    if digest and digest != found:
        raise ValueError(
            f"{field} must name code that has not changed, got {plain(path)}, and the file of {module} now has the "
            f"digest {found}; leave out @{digest} to use the changed code."
        )
    return OwnObject(f"{named}@{found}", value)


def import_attribute(module: str, name: str, *, field: str, noun: str) -> Any:
    """Import a module, and return one of its attributes.

    Raises:
        ValueError: If the module cannot be imported or has no such attribute. The message suggests a similar name.
    """
    try:
        found = import_module(module)
    except (Exception, SystemExit) as error:  # A script may parse its command line, or end, when it is imported.
        # A missing module that the user's module imports is no question of the path.
        is_missing = isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")
        remedy = f" ({_REMEDY})" if is_missing else ""
        raise ValueError(
            f"{field} must name a module that this environment can import, and {module} raised "
            f"{describe_error(error)}{remedy}."
        ) from error
    if not hasattr(found, name):
        near = nearest(name, [each for each in dir(found) if not each.startswith("_")])
        raise ValueError(f"{field} must name a {noun} of the module {module}{near}, got {name}.")
    return getattr(found, name)


def describe_error(error: BaseException) -> str:
    """Return the type and the first line of an exception that was raised by the code of a user's package."""
    text = next(iter(str(error).splitlines()), "")
    return plain(sentence(f"{type(error).__name__}{f': {text}' if text else ''}"), limit=_MAX_REASON_CHARACTERS).rstrip(
        "."
    )


def nearest(name: str, names: list[str]) -> str:
    """Return a suggestion for a misspelt name in parentheses, or an empty text if no name is similar."""
    near = difflib.get_close_matches(name[:80], names, n=1)
    return f" (did you mean {near[0]}?)" if near else ""


@cache
def _digest(module: str) -> str:
    """Return the digest of the file of a module that has just been imported; of its name if it has no file.

    The digest is computed once in a process, because the process does not import the module again either.
    """
    file = getattr(import_module(module), "__file__", None)
    content = Path(file).read_bytes() if file else module.encode()
    return hashlib.sha256(content).hexdigest()[:_NUM_DIGITS]
