"""Every row of the table of outcomes, and answers that are cut at every byte, from a server that plays them."""

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from xml.etree.ElementTree import ParseError

import pytest
from urllib3.exceptions import HTTPError, IncompleteRead, NewConnectionError, ProtocolError, ReadTimeoutError, SSLError

from peerkd.artifacts.s3_answers import Stored
from peerkd.artifacts.s3_bucket import Bucket
from peerkd.artifacts.s3_connection import Settings
from peerkd.artifacts.s3_errors import (
    NUM_TRIES_OF_REFUSED,
    AnswerError,
    ConditionError,
    MissingError,
    NoConditionsError,
    TransientError,
    UploadLostError,
    judge,
)
from peerkd.artifacts.s3_retries import StoreRetries
from peerkd.artifacts.s3_table import ANSWERS, FAILURES, SHAPES, Call, Outcome, Reason
from peerkd.errors import StoreUnavailableError

FOR_CALLERS = {
    Outcome.MISSING: MissingError,
    Outcome.CONDITION: ConditionError,
    Outcome.NO_CONDITIONS: NoConditionsError,
    Outcome.UPLOAD_LOST: UploadLostError,
}


def verdict(error: Exception, call: Call = Call.GET, *, has_answered: bool = False) -> Exception:
    return judge(error, call, endpoint="http://minio", bucket="data", has_answered=has_answered)


CODES = [
    pytest.param(row.outcome, call, code, id=f"{call.name} {code}: {row.outcome.name}")
    for row in ANSWERS
    for code in sorted(row.codes or ())
    for call in sorted(row.calls, key=lambda call: call.value)[:3]
]
EXPECTED_CODES = {
    "NoSuchKey": Outcome.MISSING,
    "SlowDown": Outcome.TRANSIENT,
    "XAmzContentSHA256Mismatch": Outcome.TRANSIENT,
    "BadDigest": Outcome.TRANSIENT,
    "IncompleteBody": Outcome.TRANSIENT,
    "RequestTimeout": Outcome.TRANSIENT,
    "OperationAborted": Outcome.TRANSIENT,
    "ExpiredToken": Outcome.REFUSED_AT_FIRST,
    "SignatureDoesNotMatch": Outcome.REFUSED_AT_FIRST,
    "NoSuchBucket": Outcome.REFUSED_AT_FIRST,
    "AccessDenied": Outcome.REFUSED,
    "EntityTooLarge": Outcome.REFUSED,
}


@pytest.mark.parametrize(("outcome", "call", "code"), CODES)
def test_a_code_has_the_outcome_of_its_row_whatever_the_status(outcome: Outcome, call: Call, code: str) -> None:
    error = AnswerError(status=400, code=code, message="by the test")
    found = verdict(error, call)
    if outcome in FOR_CALLERS:
        assert type(found) is FOR_CALLERS[outcome]
        return
    assert isinstance(found, TransientError)
    before = verdict(error, call, has_answered=True)
    assert isinstance(before, TransientError)
    assert (found.num_tries, before.num_tries) == {
        Outcome.TRANSIENT: (None, None),
        Outcome.REFUSED_AT_FIRST: (NUM_TRIES_OF_REFUSED, None),
        Outcome.REFUSED: (NUM_TRIES_OF_REFUSED, NUM_TRIES_OF_REFUSED),
    }[outcome]
    assert isinstance(found.final_error, ValueError) == (outcome is not Outcome.TRANSIENT)


@pytest.mark.parametrize(("code", "outcome"), EXPECTED_CODES.items())
def test_common_codes_have_the_intended_outcomes(code: str, outcome: Outcome) -> None:
    found = verdict(AnswerError(status=403, code=code))
    if outcome is Outcome.MISSING:
        assert isinstance(found, MissingError)
    else:
        assert isinstance(found, TransientError)
        assert (found.num_tries is None) == (outcome is Outcome.TRANSIENT)


