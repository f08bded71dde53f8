"""Checks of the responses of an S3 server: ``SHAPES`` describes a correct response to each call."""

import hashlib
import re
from collections.abc import Container, Mapping, Set
from dataclasses import KW_ONLY, dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

from urllib3 import BaseHTTPResponse

from peerkd.artifacts.s3_errors import AnswerError, Call, TransientError
from peerkd.errors import ArtifactCorruptError

SHA256_HEADER: Final = "x-amz-meta-sha256"
_REQUEST_ID_HEADERS: Final = ("x-amz-request-id", "x-amzn-requestid")
_MD5: Final = re.compile("[0-9a-f]{32}")
_ENCRYPTIONS_WITHOUT_MD5: Final = ("aws:kms", "aws:kms:dsse")


@dataclass(frozen=True, slots=True)
class Shape:
    """The features by which a call of the S3 API is recognised, and the required parts of a correct response.

    In addition, every response with a body must state its length or use chunked transfer encoding.
    """

    method: str
    _: KW_ONLY
    query: str | None = None
    """A query parameter that the request must have; None if it needs none."""
    condition: str | None = None
    """The name of a header that the request must have; None if it needs none."""
    statuses: Set[int] = frozenset({200})
    headers: tuple[str, ...] = ()
    """The names of the headers that the response must have."""
    root: str | None = None
    """The name of the root element of the XML in the response; None if the body is not XML."""


# The first shape that matches a request determines its call.
SHAPES: Final[Mapping[Call, Shape]] = {
    Call.READ: Shape("GET", condition="range", statuses=frozenset({206}), headers=("content-range",)),
    Call.LIST: Shape("GET", query="list-type", root="ListBucketResult"),
    Call.UPLOADS: Shape("GET", query="uploads", root="ListMultipartUploadsResult"),
    Call.GET: Shape("GET", headers=("etag",)),
    Call.HEAD: Shape("HEAD", headers=("etag", "content-length")),
    Call.COPY_PART: Shape("PUT", query="partNumber", condition="x-amz-copy-source", root="CopyPartResult"),
    Call.COPY: Shape("PUT", condition="x-amz-copy-source", root="CopyObjectResult"),
    Call.PART: Shape("PUT", query="partNumber", headers=("etag",)),
    Call.PUT_NEW: Shape("PUT", condition="if-none-match", headers=("etag",)),
    Call.PUT: Shape("PUT", headers=("etag",)),
    Call.DELETE: Shape("POST", query="delete", root="DeleteResult"),
    Call.BEGIN: Shape("POST", query="uploads", root="InitiateMultipartUploadResult"),
    Call.END: Shape("POST", query="uploadId", root="CompleteMultipartUploadResult"),
    Call.ABORT: Shape("DELETE", query="uploadId", statuses=frozenset({200, 204})),
}


def find_call(method: str, url: str, headers: Container[str]) -> Call:
    """Return the kind of a request, given its method, URL and headers."""
    query = parse_qs(urlsplit(url).query, keep_blank_values=True)
    return next(
        call
        for call, shape in SHAPES.items()
        if shape.method == method
        and (shape.query is None or shape.query in query)
        and (shape.condition is None or shape.condition in headers)
    )


def check_answer(call: Call, response: BaseHTTPResponse) -> None:
    """Check the status and the headers of a response, and its body if it is XML.

    Raises:
        AnswerError: If the response reports an error.
        TransientError: If a part of the response is missing or wrong: the response was cut or damaged, or is not from
            an S3 server.
        ParseError: If the body must be XML and is not.
    """
    shape = SHAPES[call]
    if response.status not in shape.statuses:
        raise _error_of(call, response)
    missing = [name for name in shape.headers if not response.headers.get(name)]
    if missing:
        raise TransientError(f"a response without {missing[0]}")
    has_length = "content-length" in response.headers or response.headers.get("transfer-encoding") == "chunked"
    if not has_length and response.status != HTTPStatus.NO_CONTENT:
        raise TransientError("a response without a length")
    if shape.root:
        root = parse_xml(response.data)
        if _tag(root) == "Error":
            # For a long operation, a server sends the status and spaces before it knows how the operation ends.
            raise _described(call, root, status=response.status)
        if _tag(root) != shape.root:
            raise TransientError(f"a response with {_tag(root)[:40]} where {shape.root} was expected")
        if call is Call.LIST:
            _check_list(root)


