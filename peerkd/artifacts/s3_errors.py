"""Failures of requests to an S3 server, and two tables that decide which of them are transient.

If the response of the server reports an error, the first matching row of ``ANSWERS`` decides what happens next. If no
response arrives, or the response cannot be read, the request raises an exception, and the first matching row of
``FAILURES`` decides.
"""

import re
import ssl
from collections.abc import Set
from dataclasses import KW_ONLY, dataclass
from enum import Enum, auto
from typing import Final
from xml.etree.ElementTree import ParseError

from urllib3.exceptions import HTTPError

NUM_TRIES_OF_REFUSED: Final = 4
NUM_TRIES_OF_DAMAGED: Final = 10
"""The maximum number of attempts at a request whose response is damaged.

If a third of all responses were damaged, one request in 60,000 would fail this often in a row."""


class Call(Enum):
    """A kind of request. The same response of a store can mean different errors for different kinds."""

    READ = auto()
    """A request for a range of an object, under the condition that the object has a certain ETag."""
    LIST = auto()
    UPLOADS = auto()
    GET = auto()
    """A request for a whole small object."""
    HEAD = auto()
    COPY_PART = auto()
    """A request to copy a range of an object into a part of an upload, if the object has a certain ETag."""
    COPY = auto()
    """A request to copy a whole object, under the condition that it has a certain ETag."""
    PART = auto()
    PUT_NEW = auto()
    """A request to write an object, under the condition that it does not exist yet."""
    PUT = auto()
    DELETE = auto()
    """A request to delete several objects."""
    BEGIN = auto()
    END = auto()
    ABORT = auto()


class TransientError(Exception):
    """A failure of a request that may succeed if it is repeated."""

    def __init__(self, text: str, *, num_tries: int | None = None, final_error: Exception | None = None) -> None:
        super().__init__(text)
        self.num_tries = num_tries
        """The maximum number of attempts at the request; None if only the time is limited."""
        self.final_error = final_error
        """The error to raise if the last attempt fails too; None means a ``StoreUnavailableError``."""


class AnswerError(Exception):
    """A response that reports an error, either by its HTTP status or by an XML element ``Error``."""

    def __init__(self, call: Call, *, status: int, code: str = "", message: str = "") -> None:
        super().__init__(f"status {status}, {code or 'without an S3 error code'}{': ' if message else ''}{message}")
        self.call, self.status, self.code = call, status, code


class MissingError(Exception):
    """An object that a request names does not exist."""


class ConditionError(Exception):
    """The condition of a request does not hold: the object has changed, or exists already."""


class NoConditionsError(Exception):
    """The server does not support conditional writes."""


class UploadLostError(Exception):
    """The server does not know a multipart upload, because it was completed or aborted."""


class FailureKind(Enum):
    """What happens after a failed request."""

    TRANSIENT = auto()
    """The request is repeated until the time limit."""
    REFUSED_AT_FIRST = auto()
    """Like ``REFUSED`` until the store has answered a request correctly, and like ``TRANSIENT`` from then on.

    A kind of request that has worked before may work again."""
    REFUSED = auto()
    """The request is repeated a few times, because a server also refuses a request that was damaged in transit.

    After that, an error with a message for the user is raised."""