@pytest.mark.parametrize(
    ("status", "num_tries"), [(500, None), (503, None), (507, None), (408, None), (429, None), (204, None), (206, None)]
)
def test_a_transient_status_needs_no_known_code(status: int, num_tries: int | None) -> None:
    for code in ("", "SomethingNew"):
        found = verdict(AnswerError(status=status, code=code))
        assert isinstance(found, TransientError)
        assert (found.num_tries, found.final_error) == (num_tries, None)


@pytest.mark.parametrize("status", [301, 307, 400, 403, 404, 409, 418])
def test_a_refusal_without_a_code_is_transient_only_if_the_store_has_answered_before(status: int) -> None:
    new, known = (verdict(AnswerError(status=status), has_answered=has) for has in (False, True))
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
    found = verdict(AnswerError(status=404, code=code), call)
    assert isinstance(found, TransientError)
    assert found.num_tries == NUM_TRIES_OF_REFUSED


@pytest.mark.parametrize(
    ("reason", "code", "words"),
    [
        (Reason.CREDENTIALS, "ExpiredToken", "does not know the credentials (ExpiredToken)"),
        (Reason.DENIED, "AccessDenied", "denies these credentials the use of bucket data (AccessDenied)"),
        (Reason.BUCKET, "NoSuchBucket", "has no bucket data"),
        (Reason.REGION, "AuthorizationHeaderMalformed", "is in another region"),
        (Reason.CLOCK, "RequestTimeTooSkewed", "clocks of this machine and of the store http://minio must agree"),
        (Reason.FULL, "XMinioStorageFull", "is full (XMinioStorageFull)"),
        (Reason.OTHER, "EntityTooLarge", "refuses the request (status 400, EntityTooLarge)"),
    ],
)
def test_the_user_is_told_what_to_do(reason: Reason, code: str, words: str) -> None:
    found = verdict(AnswerError(status=400, code=code))
    assert isinstance(found, TransientError)
    assert words in str(found.final_error), reason


FAILURE_CASES: Sequence[tuple[Exception, bool]] = [
    (ProtocolError("Connection aborted.", ConnectionResetError(104, "Connection reset by peer")), True),
    (IncompleteRead(3, 5), True),
    (ReadTimeoutError(None, "/", "Read timed out."), True),  # type: ignore[arg-type]
    (NewConnectionError(None, "Failed to establish a new connection: [Errno 111] refused"), True),  # type: ignore[arg-type]
    (ParseError("no element found"), True),
    (SSLError(ssl.SSLCertVerificationError("self-signed certificate")), False),
]


@pytest.mark.parametrize(("error", "is_transient"), FAILURE_CASES, ids=lambda value: type(value).__name__)
def test_a_failure_of_a_connection_is_transient_unless_the_server_is_not_trusted(
    error: Exception, is_transient: bool
) -> None:
    found = verdict(error)
    assert isinstance(found, TransientError)
    assert (found.num_tries is None) == is_transient
    assert {kind for kind, _, _ in FAILURES} == {ssl.SSLError, HTTPError, ParseError}


def answer(body: bytes = b"", *, status: str = "200 OK", headers: str = "", kind: str = "application/xml") -> bytes:
    head = f"HTTP/1.1 {status}\r\n{headers}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    return head.encode() + b"\r\n" + body


TAG = 'ETag: "5d41402abc4b2a76b9719d911017c592"\r\n'
MISSING = answer(b"<Error><Code>NoSuchKey</Code></Error>", status="404 Not Found")
LIST = (
    b"<ListBucketResult><KeyCount>1</KeyCount><IsTruncated>false</IsTruncated><Contents><Key>a/b</Key><ETag>1</ETag>"
    b"<LastModified>t</LastModified></Contents></ListBucketResult>"
)
DELETED = b"<DeleteResult><Deleted><Key>a</Key></Deleted></DeleteResult>"
UPLOAD = b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
END = b"<CompleteMultipartUploadResult><ETag>1</ETag></CompleteMultipartUploadResult>"
COPY = b"<CopyObjectResult><ETag>1</ETag></CopyObjectResult>"
COPY_PART = b'<CopyPartResult><ETag>"1"</ETag></CopyPartResult>'
UPLOADS = (
    b"<ListMultipartUploadsResult><Upload><Key>a</Key><UploadId>u</UploadId></Upload></ListMultipartUploadsResult>"
)


