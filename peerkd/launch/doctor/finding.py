"""What a check found."""

import functools
from collections.abc import Callable
from typing import Final, NamedTuple, ParamSpec, TypeVar

from peerkd.errors import ClusterRefusedError

Arguments = ParamSpec("Arguments")
_STATUS_FORBIDDEN: Final = 403


class Finding(NamedTuple):
    """What a check found."""

    name: str
    """Of the check."""

    ok: bool | None
    """None: it could not be checked by whoever asked."""

    sentence: str
    mend: str = ""
    """What to do about it; empty where there is nothing to do."""


def not_allowed(name: str, asked: str) -> Finding:
    """Return the finding of a check that whoever asks may not make.

    Args:
        name: Of the check.
        asked: What one must be allowed to do for it, as in "list nodes".
    """
    return Finding(
        name,
        None,
        f"You may not {asked}, so this was not checked.",
        f"Have peerkd doctor run by somebody who may {asked}.",
    )


Found = TypeVar("Found", Finding, Finding | None)


def check(name: str, *, asked: str) -> Callable[[Callable[Arguments, Found]], Callable[Arguments, Found | Finding]]:
    """Make a check of a function: what it may not look at is unknown, and no failure.

    Args:
        name: Of the check.
        asked: What one must be allowed to do for it, as in "list nodes".
    """

    def decorate(function: Callable[Arguments, Found]) -> Callable[Arguments, Found | Finding]:
        @functools.wraps(function)
        def checked(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Found | Finding:
            try:
                return function(*args, **kwargs)
            except ClusterRefusedError as error:
                if error.status != _STATUS_FORBIDDEN:
                    return Finding(name, False, str(error), "The cluster's own words say what is wrong.")
                return not_allowed(name, asked)

        return checked

    return decorate
