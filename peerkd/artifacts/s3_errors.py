"""What an S3 server, or the way to it, answers instead of what was asked for: the end of foreign exceptions."""

import re
from collections.abc import Mapping
from typing import Final
from xml.etree.ElementTree import ParseError

from urllib3.exceptions import HTTPError

from peerkd.artifacts.s3_table import FAILURES, Call, Outcome, Reason, find_row

FOREIGN_ERRORS: Final = (HTTPError, ParseError)
"""All that a request raises besides ``AnswerError``."""

NUM_TRIES_OF_REFUSED: Final = 4
NUM_TRIES_OF_DAMAGED: Final = 10
"""If a third of all answers were damaged, this many in a row would be in one of 60,000 cases."""


class PassingError(Exception):
    """The store did not answer, or answered that it cannot at the moment: ask again."""

    def __init__(self, text: str, *, num_tries: int | None = None, lasting: Exception | None = None) -> None:
        super().__init__(text)
        self.num_tries = num_tries
        """Times that the request is made at most. None: for as long as there is patience."""
        self.lasting = lasting
        """What it is called if it does not pass. None: a ``StoreUnavailableError``."""


class AnswerError(Exception):
    """The store answered something else than what a call asks for."""

    def __init__(self, *, status: int, code: str = "", message: str = "") -> None:
        super().__init__(f"status {status}, {code or 'not in the words of S3'}{': ' if message else ''}{message}")
        self.status, self.code, self.message = status, code, message


class MissingError(Exception):
    """There is nothing under this name."""


class ConditionError(Exception):
    """The object was to have a certain content, or not to be there."""


class NoConditionsError(Exception):
    """The server does not know the condition that the request made."""


class UploadLostError(Exception):
    """The server does not know the upload: it is complete, or somebody aborted it."""


_AT_ONCE: Final[Mapping[Outcome, type[Exception]]] = {
    Outcome.MISSING: MissingError,
    Outcome.CONDITION: ConditionError,
    Outcome.NO_CONDITIONS: NoConditionsError,
    Outcome.UPLOAD_LOST: UploadLostError,
}


def judge(error: Exception, call: Call, *, endpoint: str, bucket: str, has_answered: bool) -> Exception:
    """Return one of this module's errors for an ``AnswerError`` or one of ``FOREIGN_ERRORS``, by the table.

    Args:
        error: What a request raised.
        call: Its kind.
        endpoint: Where the server is, for the user.
        bucket: The name of the bucket, for the user.
        has_answered: Whether the store has answered a request of this process rightly before.
    """
    if isinstance(error, AnswerError):
        row = find_row(call, status=error.status, code=error.code)
        if row.outcome in _AT_ONCE:
            return _AT_ONCE[row.outcome](error.code)
        outcome, reason, code, text = row.outcome, row.reason, error.code, str(error)
    else:
        cause = _bottom(error)
        outcome, reason = next(row[1:] for row in FAILURES if isinstance(cause, row[0]) or isinstance(error, row[0]))
        code, text = "", "the answer is not XML" if isinstance(error, ParseError) else _short(cause)
    if outcome is Outcome.PASSES:
        return PassingError(text)
    lasting = ValueError(_SENTENCES[reason].format(endpoint=endpoint, bucket=bucket, code=code, text=text))
    if outcome is Outcome.LAPSES and has_answered:
        return PassingError(text, lasting=lasting)
    return PassingError(text, num_tries=NUM_TRIES_OF_REFUSED, lasting=lasting)


_SENTENCES: Final = {
    Reason.CREDENTIALS: (
        "The store {endpoint} does not know the credentials ({code}): set PEERKD_S3_ACCESS_KEY and "
        "PEERKD_S3_SECRET_KEY to those of one of its users."
    ),
    Reason.DENIED: (
        "The store {endpoint} denies these credentials the use of bucket {bucket} ({code}): allow them to list it "
        "and to get, put and delete in it, or set PEERKD_S3_ACCESS_KEY and PEERKD_S3_SECRET_KEY to others."
    ),
    Reason.BUCKET: (
        "The store {endpoint} has no bucket {bucket}: make it, or name another in the address s3://BUCKET/PREFIX."
    ),
    Reason.REGION: "The store {endpoint} is in another region ({text}): set PEERKD_S3_REGION.",
    Reason.CLOCK: "The clocks of this machine and of the store {endpoint} must agree: set the one that is wrong.",
    Reason.FULL: "The bucket {bucket} of the store {endpoint} is full ({code}): make room, or raise its quota.",
    Reason.TRUST: (
        "The store {endpoint} cannot be trusted ({text}): set PEERKD_S3_CA_FILE to a file with the certificate of its "
        "authority, or PEERKD_S3_ENDPOINT to an address with http:// if it has none."
    ),
    Reason.OTHER: "The store {endpoint} refuses the request ({text}): check PEERKD_S3_ENDPOINT and the server.",
}


def _bottom(error: BaseException) -> BaseException:
    """Return what is at the bottom of an error of urllib3, which wraps errors and repeats their texts."""
    inner = error.args[-1] if error.args else None
    return _bottom(inner) if isinstance(inner, BaseException) else error


def _short(error: BaseException) -> str:
    # As in "HTTPConnection(host='a', port=1): Failed to establish a new connection: [Errno 111] Connection refused".
    return re.sub(r"^\[.*?\] ", "", str(error).rpartition(": ")[2]) or type(error).__name__
