"""Truncated, damaged and incomplete answers, from a server that plays them."""

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
from minio import Minio
from urllib3 import HTTPHeaderDict

from peerkd.artifacts.s3_answers import SHAPES, find_call
from peerkd.artifacts.s3_bucket import Bucket, Stored
from peerkd.artifacts.s3_errors import Call
from peerkd.errors import StoreUnavailableError
from tests.unit.artifacts.played_server import answer, served

TAG = 'ETag: "5d41402abc4b2a76b9719d911017c592"\r\n'
MISSING = answer(b"<Error><Code>NoSuchKey</Code></Error>", status="404 Not Found")
LIST = (
    b"<ListBucketResult><Name>data</Name><KeyCount>1</KeyCount><IsTruncated>false</IsTruncated><Contents><Key>a/b</Key>"
    b"<ETag>1</ETag><LastModified>2026-01-02T03:04:05Z</LastModified></Contents></ListBucketResult>"
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
    "LIST": (answer(LIST), lambda bucket: bucket.list_once("a/"), {"a/b": "1-2026-01-02 03:04:05+00:00"}),
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
def test_an_answer_that_is_truncated_at_any_byte_is_requested_again(name: str) -> None:
    whole, ask, expected = CALLS[name]
    with served(whole) as server:
        right = ask(server.bucket)
        assert expected in (None, right)
        for end in range(len(whole)):
            server.num_served = 0
            server.answers = [whole[:end]]
            assert ask(server.bucket) == right, whole[:end]
            assert server.num_served == 2, whole[:end]


@pytest.mark.parametrize("name", sorted(name for name in CALLS if " " not in name))
def test_the_request_of_each_call_is_recognized(name: str) -> None:
    whole, ask, _ = CALLS[name]
    with served(whole) as server:
        ask(server.bucket)
        first, *lines = server.requests[0].partition(b"\r\n\r\n")[0].decode().splitlines()
    method, path, _ = first.split(" ")
    headers = HTTPHeaderDict(line.split(": ", 1) for line in lines)
    assert find_call(method, f"http://server{path}", headers) is Call[name]


def test_the_private_function_of_the_client_has_not_changed() -> None:
    parameters = inspect.signature(Minio._execute).parameters
    assert list(parameters) == [
        "self",
        "method",
        "bucket_name",
        "object_name",
        "body",
        "headers",
        "query_params",
        "preload_content",
        "no_body_trace",
    ]


def test_a_range_that_is_truncated_at_any_byte_is_completed() -> None:
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
def test_an_answer_that_lacks_a_required_part_is_requested_again(name: str) -> None:
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
def test_a_damaged_list_is_requested_again(damaged: bytes) -> None:
    with served(answer(LIST)) as server:
        server.answers = [answer(damaged)]
        assert server.bucket.list_once("a/") == {"a/b": "1-2026-01-02 03:04:05+00:00"}
        assert server.num_served == 2


def page(names: list[str], *, is_truncated: bool) -> bytes:
    start, _, end = LIST.partition(b"<KeyCount>1</KeyCount><IsTruncated>false</IsTruncated>")
    each, _, end = end.partition(b"</ListBucketResult>")
    found = b"".join(each.replace(b"a/b", name.encode()) for name in names)
    head = f"<KeyCount>{len(names)}</KeyCount><IsTruncated>{str(is_truncated).lower()}</IsTruncated>".encode()
    return answer(start + head + found + b"</ListBucketResult>")


def test_a_long_list_is_requested_in_pages_and_only_failed_pages_are_repeated() -> None:
    names = [f"a/{number:04}" for number in range(1001)]
    with served(page(names[1000:], is_truncated=False)) as server:
        server.answers = [page(names[:1000], is_truncated=True), answer(status="503 Slow Down")]
        assert list(server.bucket.list_once("a/")) == names
        assert ["start-after=a%2F0999" in request.decode() for request in server.requests] == [False, True, True]


def test_all_pages_of_a_server_with_short_pages_are_requested() -> None:
    with served(page(["a/2"], is_truncated=False)) as server:
        server.answers = [page(["a/0", "a/1"], is_truncated=True)]
        assert list(server.bucket.list_once("a/")) == ["a/0", "a/1", "a/2"]
        assert server.num_served == 2


def test_an_empty_object_that_marks_a_folder_is_omitted() -> None:
    with served(page(["a/", "a/b"], is_truncated=False)) as server:
        assert list(server.bucket.list_once("a/")) == ["a/b"]


def test_a_name_in_only_one_of_three_lists_is_omitted() -> None:
    with served(answer(LIST)) as server:
        for answers in ([LIST.replace(b"a/b", b"a/c")], [LIST, LIST.replace(b"a/b", b"a/c")]):
            server.num_served, server.answers = 0, [answer(body) for body in answers]
            assert server.bucket.names("a/") == {"a/b": "1-2026-01-02 03:04:05+00:00"}
            assert server.num_served == 3


@pytest.mark.parametrize("wrong", ["bytes 1-4/5", "bytes 0-5/5", "nonsense"])
def test_a_range_other_than_the_requested_one_is_requested_again(wrong: str) -> None:
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
        # The damaged object exists now. A repeated request with the condition could never replace it.
        assert [b"if-none-match" in request.lower() for request in server.requests[-2:]] == [only_new, False]


def test_a_server_whose_etags_are_not_md5_is_accepted() -> None:
    other = TAG.replace("5d41", "6d41")
    for headers in (TAG.replace('92"', '92-1"'), other + "x-amz-server-side-encryption: aws:kms\r\n"):
        with served(answer(headers=headers)) as server:
            server.bucket.put("a", b"hello")
            assert server.num_served == 1
    with served(answer(headers=other)) as server:
        server.bucket.put("a", b"hello")


def test_a_failed_head_request_is_repeated_as_get_for_its_error_code() -> None:
    refused = answer(status="403 Forbidden")
    with served(answer(b"<Error><Code>InvalidAccessKeyId</Code></Error>", status="403 Forbidden")) as server:
        server.answers = [refused]
        with pytest.raises(ValueError, match=r"does not know the credentials \(InvalidAccessKeyId\)"):
            server.bucket.head("a")
    with served(MISSING) as server:
        server.answers = [answer(status="404 Not Found")]
        assert server.bucket.head("a") is None
        assert server.num_served == 2
        # An answer with the id of a request comes from an S3 server.
        server.num_served, server.answers = 0, [answer(status="404 Not Found", headers="x-amz-request-id: 1\r\n")]
        assert server.bucket.head("a") is None
        assert server.num_served == 1


def test_expired_keys_of_a_store_in_use_are_waited_out() -> None:
    expired = answer(b"<Error><Code>ExpiredToken</Code></Error>", status="400 Bad Request")
    with served(answer(b"hello", headers=TAG)) as server:
        server.answers = [expired] * 3
        assert server.bucket.get("a") == b"hello"
        server.answers = [expired] * 30
        assert server.bucket.get("a") == b"hello"
        server.answers = [expired] * 30
        with pytest.raises(ValueError, match=r"does not know the credentials \(ExpiredToken\)"):
            server.bucket.with_time_limit(0).get("a")


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
        assert server.bucket.list_once("a/") == {"a/b": "1-2026-01-02 03:04:05+00:00"}
        server.answers = [answer(body, status="500 Oh"), answer(body, status="400 Oh")]
        assert server.bucket.list_once("a/") == {"a/b": "1-2026-01-02 03:04:05+00:00"}


def test_a_deletion_that_fails_for_one_object_is_repeated_and_carries_a_checksum() -> None:
    error = b"<DeleteResult><Error><Key>a</Key><Code>InternalError</Code></Error></DeleteResult>"
    with served(answer(DELETED)) as server:
        server.answers = [answer(error)]
        server.bucket.delete(["a"])
        assert server.num_served == 2
        # The server refuses a list of names that was damaged in transit.
        assert all(b"\r\ncontent-md5: " in request.lower() for request in server.requests)


def test_a_redirection_is_not_followed() -> None:
    elsewhere = answer(status="302 Found", headers="Location: http://127.0.0.1:1/login\r\n")
    with served(answer(b"hello", headers=TAG)) as server:
        server.answers = [elsewhere]
        assert server.bucket.get("a") == b"hello"


def test_an_outage_of_the_store_that_lasts_too_long_ends_in_an_error() -> None:
    with served(b"") as server, pytest.raises(StoreUnavailableError, match="cut before the end of the headers"):
        server.bucket.with_time_limit(0).get("a")
