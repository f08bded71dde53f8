"""What an answer of an S3 server must have, and what is read from it."""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from urllib3 import BaseHTTPResponse

from peerkd.artifacts.s3_errors import AnswerError, PassingError
from peerkd.artifacts.s3_table import SHAPES, Call
from peerkd.errors import ArtifactCorruptError

SHA256_HEADER: Final = "x-amz-meta-sha256"
_REQUEST_ID_HEADERS: Final = ("x-amz-request-id", "x-amzn-requestid")
_MD5: Final = re.compile("[0-9a-f]{32}")
_KEYS_OF_OTHERS: Final = ("aws:kms", "aws:kms:dsse")


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """What the store says of an object without sending it."""

    num_bytes: int
    sha256: str | None
    """What whoever wrote it said that it is; None if it was none of ours."""
    etag: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """A page of a list of objects."""

    versions: Mapping[str, str]
    """The names, each with a version that changes with the content."""
    next_page: str | None
    """What to ask for the next page with; None on the last."""


def check_shape(call: Call, response: BaseHTTPResponse) -> None:
    """Check status and headers of an answer, whose body is read later.

    Raises:
        AnswerError: If it has another status than a right answer.
        PassingError: If it lacks a header: then it is not the whole answer, or not one of an S3 server.
    """
    shape = SHAPES[call]
    if response.status not in shape.statuses:
        raise error_of(call, response)
    lacking = [name for name in shape.headers if not response.headers.get(name)]
    if lacking:
        raise PassingError(f"an answer without {lacking[0]}")
    says_length = "content-length" in response.headers or response.headers.get("transfer-encoding") == "chunked"
    if not says_length and response.status != 204:
        raise PassingError("an answer that does not say how long it is")


def error_of(call: Call, response: BaseHTTPResponse) -> AnswerError:
    """Return what an answer of another status says."""
    if call is Call.HEAD:
        # It has no body. What an S3 server itself does not find is marked with the number of the request; a web server
        # on the way, which knows nothing of objects, leaves no such mark.
        is_missing = response.status == HTTPStatus.NOT_FOUND and any(
            name in response.headers for name in _REQUEST_ID_HEADERS
        )
        return AnswerError(status=response.status, code="NoSuchKey" if is_missing else "")
    try:
        root = _parse(response.data)
    except ElementTree.ParseError:
        return AnswerError(status=response.status)
    return error_in(root, status=response.status)


def error_in(root: ElementTree.Element, *, status: int) -> AnswerError:
    """Return what an element with a code and a message says; of another element, that it is not in the words of S3."""
    code = root.findtext("{*}Code") if _tag(root) == "Error" else ""
    return AnswerError(status=status, code=code or "", message=(root.findtext("{*}Message") or "") if code else "")


def parse_xml(call: Call, data: bytes) -> ElementTree.Element:
    """Return the root of an answer in XML.

    Raises:
        AnswerError: If it is an error after all: what takes long is begun with status 200 before it is known how it
            ends, and white space comes first meanwhile.
        PassingError: If it is the answer to another question.
        ParseError: If it is not XML.
    """
    root = _parse(data)
    if _tag(root) == "Error":
        raise error_in(root, status=200)
    if _tag(root) != SHAPES[call].root:
        raise PassingError(f"an answer with {_tag(root)[:40]} where {SHAPES[call].root} was asked for")
    return root


def parse_stored(headers: Mapping[str, str]) -> Stored:
    """Return what the headers say of an object.

    Raises:
        PassingError: If they are damaged.
    """
    length, sha256 = headers["content-length"], headers.get(SHA256_HEADER)
    if not length.isascii() or not length.isdigit():
        raise PassingError("an answer with a length that is not a number")
    return Stored(num_bytes=int(length), sha256=sha256, etag=headers["etag"].strip('"'))


