"""What passes and what does not: one table for all calls to an S3 server.

``SHAPES`` says what a right answer to each call has. An answer of another shape, or none at all, is judged by the first
row of ``ANSWERS`` or ``FAILURES`` that matches it.
"""

import ssl
from collections.abc import Mapping, Set
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final
from xml.etree.ElementTree import ParseError

from urllib3.exceptions import HTTPError


class Call(Enum):
    """A kind of request."""

    GET = auto()
    """A whole small object."""
    READ = auto()
    """A range of an object that must have a certain tag."""
    HEAD = auto()
    LIST = auto()
    PUT = auto()
    PUT_NEW = auto()
    """An object that must not exist yet."""
    DELETE = auto()
    """Several objects."""
    COPY = auto()
    """A whole object that must have a certain tag, as the next but one."""
    BEGIN = auto()
    PART = auto()
    COPY_PART = auto()
    END = auto()
    ABORT = auto()
    UPLOADS = auto()


class Outcome(Enum):
    """What becomes of an answer that is not the right one."""

    PASSES = auto()
    """The request is repeated for as long as there is patience."""
    LAPSES = auto()
    """As ``PASSES`` once the store has answered rightly: what was right before may be so again. As ``REFUSED`` else."""
    REFUSED = auto()
    """The request is repeated a few times, since one that was damaged on its way is refused too. Then the user is told
    what to do."""
    MISSING = auto()
    CONDITION = auto()
    NO_CONDITIONS = auto()
    UPLOAD_LOST = auto()


class Reason(Enum):
    """What the user is told to do."""

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
    """A right answer. Every answer with a body must say how long it is, or come in chunks that do."""

    statuses: Set[int] = frozenset({200})
    headers: tuple[str, ...] = ()
    root: str | None = None
    """The root element of the XML. None: the body is not read as XML."""


SHAPES: Final[Mapping[Call, Shape]] = {
    Call.GET: Shape(headers=("etag",)),
    Call.READ: Shape(statuses=frozenset({206}), headers=("content-range",)),
    Call.HEAD: Shape(headers=("etag", "content-length")),
    Call.LIST: Shape(root="ListBucketResult"),
    Call.PUT: Shape(headers=("etag",)),
    Call.PUT_NEW: Shape(headers=("etag",)),
    Call.DELETE: Shape(root="DeleteResult"),
    Call.COPY: Shape(root="CopyObjectResult"),
    Call.BEGIN: Shape(root="InitiateMultipartUploadResult"),
    Call.PART: Shape(headers=("etag",)),
    Call.COPY_PART: Shape(root="CopyPartResult"),
    Call.END: Shape(root="CompleteMultipartUploadResult"),
    Call.ABORT: Shape(statuses=frozenset({200, 204})),
    Call.UPLOADS: Shape(root="ListMultipartUploadsResult"),
}

_ALL: Final = frozenset(Call)
_OF_OBJECTS: Final = frozenset({Call.GET, Call.READ, Call.HEAD, Call.COPY, Call.COPY_PART})
_WITH_CONDITIONS: Final = frozenset({Call.READ, Call.COPY, Call.COPY_PART, Call.PUT_NEW})
_OF_UPLOADS: Final = frozenset({Call.PART, Call.COPY_PART, Call.END, Call.ABORT})


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """Answers that are judged alike."""

    outcome: Outcome
    codes: Set[str] | None = None
    """The code in the answer's XML: "" is an answer that is not in the words of S3. None: any."""
    statuses: range = range(1000)
    calls: Set[Call] = _ALL
    reason: Reason = Reason.OTHER


