"""What an S3 server, or the way to it, answers instead of what was asked for: the end of foreign exceptions."""

import re
from typing import Final
from xml.etree.ElementTree import ParseError

from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import HTTPError, MaxRetryError, SSLError

FOREIGN_ERRORS: Final = (MinioException, HTTPError, ParseError)
"""All that a request raises. A ``ParseError`` is an answer that was cut off."""

PASSING_STATUSES: Final = (429, 500, 502, 503, 504)

_CREDENTIALS: Final = (
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidToken",
    "ExpiredToken",
    "TokenRefreshRequired",
)
_DENIED: Final = ("AccessDenied", "AllAccessDisabled", "AccountProblem")
_REGION: Final = (
    "AuthorizationHeaderMalformed",
    "PermanentRedirect",
    "InvalidRegion",
    "IllegalLocationConstraintException",
)
_PASSING: Final = ("SlowDown", "SlowDownRead", "SlowDownWrite", "RequestTimeout", "IncompleteBody", "BadDigest")
"""With a status below 500. The last two: the body arrived damaged."""


class PassingError(Exception):
    """The store did not answer, or answered that it cannot at the moment: ask again."""


class MissingError(Exception):
    """There is nothing under this name."""


class ConditionError(Exception):
    """The object was to have a certain content, or not to be there."""


class NoConditionsError(Exception):
    """The server does not know the condition that the request made."""


class UploadLostError(Exception):
    """The server does not know the upload: it is complete, or somebody aborted it."""


def translate(error: Exception, *, endpoint: str, bucket: str) -> Exception:
    """Return one of this module's errors for one of ``FOREIGN_ERRORS``, or a ``ValueError`` for what a user can fix."""
    if isinstance(error, S3Error):
        return _translate_answer(error, endpoint=endpoint, bucket=bucket)
    if isinstance(error, ServerError):
        return _by_status(error.status_code, str(error), endpoint)
    if isinstance(error, InvalidResponseError):
        # The client keeps the status to itself.
        return _by_status(error._code, "not in the words of S3", endpoint)
    if isinstance(error, HTTPError):
        cause = error.reason if isinstance(error, MaxRetryError) and error.reason else error
        if isinstance(cause, SSLError):
            return ValueError(
                f"The store {endpoint} cannot be trusted ({_short(cause)}): set PEERKD_S3_CA_FILE to a file with the "
                "certificate of its authority, or PEERKD_S3_ENDPOINT to an address with http:// if it has none."
            )
        return PassingError(_short(cause))
    return PassingError("the answer was cut off")


def _translate_answer(error: S3Error, *, endpoint: str, bucket: str) -> Exception:
    code, status = error.code or "", error.response.status
    control_flow = {
        "NoSuchKey": MissingError,
        "NoSuchUpload": UploadLostError,
        "PreconditionFailed": ConditionError,
        "NotImplemented": NoConditionsError,
    }
    if code in control_flow:
        return control_flow[code](code)
    if code in _PASSING:
        return PassingError(code)
    if code in _CREDENTIALS:
        return ValueError(
            f"The store {endpoint} does not know the credentials ({code}): set PEERKD_S3_ACCESS_KEY and "
            "PEERKD_S3_SECRET_KEY to those of one of its users."
        )
    if code in _DENIED:
        return ValueError(
            f"The store {endpoint} denies these credentials the use of bucket {bucket} ({code}): allow them to list it "
            "and to get, put and delete in it, or set PEERKD_S3_ACCESS_KEY and PEERKD_S3_SECRET_KEY to others."
        )
    if code in ("NoSuchBucket", "InvalidBucketName"):
        return ValueError(
            f"The store {endpoint} has no bucket {bucket}: make it, or name another in the address s3://BUCKET/PREFIX."
        )
    if code in _REGION:
        return ValueError(f"The store {endpoint} is in another region ({error.message}): set PEERKD_S3_REGION.")
    if code == "RequestTimeTooSkewed":
        return ValueError(
            f"The clocks of this machine and of the store {endpoint} must agree: set the one that is wrong."
        )
    return _by_status(status, f"{code}: {error.message}", endpoint)


def _by_status(status: int, text: str, endpoint: str) -> Exception:
    if status >= 500 or status in PASSING_STATUSES:
        return PassingError(f"status {status}, {text}")
    return ValueError(
        f"The store {endpoint} refuses the request (status {status}, {text}): check PEERKD_S3_ENDPOINT and the server."
    )


def _short(error: BaseException) -> str:
    """Return what is at the bottom of an error of urllib3, which wraps errors and repeats their texts."""
    inner = error.args[-1] if error.args else None
    if isinstance(inner, BaseException):
        return _short(inner)
    # As in "HTTPConnection(host='a', port=1): Failed to establish a new connection: [Errno 111] Connection refused".
    return re.sub(r"^\[.*?\] ", "", str(error).rpartition(": ")[2]) or type(error).__name__