def check_content(response: BaseHTTPResponse, name: str) -> None:
    """Check that the content of an object has the SHA-256 that was stored with the object.

    If none was stored, every content is accepted.

    Raises:
        ArtifactCorruptError: If the content differs.
    """
    sha256 = response.headers.get(SHA256_HEADER)
    if sha256 not in (None, hashlib.sha256(response.data).hexdigest()):
        raise ArtifactCorruptError(f"The content of {name} is not what was saved.")


def check_range(headers: Mapping[str, str], *, offset: int, num_bytes: int) -> None:
    """Check that a response contains the requested range of an object.

    If the object ends within the range, the response may contain only the bytes up to the end of the object.

    Raises:
        TransientError: If the response contains another range.
    """
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", headers["content-range"])
    if found is None or int(found[1]) != offset or not offset <= int(found[2]) < offset + num_bytes:
        raise TransientError("a response with another range")
    if headers.get("content-length") not in (None, str(int(found[2]) - offset + 1)):
        raise TransientError("a response with a range of another length")


def shows_damage(headers: Mapping[str, str], md5: str) -> bool:
    """Return whether the ETag in a response shows that the stored content differs from the sent content.

    If the ETag is not an MD5, it shows nothing, and the result is False. Objects that are encrypted with a customer's
    key have such ETags, and on some servers all objects have them.

    Args:
        headers: The headers of the response to an upload.
        md5: The MD5 of the content that was sent.
    """
    etag = headers["etag"].strip('"').lower()
    is_encrypted = (
        headers.get("x-amz-server-side-encryption") in _ENCRYPTIONS_WITHOUT_MD5
        or "x-amz-server-side-encryption-customer-algorithm" in headers
    )
    return not is_encrypted and bool(_MD5.fullmatch(etag)) and etag != md5


def parse_xml(data: bytes) -> ElementTree.Element:
    """Parse the body of a response, and return the root element.

    Raises:
        ParseError: If the body is not XML.
    """
    try:
        return ElementTree.fromstring(data.strip())
    except (LookupError, ValueError) as error:
        # A damaged XML declaration may name an encoding that does not exist or that the parser cannot read.
        raise ElementTree.ParseError("the encoding is damaged") from error


def child_text(element: ElementTree.Element, tag: str) -> str:
    """Return the text of a child element.

    Raises:
        TransientError: If the child is missing.
    """
    found = element.find(f"{{*}}{tag}")
    if found is None:
        raise TransientError(f"a response without {tag}")
    return found.text or ""


def _error_of(call: Call, response: BaseHTTPResponse) -> AnswerError:
    status = response.status
    if call is Call.HEAD:
        # The response has no body. An S3 server puts the id of the request into the headers; a proxy in front of it
        # does not, and its 404 says nothing about the object.
        is_missing = status == HTTPStatus.NOT_FOUND and any(name in response.headers for name in _REQUEST_ID_HEADERS)
        return AnswerError(call, status=status, code="NoSuchKey" if is_missing else "")
    try:
        root = parse_xml(response.data)
    except ElementTree.ParseError:
        return AnswerError(call, status=status)
    return _described(call, root, status=status) if _tag(root) == "Error" else AnswerError(call, status=status)


def _described(call: Call, error: ElementTree.Element, *, status: int) -> AnswerError:
    """Return the error that an XML element ``Error`` describes, with its code and its message."""
    code, message = error.findtext("{*}Code") or "", error.findtext("{*}Message") or ""
    return AnswerError(call, status=status, code=code, message=message)


def _check_list(root: ElementTree.Element) -> None:
    count, is_truncated = root.findtext("{*}KeyCount"), child_text(root, "IsTruncated")
    objects = root.findall("{*}Contents")
    if count not in (None, str(len(objects))) or is_truncated not in ("true", "false"):
        raise TransientError("a list with a wrong count")
    if root.findtext("{*}EncodingType") not in (None, "", "url"):
        raise TransientError("a list in an encoding that was not requested")
    for each in objects:
        child_text(each, "ETag"), child_text(each, "LastModified")


def _tag(root: ElementTree.Element) -> str:
    return root.tag.rpartition("}")[2]
