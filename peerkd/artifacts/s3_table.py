"""The calls to an S3 server, and which of their failures are transient: one table for all of them.

``SHAPES`` holds the HTTP method of each call and what a correct answer to it has. The first row of ``ANSWERS`` that
matches an answer of another shape decides its outcome, and the first row of ``FAILURES`` that of a request that got no
answer or one that cannot be read.
"""

import ssl
from collections.abc import Mapping, Set
from dataclasses import KW_ONLY, dataclass
from enum import Enum, auto
from typing import Final
from xml.etree.ElementTree import ParseError

from urllib3.exceptions import HTTPError


class Call(Enum):
    """A kind of request."""

    GET = auto()
    """A whole small object."""
    READ = auto()
    """A range of an object, on the condition that it has a certain ETag."""
    HEAD = auto()
    LIST = auto()
    PUT = auto()
    PUT_NEW = auto()
    """An object, on the condition that it does not exist yet."""
    DELETE = auto()
    """Several objects."""
    COPY = auto()
    """A whole object, on the condition that it has a certain ETag."""
    BEGIN = auto()
    PART = auto()
    COPY_PART = auto()
    """A range of an object, on the same condition as ``COPY``."""
    END = auto()
    ABORT = auto()
    UPLOADS = auto()


class Outcome(Enum):
    """What a failed request leads to."""

    TRANSIENT = auto()
    """The request is repeated until the patience ends."""
    REFUSED_AT_FIRST = auto()
    """``REFUSED`` until the store has answered a request correctly, and ``TRANSIENT`` from then on: what worked before
    may work again."""
    REFUSED = auto()
    """The request is repeated a few times, since a server also refuses one that was damaged in transit. After that the
    user is told what to do."""

    # The caller gets an error of this name, and handles it.
    MISSING = auto()
    CONDITION = auto()
    NO_CONDITIONS = auto()
    UPLOAD_LOST = auto()


class Reason(Enum):
    """Why a request is refused, which decides what the user is told to do."""

    CREDENTIALS = auto()
    DENIED = auto()
    BUCKET = auto()
    REGION = auto()
    CLOCK = auto()
    FULL = auto()
    TRUST = auto()
    OTHER = auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """The HTTP method of a call, and what a correct answer to it has.

    Besides, every answer with a body must state its length or come in chunks.
    """

    method: str
    statuses: Set[int] = frozenset({200})
    headers: tuple[str, ...] = ()
    root: str | None = None
    """The root element of the XML; None if the body is not read as XML."""


SHAPES: Final[Mapping[Call, Shape]] = {
    Call.GET: Shape(method="GET", headers=("etag",)),
    Call.READ: Shape(method="GET", statuses=frozenset({206}), headers=("content-range",)),
    Call.HEAD: Shape(method="HEAD", headers=("etag", "content-length")),
    Call.LIST: Shape(method="GET", root="ListBucketResult"),
    Call.PUT: Shape(method="PUT", headers=("etag",)),
    Call.PUT_NEW: Shape(method="PUT", headers=("etag",)),
    Call.DELETE: Shape(method="POST", root="DeleteResult"),
    Call.COPY: Shape(method="PUT", root="CopyObjectResult"),
    Call.BEGIN: Shape(method="POST", root="InitiateMultipartUploadResult"),
    Call.PART: Shape(method="PUT", headers=("etag",)),
    Call.COPY_PART: Shape(method="PUT", root="CopyPartResult"),
    Call.END: Shape(method="POST", root="CompleteMultipartUploadResult"),
    Call.ABORT: Shape(method="DELETE", statuses=frozenset({200, 204})),
    Call.UPLOADS: Shape(method="GET", root="ListMultipartUploadsResult"),
}

_ALL: Final = frozenset(Call)
_OF_OBJECTS: Final = frozenset({Call.GET, Call.READ, Call.HEAD, Call.COPY, Call.COPY_PART})
_WITH_CONDITIONS: Final = frozenset({Call.READ, Call.COPY, Call.COPY_PART, Call.PUT_NEW})
_OF_UPLOADS: Final = frozenset({Call.PART, Call.COPY_PART, Call.END, Call.ABORT})


@dataclass(frozen=True, slots=True)
class Row:
    """Answers that have the same outcome."""

    outcome: Outcome
    _: KW_ONLY
    codes: Set[str] | None = None
    """The code in the answer's XML; "" if the answer has none, as one that no S3 server wrote. None matches any."""
    statuses: range = range(1000)
    calls: Set[Call] = _ALL
    reason: Reason = Reason.OTHER