def read(bucket: Bucket) -> bytes:
    pieces: list[bytes] = []
    while sum(map(len, pieces)) < len(b"hello"):
        num_bytes = sum(map(len, pieces))
        bucket.read("a", etag="1", offset=num_bytes, num_bytes=5 - num_bytes, write=pieces.append)
    return b"".join(pieces)


CALLS: dict[str, tuple[bytes, Callable[[Bucket], Any], Any]] = {
    "GET": (answer(b"hello", headers=TAG), lambda bucket: bucket.get("a"), b"hello"),
    "GET in chunks": (
        answer(b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", headers=TAG + "Transfer-Encoding: chunked\r\n").replace(
            b"Content-Length: 20\r\n", b""
        ),
        lambda bucket: bucket.get("a"),
        b"hello",
    ),
    "GET of nothing": (MISSING, lambda bucket: bucket.get("a"), None),
    "HEAD": (
        answer(b"hello", headers=TAG).removesuffix(b"hello"),
        lambda bucket: bucket.head("a"),
        Stored(num_bytes=5, sha256=None, etag="5d41402abc4b2a76b9719d911017c592"),
    ),
    "PUT": (answer(headers=TAG), lambda bucket: bucket.put("a", b"hello"), None),
    "LIST": (answer(LIST), lambda bucket: bucket.list_once("a/"), {"a/b": "1-t"}),
    "DELETE": (answer(DELETED), lambda bucket: bucket.delete(["a"]), None),
    "COPY": (answer(COPY), lambda bucket: bucket.copy("a", "b", etag="1"), None),
    "BEGIN": (answer(UPLOAD), lambda bucket: bucket.begin_upload("a", sha256=""), "u"),
    "PART": (
        answer(headers=TAG),
        lambda bucket: bucket.put_part("a", "u", 1, b"hello"),
        "5d41402abc4b2a76b9719d911017c592",
    ),
    "COPY_PART": (
        answer(COPY_PART),
        lambda bucket: bucket.copy_part("a", "b", "u", 1, etag="1", offset=0, num_bytes=1),
        "1",
    ),
    "END": (answer(END), lambda bucket: bucket.end_upload("a", "u", ["1"]), None),
    "ABORT": (
        b"HTTP/1.1 204 No Content\r\nServer: s\r\nConnection: close\r\n\r\n",
        lambda bucket: bucket.abort_upload("a", "u"),
        None,
    ),
    "UPLOADS": (answer(UPLOADS), lambda bucket: bucket.uploads("a"), ["u"]),
}


@pytest.mark.parametrize("name", CALLS)
def test_an_answer_that_is_cut_at_any_byte_is_asked_for_again_and_ends_right(name: str) -> None:
    whole, ask, expected = CALLS[name]
    with served(whole) as server:
        right = ask(server.bucket)
        assert expected in (None, right)
        for end in range(len(whole)):
            server.num_served = 0
            server.answers = [whole[:end]]
            assert ask(server.bucket) == right, whole[:end]
            assert server.num_served == 2, whole[:end]


def test_a_range_that_is_cut_at_any_byte_goes_on_and_ends_right() -> None:
    def ranged(start: int) -> bytes:
        content = b"hello"[start:]
        return answer(content, status="206 Partial", headers=f"Content-Range: bytes {start}-4/5\r\n{TAG}")

    whole = ranged(0)
    with served(whole) as server:
        for end in range(len(whole)):
            num_come = max(0, end - (len(whole) - 5))
            server.answers = [whole[:end], ranged(num_come)]
            assert read(server.bucket) == b"hello", whole[:end]