def parse_listing(root: ElementTree.Element, *, prefix: str) -> Listing:
    """Return a page of a list.

    Raises:
        PassingError: If it is damaged: it does not count right, or has names that were not asked for.
    """
    contents = root.findall("{*}Contents")
    encoding = root.findtext("{*}EncodingType") or ""
    if encoding not in ("", "url"):
        raise PassingError("a list in an encoding that was not asked for")
    decode = unquote_plus if encoding else str
    names = [decode(text_of(found, "Key")) for found in contents]
    count, is_truncated = root.findtext("{*}KeyCount"), text_of(root, "IsTruncated")
    if count not in (None, str(len(names))) or is_truncated not in ("true", "false"):
        raise PassingError("a list that does not count right")
    if not all(name.startswith(prefix) for name in names):
        raise PassingError("a list of names that were not asked for")
    versions = {
        name: f"{text_of(found, 'ETag').strip(chr(34))}-{text_of(found, 'LastModified')}"
        for name, found in zip(names, contents, strict=True)
        # Consoles make empty objects that look like folders.
        if not name.endswith("/")
    }
    next_page = text_of(root, "NextContinuationToken") if is_truncated == "true" else None
    return Listing(versions=versions, next_page=next_page)


def check_deleted(root: ElementTree.Element, names: Collection[str]) -> None:
    """Check what the answer to a deletion says of each name.

    Raises:
        AnswerError: If one was not deleted.
        PassingError: If others were: a server that does not check what arrives was sent a damaged list.
    """
    for failed in root.findall("{*}Error"):
        code, message = failed.findtext("{*}Code") or "", failed.findtext("{*}Message") or ""
        raise AnswerError(status=HTTPStatus.OK, code=code, message=message)
    if not {text_of(deleted, "Key") for deleted in root.findall("{*}Deleted")} <= set(names):
        raise PassingError("it deleted other objects than it was told to")


def text_of(element: ElementTree.Element, tag: str) -> str:
    """Return the text of a child.

    Raises:
        PassingError: If there is no such child.
    """
    found = element.find(f"{{*}}{tag}")
    if found is None:
        raise PassingError(f"an answer without {tag}")
    return found.text or ""


def tells_damage(headers: Mapping[str, str], md5: str) -> bool:
    """Return whether a server that was sent a content with an MD5 says by its tag that it got another.

    Tags of objects that are encrypted with a key of the customer's are no MD5s; nor are those of some servers.
    """
    etag = headers["etag"].strip('"').lower()
    is_encrypted = (
        headers.get("x-amz-server-side-encryption") in _KEYS_OF_OTHERS
        or "x-amz-server-side-encryption-customer-algorithm" in headers
    )
    return not is_encrypted and bool(_MD5.fullmatch(etag)) and etag != md5


def source_of_parts(tags: Sequence[str]) -> bytes:
    """Return the XML that ends an upload of the parts whose tags are given in their order."""
    root = ElementTree.Element("CompleteMultipartUpload")
    for number, tag in enumerate(tags, start=1):
        part = ElementTree.SubElement(root, "Part")
        ElementTree.SubElement(part, "PartNumber").text = str(number)
        ElementTree.SubElement(part, "ETag").text = f'"{tag}"'
    return ElementTree.tostring(root)


def source_of_names(names: Sequence[str]) -> bytes:
    """Return the XML that deletes objects."""
    root = ElementTree.Element("Delete")
    for name in names:
        ElementTree.SubElement(ElementTree.SubElement(root, "Object"), "Key").text = name
    return ElementTree.tostring(root)


def _parse(data: bytes) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(data.strip())
    except (LookupError, ValueError) as error:
        # A declaration that was damaged names an encoding that does not exist, or one that the parser does not read.
        raise ElementTree.ParseError("the encoding is damaged") from error


def _tag(root: ElementTree.Element) -> str:
    return root.tag.rpartition("}")[2]


def check_content(response: BaseHTTPResponse, name: str) -> None:
    """Check the content of an object against the SHA-256 that was stored with it, if there is one.

    Raises:
        ArtifactCorruptError: If it is another.
    """
    sha256 = response.headers.get(SHA256_HEADER)
    if sha256 not in (None, hashlib.sha256(response.data).hexdigest()):
        raise ArtifactCorruptError(f"The content of {name} is not what was saved.")


def check_range(headers: Mapping[str, str], *, offset: int, num_bytes: int) -> None:
    """Check that the range that comes is one that was asked for, which the end of an object may cut short.

    Raises:
        PassingError: If it is not.
    """
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", headers["content-range"])
    if found is None or int(found[1]) != offset or not offset <= int(found[2]) < offset + num_bytes:
        raise PassingError("it sent another range than was asked for")
    if headers.get("content-length") not in (None, str(int(found[2]) - offset + 1)):
        raise PassingError("it sent a range of another length than it says")
