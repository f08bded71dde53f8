"""Answers of an S3 server: checking and parsing them."""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from urllib3 import BaseHTTPResponse

from peerkd.artifacts.s3_errors import AnswerError, TransientError
from peerkd.artifacts.s3_table import SHAPES, Call
from peerkd.errors import ArtifactCorruptError

SHA256_HEADER: Final = "x-amz-meta-sha256"
_REQUEST_ID_HEADERS: Final = ("x-amz-request-id", "x-amzn-requestid")
_MD5: Final = re.compile("[0-9a-f]{32}")
_ENCRYPTIONS_WITHOUT_MD5: Final = ("aws:kms", "aws:kms:dsse")


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """The size and tags of an object, as the store gives them without the content."""

    num_bytes: int
    sha256: str | None
    """The SHA-256 that this program stored with the content; None if another program wrote the object."""
    etag: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """One page of a list of objects."""

    versions: Mapping[str, str]
    """The name of each object, with a version that changes with its content."""
    next_page: str | None
    """The token that asks for the next page; None on the last page."""


def check_shape(call: Call, response: BaseHTTPResponse) -> None:
    """Check the status and the headers of an answer; its body may not have been read yet.

    Raises:
        AnswerError: If the status is not that of a correct answer.
        TransientError: If a header is missing: the answer is cut, or not from an S3 server.
    """
    shape = SHAPES[call]
    if response.status not in shape.statuses:
        raise read_error(call, response)
    missing = [name for name in shape.headers if not response.headers.get(name)]
    if missing:
        raise TransientError(f"an answer without {missing[0]}")
    has_length = "content-length" in response.headers or response.headers.get("transfer-encoding") == "chunked"
    if not has_length and response.status != HTTPStatus.NO_CONTENT:
        raise TransientError("an answer that does not say how long it is")


def check_content(response: BaseHTTPResponse, name: str) -> None:
    """Check the content of an object against the SHA-256 that was stored with it, if any.

    Raises:
        ArtifactCorruptError: If the content differs.
    """
    sha256 = response.headers.get(SHA256_HEADER)
    if sha256 not in (None, hashlib.sha256(response.data).hexdigest()):
        raise ArtifactCorruptError(f"The content of {name} is not what was saved.")


def check_range(headers: Mapping[str, str], *, offset: int, num_bytes: int) -> None:
    """Check that an answer has the range that was asked for, or its beginning if the object ends there.

    Raises:
        TransientError: If it has another range.
    """
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", headers["content-range"])
    if found is None or int(found[1]) != offset or not offset <= int(found[2]) < offset + num_bytes:
        raise TransientError("an answer with another range")
    if headers.get("content-length") not in (None, str(int(found[2]) - offset + 1)):
        raise TransientError("an answer with a range of another length")


def read_error(call: Call, response: BaseHTTPResponse) -> AnswerError:
    """Return the error that an answer describes whose status is not that of a correct answer."""
    if call is Call.HEAD:
        # The answer has no body. An S3 server puts the id of the request into the headers; a proxy in front of it does
        # not, and its 404 says nothing about the object.
        is_missing = response.status == HTTPStatus.NOT_FOUND and any(
            name in response.headers for name in _REQUEST_ID_HEADERS
        )
        return AnswerError(status=response.status, code="NoSuchKey" if is_missing else "")
    try:
        root = _parse(response.data)
    except ElementTree.ParseError:
        return AnswerError(status=response.status)
    return parse_error(root, status=response.status)


def parse_error(root: ElementTree.Element, *, status: int) -> AnswerError:
    """Return the error in an element with a code and a message; in any other element, one with an empty code."""
    code = root.findtext("{*}Code") if _tag(root) == "Error" else ""
    return AnswerError(status=status, code=code or "", message=(root.findtext("{*}Message") or "") if code else "")


def parse_xml(call: Call, data: bytes) -> ElementTree.Element:
    """Return the root of an answer in XML.

    Raises:
        AnswerError: If the body is an error although the status is 200: a server sends the status of a long operation,
            and then white space, before it knows how the operation ends.
        TransientError: If the root is that of an answer to another call.
        ParseError: If the body is not XML.
    """
    root = _parse(data)
    if _tag(root) == "Error":
        raise parse_error(root, status=200)
    if _tag(root) != SHAPES[call].root:
        raise TransientError(f"an answer with {_tag(root)[:40]} where {SHAPES[call].root} was asked for")
    return root