ANSWERS: Final[tuple[Row, ...]] = (
    # What callers ask for.
    Row(outcome=Outcome.MISSING, codes={"NoSuchKey"}, calls=_OF_OBJECTS),
    Row(outcome=Outcome.CONDITION, codes={"PreconditionFailed"}, calls=_WITH_CONDITIONS),
    # The object is shorter by now.
    Row(outcome=Outcome.CONDITION, codes={"InvalidRange"}, calls={Call.READ, Call.COPY_PART}),
    Row(outcome=Outcome.NO_CONDITIONS, codes={"NotImplemented"}, calls={Call.PUT_NEW}),
    Row(outcome=Outcome.UPLOAD_LOST, codes={"NoSuchUpload"}, calls=_OF_UPLOADS),
    Row(outcome=Outcome.UPLOAD_LOST, codes={"InvalidPart", "InvalidPartOrder"}, calls={Call.END}),
    # The server, or something on the way, is busy.
    Row(outcome=Outcome.PASSES, codes={"SlowDown", "SlowDownRead", "SlowDownWrite", "Busy"}),
    Row(outcome=Outcome.PASSES, codes={"Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"}),
    Row(outcome=Outcome.PASSES, codes={"InternalError", "ServiceUnavailable", "RequestTimeout", "OperationTimedOut"}),
    # Another request about the same object was under way.
    Row(outcome=Outcome.PASSES, codes={"OperationAborted", "ConditionalRequestConflict"}),
    # The body arrived damaged.
    Row(outcome=Outcome.PASSES, codes={"IncompleteBody", "MissingContentLength", "BadDigest", "InvalidDigest"}),
    Row(outcome=Outcome.PASSES, codes={"XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "MalformedXML"}),
    # What a user can change, and what an administrator may have changed for a while.
    Row(outcome=Outcome.LAPSES, codes={"ExpiredToken", "TokenRefreshRequired"}, reason=Reason.CREDENTIALS),
    Row(outcome=Outcome.LAPSES, codes={"InvalidAccessKeyId", "InvalidToken"}, reason=Reason.CREDENTIALS),
    Row(outcome=Outcome.LAPSES, codes={"SignatureDoesNotMatch"}, reason=Reason.CREDENTIALS),
    Row(outcome=Outcome.LAPSES, codes={"NoSuchBucket"}, reason=Reason.BUCKET),
    Row(outcome=Outcome.LAPSES, codes={"RequestTimeTooSkewed", "RequestExpired"}, reason=Reason.CLOCK),
    Row(outcome=Outcome.LAPSES, codes={"AuthorizationHeaderMalformed", "PermanentRedirect"}, reason=Reason.REGION),
    Row(outcome=Outcome.REFUSED, codes={"InvalidRegion", "IllegalLocationConstraintException"}, reason=Reason.REGION),
    Row(outcome=Outcome.REFUSED, codes={"InvalidBucketName"}, reason=Reason.BUCKET),
    # These say no to one operation and yes to others, so that earlier right answers mean nothing.
    Row(outcome=Outcome.REFUSED, codes={"AccessDenied", "AllAccessDisabled", "AccountProblem"}, reason=Reason.DENIED),
    Row(outcome=Outcome.REFUSED, codes={"QuotaExceeded", "XMinioStorageFull"}, reason=Reason.FULL),
    Row(outcome=Outcome.REFUSED, codes={"XMinioAdminBucketQuotaExceeded"}, reason=Reason.FULL),
    # All other codes, and what is not in the words of S3.
    Row(outcome=Outcome.PASSES, statuses=range(500, 1000)),
    Row(outcome=Outcome.PASSES, statuses=range(408, 409)),
    Row(outcome=Outcome.PASSES, statuses=range(429, 430)),
    Row(outcome=Outcome.PASSES, statuses=range(300)),
    Row(outcome=Outcome.LAPSES, codes={""}),
    Row(outcome=Outcome.REFUSED),
)

FAILURES: Final[tuple[tuple[type[Exception], Outcome, Reason], ...]] = (
    # A certificate that is not trusted, or something that does not speak TLS.
    (ssl.SSLError, Outcome.LAPSES, Reason.TRUST),
    # Refused, reset, timed out, or cut: in the status line, within the headers, or in the body.
    (HTTPError, Outcome.PASSES, Reason.OTHER),
    # The body came whole and is not XML.
    (ParseError, Outcome.PASSES, Reason.OTHER),
)


def find_row(call: Call, *, status: int, code: str) -> Row:
    """Return the row of ``ANSWERS`` for a wrong answer."""
    return next(
        row
        for row in ANSWERS
        if (row.codes is None or code in row.codes) and status in row.statuses and call in row.calls
    )
