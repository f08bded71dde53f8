"""Every row of the table of failures is tested."""

import ssl
from collections.abc import Sequence
from xml.etree.ElementTree import ParseError

import pytest
from urllib3.exceptions import HTTPError, IncompleteRead, NewConnectionError, ProtocolError, ReadTimeoutError, SSLError

from peerkd.artifacts.s3_errors import (
    ANSWERS,
    FAILURES,
    NUM_TRIES_OF_REFUSED,
    AnswerError,
    Call,
    FailureKind,
    MissingError,
    TransientError,
    classify,
)


def verdict(error: Exception, *, has_answered: bool = False) -> Exception:
    return classify(error, endpoint="http://minio", bucket="data", has_answered=has_answered)


CODES = [
    pytest.param(row.kind, call, code, id=f"{call.name} {code}")
    for row in ANSWERS
    for code in sorted(row.codes or ())
    for call in sorted(row.calls, key=lambda call: call.value)[:3]
]
EXPECTED_CODES: dict[str, FailureKind | type[Exception]] = {
    "NoSuchKey": MissingError,
    "SlowDown": FailureKind.TRANSIENT,
    "XAmzContentSHA256Mismatch": FailureKind.TRANSIENT,
    "BadDigest": FailureKind.TRANSIENT,
    "IncompleteBody": FailureKind.TRANSIENT,
    "RequestTimeout": FailureKind.TRANSIENT,
    "OperationAborted": FailureKind.TRANSIENT,
    "ExpiredToken": FailureKind.REFUSED_AT_FIRST,
    "SignatureDoesNotMatch": FailureKind.REFUSED_AT_FIRST,
    "NoSuchBucket": FailureKind.REFUSED_AT_FIRST,
    "AccessDenied": FailureKind.REFUSED,
    "EntityTooLarge": FailureKind.REFUSED,
}


@pytest.mark.parametrize(("kind", "call", "code"), CODES)
def test_a_known_code_is_handled_by_its_row_whatever_the_status(
    kind: FailureKind | type[Exception], call: Call, code: str
) -> None:
    error = AnswerError(call, status=400, code=code, message="by the test")
    found = verdict(error)
    if isinstance(kind, type):
        assert type(found) is kind
        return
    assert isinstance(found, TransientError)
    before = verdict(error, has_answered=True)
    assert isinstance(before, TransientError)
    assert (found.num_tries, before.num_tries) == {
        FailureKind.TRANSIENT: (None, None),
        FailureKind.REFUSED_AT_FIRST: (NUM_TRIES_OF_REFUSED, None),
        FailureKind.REFUSED: (NUM_TRIES_OF_REFUSED, NUM_TRIES_OF_REFUSED),
    }[kind]
    assert isinstance(found.final_error, ValueError) == (kind is not FailureKind.TRANSIENT)


@pytest.mark.parametrize(("code", "kind"), EXPECTED_CODES.items())
def test_common_codes_are_handled_as_intended(code: str, kind: FailureKind | type[Exception]) -> None:
    found = verdict(AnswerError(Call.GET, status=403, code=code))
    if isinstance(kind, type):
        assert isinstance(found, kind)
    else:
        assert isinstance(found, TransientError)
        assert (found.num_tries is None) == (kind is FailureKind.TRANSIENT)


@pytest.mark.parametrize(
    ("status", "num_tries"), [(500, None), (503, None), (507, None), (408, None), (429, None), (204, None), (206, None)]
)
def test_a_transient_status_needs_no_known_code(status: int, num_tries: int | None) -> None:
    for code in ("", "SomethingNew"):
        found = verdict(AnswerError(Call.GET, status=status, code=code))
        assert isinstance(found, TransientError)
        assert (found.num_tries, found.final_error) == (num_tries, None)


@pytest.mark.parametrize("status", [301, 307, 400, 403, 404, 409, 418])
def test_a_refusal_without_a_code_is_transient_only_if_the_store_has_answered_before(status: int) -> None:
    new, known = (verdict(AnswerError(Call.GET, status=status), has_answered=has) for has in (False, True))
    assert isinstance(new, TransientError)
    assert isinstance(known, TransientError)
    assert (new.num_tries, known.num_tries) == (NUM_TRIES_OF_REFUSED, None)
    assert str(known.final_error) == (
        f"The store http://minio refuses the request (status {status}, without an S3 error code): check "
        "PEERKD_S3_ENDPOINT and the server."
    )


@pytest.mark.parametrize(
    ("call", "code"),
    [(Call.PUT, "NoSuchKey"), (Call.GET, "PreconditionFailed"), (Call.PUT, "NoSuchUpload"), (Call.LIST, "NoSuchKey")],
)
def test_a_code_that_does_not_belong_to_the_call_is_a_refusal(call: Call, code: str) -> None:
    found = verdict(AnswerError(call, status=404, code=code))
    assert isinstance(found, TransientError)
    assert found.num_tries == NUM_TRIES_OF_REFUSED


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("ExpiredToken", "does not know the credentials (ExpiredToken)"),
        ("AccessDenied", "denies these credentials the use of bucket data (AccessDenied)"),
        ("NoSuchBucket", "has no bucket data"),
        ("AuthorizationHeaderMalformed", "is in another region"),
        ("RequestTimeTooSkewed", "clocks of this machine and of the store http://minio must agree"),
        ("XMinioStorageFull", "is full (XMinioStorageFull)"),
        ("EntityTooLarge", "refuses the request (status 400, EntityTooLarge)"),
    ],
)
def test_the_user_is_told_what_to_do(code: str, words: str) -> None:
    found = verdict(AnswerError(Call.GET, status=400, code=code))
    assert isinstance(found, TransientError)
    assert words in str(found.final_error)


FAILURE_CASES: Sequence[tuple[Exception, bool]] = [
    (ProtocolError("Connection aborted.", ConnectionResetError(104, "Connection reset by peer")), True),
    (IncompleteRead(3, 5), True),
    (ReadTimeoutError(None, "/", "Read timed out."), True),  # type: ignore[arg-type]
    (NewConnectionError(None, "Failed to establish a new connection: [Errno 111] refused"), True),  # type: ignore[arg-type]
    (ParseError("no element found"), True),
    (ValueError("time data 'yesterday' does not match"), True),
    (SSLError(ssl.SSLCertVerificationError("self-signed certificate")), False),
]


@pytest.mark.parametrize(("error", "is_transient"), FAILURE_CASES, ids=lambda value: type(value).__name__)
def test_a_failed_connection_is_transient_unless_the_server_is_not_trusted(
    error: Exception, is_transient: bool
) -> None:
    found = verdict(error)
    assert isinstance(found, TransientError)
    assert (found.num_tries is None) == is_transient
    assert {kind for kind, _, _ in FAILURES} == {ssl.SSLError, HTTPError, ParseError, ValueError}