@pytest.mark.parametrize("name", sorted(name for name in CALLS if " " not in name))
def test_an_answer_without_a_part_of_its_shape_is_requested_again(name: str) -> None:
    whole, ask, _ = CALLS[name]
    shape = SHAPES[Call[name]]
    lacking = [re.sub(rb"(?i)\r\n%b: [^\r]*" % header.encode(), b"", whole, count=1) for header in shape.headers]
    if name not in ("HEAD", "ABORT"):
        lacking.append(re.sub(rb"\r\nContent-Length: [^\r]*", b"", whole))
    if shape.root:
        lacking += [
            whole.replace(shape.root.encode(), b"X" * len(shape.root)),
            whole.replace(b"</", b"<<", 1),
            answer(b"<Error><Code>InternalError</Code></Error>"),
        ]
    if name != "ABORT":
        lacking.append(answer(b"<html>come in</html>", status="203 Other", kind="text/html"))
    with served(whole) as server:
        right = ask(server.bucket)
        for wrong in lacking:
            server.num_served, server.answers = 0, [wrong]
            assert ask(server.bucket) == right, wrong
            assert server.num_served == 2, wrong


@pytest.mark.parametrize(
    "damaged",
    [
        LIST.replace(b"a/b", b"b/b"),
        LIST.replace(b"<KeyCount>1", b"<KeyCount>2"),
        LIST.replace(b"false", b"falsd"),
        LIST.replace(b"<ETag>1</ETag>", b""),
    ],
)
def test_a_damaged_list_is_asked_for_again(damaged: bytes) -> None:
    with served(answer(LIST)) as server:
        server.answers = [answer(damaged)]
        assert server.bucket.list_once("a/") == {"a/b": "1-t"}
        assert server.num_served == 2


def test_a_name_that_only_one_of_three_lists_has_is_left_out() -> None:
    with served(answer(LIST)) as server:
        for answers in ([LIST.replace(b"a/b", b"a/c")], [LIST, LIST.replace(b"a/b", b"a/c")]):
            server.num_served, server.answers = 0, [answer(body) for body in answers]
            assert server.bucket.names("a/") == {"a/b": "1-t"}
            assert server.num_served == 3


@pytest.mark.parametrize("wrong", ["bytes 1-4/5", "bytes 0-5/5", "nonsense"])
def test_another_range_than_was_asked_for_is_asked_for_again(wrong: str) -> None:
    def ranged(said: str) -> bytes:
        return answer(b"hello", status="206 Partial", headers=f"Content-Range: {said}\r\n")

    with served(ranged("bytes 0-4/5")) as server:
        server.answers = [ranged(wrong)]
        assert read(server.bucket) == b"hello"
        assert server.num_served == 2


def test_a_content_that_differs_from_its_sha256_is_requested_again() -> None:
    sha256 = "x-amz-meta-sha256: 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\r\n"
    with served(answer(b"hello", headers=TAG + sha256)) as server:
        server.answers = [answer(b"jello", headers=TAG + sha256)]
        assert server.bucket.get("a") == b"hello"
        assert server.num_served == 2


@pytest.mark.parametrize("only_new", [False, True])
def test_a_content_that_arrives_damaged_is_sent_again(only_new: bool) -> None:
    with served(answer(headers=TAG)) as server:
        server.bucket.put("a", b"hello")
        server.num_served, server.answers = 0, [answer(headers=TAG.replace("5d41", "6d41"))]
        server.bucket.put("a", b"hello", only_new=only_new)
        assert server.num_served == 2
        # The damaged object exists now, and with the condition it could never be replaced.
        assert [b"if-none-match" in request.lower() for request in server.requests[-2:]] == [only_new, False]


def test_a_server_whose_etags_are_no_md5s_is_accepted() -> None:
    other = TAG.replace("5d41", "6d41")
    for headers in (TAG.replace('92"', '92-1"'), other + "x-amz-server-side-encryption: aws:kms\r\n"):
        with served(answer(headers=headers)) as server:
            server.bucket.put("a", b"hello")
            assert server.num_served == 1
    with served(answer(headers=other)) as server:
        server.bucket.put("a", b"hello")