_CREDENTIALS: Final = (
    "The store {endpoint} does not know the credentials ({code}): set PEERKD_S3_ACCESS_KEY and PEERKD_S3_SECRET_KEY to "
    "those of one of its users."
)
_DENIED: Final = (
    "The store {endpoint} denies these credentials the use of bucket {bucket} ({code}): allow them to list it and "
    "to get its objects, and in a store also to put and delete objects, or set PEERKD_S3_ACCESS_KEY and "
    "PEERKD_S3_SECRET_KEY to others."
)
_BUCKET: Final = (
    "The store {endpoint} has no bucket {bucket}: create it, or name another in the address s3://BUCKET/PREFIX."
)
_REGION: Final = "The store {endpoint} is in another region ({text}): set PEERKD_S3_REGION."
_CLOCK: Final = "The clocks of this machine and of the store {endpoint} must agree: correct the one that is wrong."
_FULL: Final = "The bucket {bucket} of the store {endpoint} is full ({code}): free some space, or raise its quota."
_TRUST: Final = (
    "The store {endpoint} cannot be trusted ({text}): set PEERKD_S3_CA_FILE to a file with the certificate of its "
    "authority, or PEERKD_S3_ENDPOINT to an address with http:// if it has none."
)
_OTHER: Final = "The store {endpoint} refuses the request ({text}): check PEERKD_S3_ENDPOINT and the server."


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table ``ANSWERS``: the conditions that a response must match, and what happens then."""

    kind: FailureKind | type[Exception]
    """What happens after the failure; or the type of an error that is raised so that callers can handle it."""
    codes: Set[str] | None = None
    """The error codes that match; None if all codes do.

    The empty code stands for a response without an error code, which does not come from an S3 server."""
    sentence: str = _OTHER
    """The message for the user if the request is finally refused."""
    _: KW_ONLY
    statuses: Set[int] | range = range(1000)
    calls: Set[Call] = frozenset(Call)


_OF_OBJECTS: Final = frozenset({Call.GET, Call.READ, Call.HEAD, Call.COPY, Call.COPY_PART})
_WITH_CONDITIONS: Final = frozenset({Call.READ, Call.COPY, Call.COPY_PART, Call.PUT_NEW})
_OF_UPLOADS: Final = frozenset({Call.PART, Call.COPY_PART, Call.END, Call.ABORT})

ANSWERS: Final[tuple[Row, ...]] = (
    Row(MissingError, {"NoSuchKey"}, calls=_OF_OBJECTS),
    Row(ConditionError, {"PreconditionFailed"}, calls=_WITH_CONDITIONS),
    # The object has been replaced by a shorter one.
    Row(ConditionError, {"InvalidRange"}, calls={Call.READ, Call.COPY_PART}),
    Row(NoConditionsError, {"NotImplemented"}, calls={Call.PUT_NEW}),
    Row(UploadLostError, {"NoSuchUpload"}, calls=_OF_UPLOADS),
    Row(UploadLostError, {"InvalidPart", "InvalidPartOrder"}, calls={Call.END}),
    # The server, or a proxy in front of it, is busy.
    Row(
        FailureKind.TRANSIENT,
        {"SlowDown", "SlowDownRead", "SlowDownWrite", "Busy", "Throttling", "ThrottlingException"},
    ),
    Row(FailureKind.TRANSIENT, {"RequestLimitExceeded", "TooManyRequests", "InternalError", "ServiceUnavailable"}),
    Row(FailureKind.TRANSIENT, {"RequestTimeout", "OperationTimedOut"}),
    # Another request for the same object was in progress.
    Row(FailureKind.TRANSIENT, {"OperationAborted", "ConditionalRequestConflict"}),
    # The body arrived damaged.
    Row(
        FailureKind.TRANSIENT, {"IncompleteBody", "MissingContentLength", "BadDigest", "InvalidDigest", "MalformedXML"}
    ),
    Row(FailureKind.TRANSIENT, {"XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"}),
    # Mistakes that a user can fix, unless the same request worked before: then an administrator may be at work.
    Row(FailureKind.REFUSED_AT_FIRST, {"ExpiredToken", "TokenRefreshRequired", "InvalidToken"}, _CREDENTIALS),
    Row(FailureKind.REFUSED_AT_FIRST, {"InvalidAccessKeyId", "SignatureDoesNotMatch"}, _CREDENTIALS),
    Row(FailureKind.REFUSED_AT_FIRST, {"NoSuchBucket"}, _BUCKET),
    Row(FailureKind.REFUSED_AT_FIRST, {"RequestTimeTooSkewed", "RequestExpired"}, _CLOCK),
    Row(FailureKind.REFUSED_AT_FIRST, {"AuthorizationHeaderMalformed", "PermanentRedirect"}, _REGION),
    Row(FailureKind.REFUSED, {"InvalidRegion", "IllegalLocationConstraintException"}, _REGION),
    Row(FailureKind.REFUSED, {"InvalidBucketName"}, _BUCKET),
    # One operation may be denied while others are allowed, so earlier correct responses do not matter.
    Row(FailureKind.REFUSED, {"AccessDenied", "AllAccessDisabled", "AccountProblem"}, _DENIED),
    Row(FailureKind.REFUSED, {"QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"}, _FULL),
    # All other codes, and responses without a code.
    Row(FailureKind.TRANSIENT, statuses=range(500, 1000)),
    Row(FailureKind.TRANSIENT, statuses={408, 429}),
    Row(FailureKind.TRANSIENT, statuses=range(300)),
    Row(FailureKind.REFUSED_AT_FIRST, {""}),
    Row(FailureKind.REFUSED),
)

FAILURES: Final[tuple[tuple[type[Exception], FailureKind, str], ...]] = (
    # A certificate is not trusted, or the server does not speak TLS.
    (ssl.SSLError, FailureKind.REFUSED_AT_FIRST, _TRUST),
    # A connection was refused, reset, timed out, or cut: in the status line, in the headers or in the body.
    (HTTPError, FailureKind.TRANSIENT, _OTHER),
    # The body is complete and is not XML, or the client cannot read one of its values.
    (ParseError, FailureKind.TRANSIENT, _OTHER),
    (ValueError, FailureKind.TRANSIENT, _OTHER),
)

FOREIGN_ERRORS: Final = (HTTPError, ParseError, ValueError)
"""The exceptions of libraries that a request can raise."""


def classify(error: Exception, *, endpoint: str, bucket: str, has_answered: bool) -> Exception:
    """Return the error of this module that corresponds to the error of a request, according to the two tables.

    Args:
        error: The error of the request: an ``AnswerError`` or one of ``FOREIGN_ERRORS``.
        endpoint: The address of the server, for the message.
        bucket: The name of the bucket, for the message.
        has_answered: Whether the store has answered an earlier request of this process correctly.
    """
    if isinstance(error, AnswerError):
        row = _find_row(error)
        kind, sentence, code, text = row.kind, row.sentence, error.code, str(error)
    else:
        cause = _innermost(error)
        kind, sentence = next(row[1:] for row in FAILURES if isinstance(cause, row[0]) or isinstance(error, row[0]))
        code, text = "", _message_of(cause) if isinstance(error, HTTPError) else f"the response cannot be read: {error}"
    if isinstance(kind, type):
        return kind(code)
    if kind is FailureKind.TRANSIENT:
        return TransientError(text)
    final_error = ValueError(sentence.format(endpoint=endpoint, bucket=bucket, code=code, text=text))
    if kind is FailureKind.REFUSED_AT_FIRST and has_answered:
        return TransientError(text, final_error=final_error)
    return TransientError(text, num_tries=NUM_TRIES_OF_REFUSED, final_error=final_error)


def _find_row(error: AnswerError) -> Row:
    return next(
        row
        for row in ANSWERS
        if (row.codes is None or error.code in row.codes) and error.status in row.statuses and error.call in row.calls
    )


def _innermost(error: BaseException) -> BaseException:
    """Return the original error within an error of urllib3, which wraps other errors several times."""
    inner = error.args[-1] if error.args else None
    return _innermost(inner) if isinstance(inner, BaseException) else error


def _message_of(error: BaseException) -> str:
    # Cut "HTTPConnection(host='a', port=1): Failed to establish a new connection: [Errno 111] Connection refused".
    return re.sub(r"^\[.*?\] ", "", str(error).rpartition(": ")[2]) or type(error).__name__
