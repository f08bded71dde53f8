"""Errors of requests to an S3 server. Exceptions of the HTTP client and the XML parser are translated here."""

import re
from collections.abc import Mapping
from typing import Final
from xml.etree.ElementTree import ParseError

from urllib3.exceptions import HTTPError

from peerkd.artifacts.s3_table import FAILURES, Call, Outcome, Reason, find_row

FOREIGN_ERRORS: Final = (HTTPError, ParseError)
"""All exceptions of libraries that a request raises."""

NUM_TRIES_OF_REFUSED: Final = 4
NUM_TRIES_OF_DAMAGED: Final = 10
"""If a third of all answers were damaged, one request in 60,000 would fail this many times in a row."""


class TransientError(Exception):
    """A request that failed and is worth repeating."""

    def __init__(self, text: str, *, num_tries: int | None = None, final_error: Exception | None = None) -> None:
        super().__init__(text)
        self.num_tries = num_tries
        """The most times that the request is made; None if only patience limits it."""
        self.final_error = final_error
        """The error to raise if the failure lasts; None for a ``StoreUnavailableError``."""


class AnswerError(Exception):
    """An answer that does not have the shape of a correct one."""

    def __init__(self, *, status: int, code: str = "", message: str = "") -> None:
        super().__init__(f"status {status}, {code or 'without an S3 error code'}{': ' if message else ''}{message}")
        self.status, self.code, self.message = status, code, message


class MissingError(Exception):
    """An object does not exist."""


class ConditionError(Exception):
    """The condition of a request does not hold: the object changed, or exists already."""


class NoConditionsError(Exception):
    """The server does not support the condition of a request."""


class UploadLostError(Exception):
    """The server does not know an upload: it was completed or aborted."""


_FOR_CALLERS: Final[Mapping[Outcome, type[Exception]]] = {
    Outcome.MISSING: MissingError,
    Outcome.CONDITION: ConditionError,
    Outcome.NO_CONDITIONS: NoConditionsError,
    Outcome.UPLOAD_LOST: UploadLostError,
}


def judge(error: Exception, call: Call, *, endpoint: str, bucket: str, has_answered: bool) -> Exception:
    """Return the error of this module that an ``AnswerError`` or one of ``FOREIGN_ERRORS`` stands for, by the table.

    Args:
        error: The error that a request raised.
        call: The kind of the request.
        endpoint: The address of the server, for the message.
        bucket: The name of the bucket, for the message.
        has_answered: Whether the store has answered an earlier request of this process correctly.
    """
    if isinstance(error, AnswerError):
        row = find_row(call, status=error.status, code=error.code)
        if row.outcome in _FOR_CALLERS:
            return _FOR_CALLERS[row.outcome](error.code)
        outcome, reason, code, text = row.outcome, row.reason, error.code, str(error)
    else:
        cause = _innermost(error)
        outcome, reason = next(row[1:] for row in FAILURES if isinstance(cause, row[0]) or isinstance(error, row[0]))
        code, text = "", "the answer is not XML" if isinstance(error, ParseError) else _message_of(cause)
    if outcome is Outcome.TRANSIENT:
        return TransientError(text)
    final_error = ValueError(_SENTENCES[reason].format(endpoint=endpoint, bucket=bucket, code=code, text=text))
    if outcome is Outcome.REFUSED_AT_FIRST and has_answered:
        return TransientError(text, final_error=final_error)
    return TransientError(text, num_tries=NUM_TRIES_OF_REFUSED, final_error=final_error)


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


def _innermost(error: BaseException) -> BaseException:
    """Return the original error within an error of urllib3, which wraps errors and repeats their messages."""
    inner = error.args[-1] if error.args else None
    return _innermost(inner) if isinstance(inner, BaseException) else error


def _message_of(error: BaseException) -> str:
    # Cut "HTTPConnection(host='a', port=1): Failed to establish a new connection: [Errno 111] Connection refused".
    return re.sub(r"^\[.*?\] ", "", str(error).rpartition(": ")[2]) or type(error).__name__