def test_head_asks_for_the_error_code_that_its_own_answer_lacks() -> None:
    refused = answer(status="403 Forbidden")
    with served(answer(b"<Error><Code>InvalidAccessKeyId</Code></Error>", status="403 Forbidden")) as server:
        server.answers = [refused]
        with pytest.raises(ValueError, match=r"does not know the credentials \(InvalidAccessKeyId\)"):
            server.bucket.head("a")
    with served(MISSING) as server:
        server.answers = [answer(status="404 Not Found")]
        assert server.bucket.head("a") is None
        assert server.num_served == 2
        # An answer with the id of a request is one of an S3 server.
        server.num_served, server.answers = 0, [answer(status="404 Not Found", headers="x-amz-request-id: 1\r\n")]
        assert server.bucket.head("a") is None
        assert server.num_served == 1


def test_keys_that_expire_while_the_store_is_in_use_are_waited_for() -> None:
    expired = answer(b"<Error><Code>ExpiredToken</Code></Error>", status="400 Bad Request")
    with served(answer(b"hello", headers=TAG)) as server:
        server.answers = [expired] * 3
        assert server.bucket.get("a") == b"hello"
        server.answers = [expired] * 30
        assert server.bucket.get("a") == b"hello"
        server.answers = [expired] * 30
        with pytest.raises(ValueError, match=r"does not know the credentials \(ExpiredToken\)"):
            server.bucket.impatient().get("a")


@pytest.mark.parametrize(
    "body",
    [
        b'<?xml version="1.0" encoding="utfm8"?><ListBucketResult></ListBucketResult>',
        b'<?xml version="1.0" encoding="utf-7"?><ListBucketResult></ListBucketResult>',
        b"",
        b"\x00\xff",
    ],
)
def test_xml_that_cannot_be_parsed_is_requested_again(body: bytes) -> None:
    with served(answer(LIST)) as server:
        server.answers = [answer(body)]
        assert server.bucket.list_once("a/") == {"a/b": "1-t"}
        server.answers = [answer(body, status="500 Oh"), answer(body, status="400 Oh")]
        assert server.bucket.list_once("a/") == {"a/b": "1-t"}


def test_a_deletion_that_is_answered_for_other_names_or_with_an_error_is_repeated() -> None:
    error = b"<DeleteResult><Error><Key>a</Key><Code>InternalError</Code></Error></DeleteResult>"
    with served(answer(DELETED)) as server:
        for wrong in (DELETED.replace(b"<Key>a", b"<Key>b"), error):
            server.num_served, server.answers = 0, [answer(wrong)]
            server.bucket.delete(["a"])
            assert server.num_served == 2


def test_a_redirection_is_not_followed() -> None:
    elsewhere = answer(status="302 Found", headers="Location: http://127.0.0.1:1/login\r\n")
    with served(answer(b"hello", headers=TAG)) as server:
        server.answers = [elsewhere]
        assert server.bucket.get("a") == b"hello"


def test_a_store_that_is_away_too_long_is_an_error() -> None:
    with served(b"") as server, pytest.raises(StoreUnavailableError, match="cut before the end of the headers"):
        server.bucket.impatient().get("a")


class PlayedServer:
    """A server that gives the answers of a test, one for each connection, and then always the last one."""

    def __init__(self, last: bytes) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.answers: list[bytes] = []
        self.last = last
        self.num_served = 0
        self.requests: list[bytes] = []
        settings = Settings(
            endpoint=f"http://127.0.0.1:{self._listener.getsockname()[1]}", access_key="a", secret_key="secret"
        )
        self.bucket = Bucket(settings, "data", retries=StoreRetries("", tell=lambda _: None, sleep=lambda _: None))
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, suppress(OSError):
                    self.requests.append(_read_request(connection))
                    self.num_served += 1
                    connection.sendall(self.answers.pop(0) if self.answers else self.last)


@contextmanager
def served(last: bytes) -> Iterator[PlayedServer]:
    server = PlayedServer(last)
    try:
        yield server
    finally:
        server.close()


def _read_request(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    found = re.search(rb"(?i)content-length: *(\d+)", head)
    while found and len(body) < int(found[1]):
        body += connection.recv(65536)
    return head
