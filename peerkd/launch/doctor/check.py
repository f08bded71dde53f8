"""The result of a check, and a decorator for checks that converts a refusal of the cluster into a result."""

import functools
from collections.abc import Callable
from typing import Final, NamedTuple, ParamSpec, TypeVar

from peerkd.errors import ClusterRefusedError

Arguments = ParamSpec("Arguments")
_STATUS_FORBIDDEN: Final = 403


class CheckResult(NamedTuple):
    """The result of one check."""

    name: str
    """The name of the check."""

    ok: bool | None
    """Whether the check passed; None if it could not be made, usually because a permission is missing."""

    sentence: str
    fix: str = ""
    """What a user can do about a problem that the check found; empty if nothing has to be done."""


def not_allowed(name: str, action: str) -> CheckResult:
    """Return the result of a check that could not be made, because the user lacks a permission.

    Args:
        name: The name of the check.
        action: The action that needs the permission, as in "list nodes".
    """
    return CheckResult(
        name,
        None,
        f"You may not {action}, so this was not checked.",
        f"Have peerkd doctor run by somebody who may {action}.",
    )


def refused(name: str, action: str, error: ClusterRefusedError) -> CheckResult:
    """Return the result of a check whose request the cluster refused.

    If the cluster refused because a permission is missing, the check counts as not made (``ok`` is None). If the
    cluster refused for any other reason, the check has failed.

    Args:
        name: The name of the check.
        action: The action that needs a permission, as in "list nodes".
        error: The refusal.
    """
    if error.status == _STATUS_FORBIDDEN:
        return not_allowed(name, action)
    return CheckResult(name, False, str(error), "The message of the cluster names the problem.")


Result = TypeVar("Result", CheckResult, CheckResult | None)


def check(
    name: str, *, action: str
) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result | CheckResult]]:
    """Return a decorator for a check. If the cluster refuses a request, the decorated check returns ``refused(...)``.

    Args:
        name: The name of the check.
        action: The action that needs a permission, as in "list nodes".
    """

    def decorate(function: Callable[Arguments, Result]) -> Callable[Arguments, Result | CheckResult]:
        @functools.wraps(function)
        def checked(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result | CheckResult:
            try:
                return function(*args, **kwargs)
            except ClusterRefusedError as error:
                return refused(name, action, error)

        return checked

    return decorate
