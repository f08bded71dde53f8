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
    """The name of the check."""

    ok: bool | None
    """None: the person who runs the check lacks a permission for it."""

    sentence: str
    mend: str = ""
    """What to do about it; empty if nothing needs to be done."""


def not_allowed(name: str, asked: str) -> Finding:
    """Return the finding of a check for which a permission is missing.

    Args:
        name: The name of the check.
        asked: The action that needs the permission, as in "list nodes".
    """
    return Finding(
        name,
        None,
        f"You may not {asked}, so this was not checked.",
        f"Have peerkd doctor run by somebody who may {asked}.",
    )


def refused(name: str, asked: str, error: ClusterRefusedError) -> Finding:
    """Return the finding of a check whose request the cluster refused: a missing permission is not a failure."""
    if error.status == _STATUS_FORBIDDEN:
        return not_allowed(name, asked)
    return Finding(name, False, str(error), "The cluster's own words say what is wrong.")


Found = TypeVar("Found", Finding, Finding | None)


def check(name: str, *, asked: str) -> Callable[[Callable[Arguments, Found]], Callable[Arguments, Found | Finding]]:
    """Turn a refusal within a check into its finding.

    Args:
        name: The name of the check.
        asked: The action that needs a permission, as in "list nodes".
    """

    def decorate(function: Callable[Arguments, Found]) -> Callable[Arguments, Found | Finding]:
        @functools.wraps(function)
        def checked(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Found | Finding:
            try:
                return function(*args, **kwargs)
            except ClusterRefusedError as error:
                return refused(name, asked, error)

        return checked

    return decorate