ANSWERS: Final[tuple[Row, ...]] = (
    # Outcomes that callers handle.
    Row(Outcome.MISSING, codes={"NoSuchKey"}, calls=_OF_OBJECTS),
    Row(Outcome.CONDITION, codes={"PreconditionFailed"}, calls=_WITH_CONDITIONS),
    # The object has been replaced by a shorter one.
    Row(Outcome.CONDITION, codes={"InvalidRange"}, calls={Call.READ, Call.COPY_PART}),
    Row(Outcome.NO_CONDITIONS, codes={"NotImplemented"}, calls={Call.PUT_NEW}),
    Row(Outcome.UPLOAD_LOST, codes={"NoSuchUpload"}, calls=_OF_UPLOADS),
    Row(Outcome.UPLOAD_LOST, codes={"InvalidPart", "InvalidPartOrder"}, calls={Call.END}),
    # The server, or a proxy in front of it, is busy.
    Row(Outcome.TRANSIENT, codes={"SlowDown", "SlowDownRead", "SlowDownWrite", "Busy"}),
    Row(
        outcome=Outcome.TRANSIENT,
        codes={"Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"},
    ),
    Row(
        outcome=Outcome.TRANSIENT, codes={"InternalError", "ServiceUnavailable", "RequestTimeout", "OperationTimedOut"}
    ),
    # Another request for the same object was in progress.
    Row(Outcome.TRANSIENT, codes={"OperationAborted", "ConditionalRequestConflict"}),
    # The body arrived damaged.
    Row(Outcome.TRANSIENT, codes={"IncompleteBody", "MissingContentLength", "BadDigest", "InvalidDigest"}),
    Row(Outcome.TRANSIENT, codes={"XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "MalformedXML"}),
    # Mistakes that a user can fix, unless the same request worked before: then an administrator may be at work.
    Row(Outcome.REFUSED_AT_FIRST, codes={"ExpiredToken", "TokenRefreshRequired"}, reason=Reason.CREDENTIALS),
    Row(Outcome.REFUSED_AT_FIRST, codes={"InvalidAccessKeyId", "InvalidToken"}, reason=Reason.CREDENTIALS),
    Row(Outcome.REFUSED_AT_FIRST, codes={"SignatureDoesNotMatch"}, reason=Reason.CREDENTIALS),
    Row(Outcome.REFUSED_AT_FIRST, codes={"NoSuchBucket"}, reason=Reason.BUCKET),
    Row(Outcome.REFUSED_AT_FIRST, codes={"RequestTimeTooSkewed", "RequestExpired"}, reason=Reason.CLOCK),
    Row(
        outcome=Outcome.REFUSED_AT_FIRST,
        codes={"AuthorizationHeaderMalformed", "PermanentRedirect"},
        reason=Reason.REGION,
    ),
    Row(Outcome.REFUSED, codes={"InvalidRegion", "IllegalLocationConstraintException"}, reason=Reason.REGION),
    Row(Outcome.REFUSED, codes={"InvalidBucketName"}, reason=Reason.BUCKET),
    # One operation may be denied while others are allowed, so earlier correct answers say nothing about it.
    Row(Outcome.REFUSED, codes={"AccessDenied", "AllAccessDisabled", "AccountProblem"}, reason=Reason.DENIED),
    Row(Outcome.REFUSED, codes={"QuotaExceeded", "XMinioStorageFull"}, reason=Reason.FULL),
    Row(Outcome.REFUSED, codes={"XMinioAdminBucketQuotaExceeded"}, reason=Reason.FULL),
    # All other codes, and answers without a code.
    Row(Outcome.TRANSIENT, statuses=range(500, 1000)),
    Row(Outcome.TRANSIENT, statuses=range(408, 409)),
    Row(Outcome.TRANSIENT, statuses=range(429, 430)),
    Row(Outcome.TRANSIENT, statuses=range(300)),
    Row(Outcome.REFUSED_AT_FIRST, codes={""}),
    Row(Outcome.REFUSED),
)

FAILURES: Final[tuple[tuple[type[Exception], Outcome, Reason], ...]] = (
    # A certificate is not trusted, or the server does not speak TLS.
    (ssl.SSLError, Outcome.REFUSED_AT_FIRST, Reason.TRUST),
    # A connection was refused, reset, timed out, or cut: in the status line, in the headers or in the body.
    (HTTPError, Outcome.TRANSIENT, Reason.OTHER),
    # The body is complete and is not XML.
    (ParseError, Outcome.TRANSIENT, Reason.OTHER),
)


def find_row(call: Call, *, status: int, code: str) -> Row:
    """Return the row of ``ANSWERS`` for an answer of another shape."""
    return next(
        row
        for row in ANSWERS
        if (row.codes is None or code in row.codes) and status in row.statuses and call in row.calls
    )