def parse_stored(headers: Mapping[str, str]) -> Stored:
    """Return the size and tags of an object from the headers of an answer.

    Raises:
        TransientError: If the headers are damaged.
    """
    length, sha256 = headers["content-length"], headers.get(SHA256_HEADER)
    if not length.isascii() or not length.isdigit():
        raise TransientError("an answer with a length that is not a number")
    return Stored(num_bytes=int(length), sha256=sha256, etag=headers["etag"].strip('"'))


def parse_listing(root: ElementTree.Element, *, prefix: str) -> Listing:
    """Return a page of a list.

    Raises:
        TransientError: If the page is damaged: its count is wrong, or it has names without the prefix.
    """
    contents = root.findall("{*}Contents")
    encoding = root.findtext("{*}EncodingType") or ""
    if encoding not in ("", "url"):
        raise TransientError("a list in an encoding that was not asked for")
    decode = unquote_plus if encoding else str
    names = [decode(child_text(found, "Key")) for found in contents]
    count, is_truncated = root.findtext("{*}KeyCount"), child_text(root, "IsTruncated")
    if count not in (None, str(len(names))) or is_truncated not in ("true", "false"):
        raise TransientError("a list with a wrong count")
    if not all(name.startswith(prefix) for name in names):
        raise TransientError("a list of names that were not asked for")
    versions = {
        name: f"{child_text(found, 'ETag').strip(chr(34))}-{child_text(found, 'LastModified')}"
        for name, found in zip(names, contents, strict=True)
        # Web consoles create empty objects to show folders.
        if not name.endswith("/")
    }
    next_page = child_text(root, "NextContinuationToken") if is_truncated == "true" else None
    return Listing(versions=versions, next_page=next_page)


def check_deleted(root: ElementTree.Element, names: Collection[str]) -> None:
    """Check that a deletion deleted these names and no others.

    Raises:
        AnswerError: If an object was not deleted.
        TransientError: If others were deleted: the list was damaged in transit, and the server did not notice.
    """
    for failed in root.findall("{*}Error"):
        code, message = failed.findtext("{*}Code") or "", failed.findtext("{*}Message") or ""
        raise AnswerError(status=HTTPStatus.OK, code=code, message=message)
    if not {child_text(deleted, "Key") for deleted in root.findall("{*}Deleted")} <= set(names):
        raise TransientError("it deleted other objects than it was told to")


def child_text(element: ElementTree.Element, tag: str) -> str:
    """Return the text of a child element.

    Raises:
        TransientError: If the child is missing.
    """
    found = element.find(f"{{*}}{tag}")
    if found is None:
        raise TransientError(f"an answer without {tag}")
    return found.text or ""


def shows_damage(headers: Mapping[str, str], md5: str) -> bool:
    """Return whether the ETag of an object is the MD5 of another content than the one that was sent.

    The ETag of an object that is encrypted with a customer's key is no MD5; nor are the ETags of some servers.
    """
    etag = headers["etag"].strip('"').lower()
    is_encrypted = (
        headers.get("x-amz-server-side-encryption") in _ENCRYPTIONS_WITHOUT_MD5
        or "x-amz-server-side-encryption-customer-algorithm" in headers
    )
    return not is_encrypted and bool(_MD5.fullmatch(etag)) and etag != md5


def parts_xml(tags: Sequence[str]) -> bytes:
    """Return the XML that completes an upload, given the ETags of its parts in order."""
    root = ElementTree.Element("CompleteMultipartUpload")
    for number, tag in enumerate(tags, start=1):
        part = ElementTree.SubElement(root, "Part")
        ElementTree.SubElement(part, "PartNumber").text = str(number)
        ElementTree.SubElement(part, "ETag").text = f'"{tag}"'
    return ElementTree.tostring(root)


def deletion_xml(names: Sequence[str]) -> bytes:
    """Return the XML that deletes objects."""
    root = ElementTree.Element("Delete")
    for name in names:
        ElementTree.SubElement(ElementTree.SubElement(root, "Object"), "Key").text = name
    return ElementTree.tostring(root)


def _parse(data: bytes) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(data.strip())
    except (LookupError, ValueError) as error:
        # A damaged XML declaration may name an encoding that does not exist or that the parser cannot read.
        raise ElementTree.ParseError("the encoding is damaged") from error


def _tag(root: ElementTree.Element) -> str:
    return root.tag.rpartition("}")[2]
