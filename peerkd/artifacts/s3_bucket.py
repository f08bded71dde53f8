"""The objects of a bucket: requests that are repeated while their failures are transient.

The MinIO client builds, signs and sends the requests, over connections that check the responses. Its public functions
can neither write under a condition nor repeat a single part of an upload or a copy. For such requests, ``Bucket._send``
calls the client's private function ``_execute``, through which all its public functions send their requests.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from http import HTTPStatus
from itertools import islice
from threading import Event
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

from minio.datatypes import ListMultipartUploadsResult
from minio.deleteobjects import DeleteObject
from urllib3 import BaseHTTPResponse

from peerkd.artifacts.s3_answers import SHA256_HEADER, check_content, check_range, child_text, parse_xml, shows_damage
from peerkd.artifacts.s3_connection import connect
from peerkd.artifacts.s3_environment import Settings
from peerkd.artifacts.s3_errors import (
    FOREIGN_ERRORS,
    NUM_TRIES_OF_DAMAGED,
    AnswerError,
    Call,
    MissingError,
    TransientError,
    classify,
)
from peerkd.artifacts.s3_retries import StoreRetries
from peerkd.errors import ArtifactCorruptError

PART_BYTES: Final = 64 * 1024**2
"""The size of the parts of an upload or a download. An object may have 10,000 parts, so it may have 640 GB."""
COPY_BYTES: Final = 512 * 1024**2
"""The maximum number of bytes that the server is asked to copy in one request.

S3 allows 5 GiB, but the response must arrive before the read timeout."""

_READ_BYTES: Final = 1024**2
_MAX_NAMES: Final = 1000
"""The maximum number of names in one response to a list request, or in one request to delete. It is the limit of S3."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """The size, the SHA-256 and the ETag of an object, which the server returns without the content."""

    num_bytes: int
    sha256: str | None
    """The SHA-256 that this program stored with the content; None if another program wrote the object."""
    etag: str


class Listed(NamedTuple):
    """The entry of one object in a list of objects."""

    num_bytes: int
    changed_at: datetime
    """The time when the object was written, by the clock of the server."""

    version: str
    """A text that changes whenever the content changes."""


class Bucket:
    """The objects of one bucket. Several threads may use it.

    All functions raise ``StoreUnavailableError`` if the store does not answer within the time limit, and ``ValueError``
    if the credentials, the bucket or the address are wrong. Functions with an argument ``etag`` raise ``MissingError``
    if the object does not exist, and ``ConditionError`` if it has another ETag. Functions with an argument ``upload``
    raise ``UploadLostError`` if the server does not know the upload.
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        *,
        retries: StoreRetries,
        part_bytes: int = PART_BYTES,
        copy_bytes: int = COPY_BYTES,
    ) -> None:
        self.name, self.part_bytes, self.copy_bytes = name, part_bytes, copy_bytes
        self._endpoint, self._retries = settings.endpoint, retries
        self._client = connect(settings)
        self._has_answered = Event()
        self._tags_are_md5s = Event()
        """An event that is set when this server returns an ETag that equals the MD5 of the uploaded content."""

    @property
    def address(self) -> str:
        """The address of the bucket, such as ``https://server:9000/bucket``."""
        return f"{self._endpoint}/{self.name}"

    def with_time_limit(self, seconds: float) -> "Bucket":
        """Return a client of this bucket that repeats failed requests for ``seconds`` and reports no outages."""
        bucket = copy(self)
        bucket._retries = StoreRetries(self._endpoint, notify=lambda text: None, seconds=seconds)
        return bucket

    def get(self, name: str) -> bytes | None:
        """Return the content of a small object, or None if the object does not exist.

        Raises:
            ArtifactCorruptError: If the content differs at every attempt from the SHA-256 that was stored with it.
        """
        return self.get_parsed(name, bytes)

    def get_parsed(self, name: str, parse: Callable[[bytes], _Result]) -> _Result | None:
        """Return the parsed content of a small object, or None if the object does not exist.

        The object is requested again if its content differs from the SHA-256 that was stored with it, or if ``parse``
        raises ``ArtifactCorruptError``, because the content may have been damaged in transit.

        Raises:
            ArtifactCorruptError: If the content is damaged each time.
        """

        def request() -> _Result:
            response = self._client.get_object(self.name, name)
            try:
                check_content(response, name)
                return parse(response.data)
            except ArtifactCorruptError as error:
                raise TransientError("a damaged response", num_tries=NUM_TRIES_OF_DAMAGED, final_error=error) from error

        try:
            return self._repeat(request)
        except MissingError:
            return None

    def head(self, name: str) -> Stored | None:
        """Return the size, the SHA-256 and the ETag of an object, or None if the object does not exist."""

        def request() -> Stored:
            try:
                headers = self._client.stat_object(self.name, name).metadata or {}
            except AnswerError as error:
                if error.code or not HTTPStatus.BAD_REQUEST <= error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise
                # A response to HEAD has no error code that tells expired keys from missing rights; one to GET has.
                self._client.get_object(self.name, name).close()
                raise TransientError("HEAD of an object failed while GET succeeded") from error
            num_bytes, etag = int(headers["content-length"]), headers["etag"].strip('"')
            return Stored(num_bytes=num_bytes, sha256=headers.get(SHA256_HEADER), etag=etag)

        try:
            return self._repeat(request)
        except MissingError:
            return None

    def read(self, name: str, *, etag: str, offset: int, num_bytes: int, write: Callable[[bytes], object]) -> int:
        """Download up to ``num_bytes`` of an object from ``offset``, and return how many bytes were received.

        Fewer bytes are received if the connection breaks after the first piece.

        Args:
            name: The name of the object.
            etag: The ETag that the object must have.
            offset: The offset of the first byte.
            num_bytes: The number of bytes to request.
            write: Called with each piece of the content, in order.
        """

        def request() -> int:
            num_read = 0
            response = self._client.get_object(
                self.name, name, offset, num_bytes, request_headers={"If-Match": f'"{etag}"'}
            )
            try:
                check_range(response.headers, offset=offset, num_bytes=num_bytes)
                for piece in response.stream(_READ_BYTES):
                    write(piece)
                    num_read += len(piece)
            except FOREIGN_ERRORS:
                if num_read == 0:
                    raise
            finally:
                response.close()
                response.release_conn()
            if num_read == 0:
                raise TransientError("a response without content")
            return num_read

        return self._repeat(request)

    def names(self, prefix: str) -> Mapping[str, str]:
        """Return the names of all objects whose name begins with a prefix, each with a version.

        The version of an object changes whenever its content changes.

        Without TLS, a list has no checksum and may arrive damaged. It is then requested twice and, if the two lists
        differ, a third time. The names that at least two of the lists contain are returned.
        """
        lists = [self.list_once(prefix)]
        if urlsplit(self._endpoint).scheme != "https":
            lists.append(self.list_once(prefix))
            if lists[0].keys() != lists[1].keys():
                lists.append(self.list_once(prefix))
        counts = Counter(name for versions in lists for name in versions)
        merged = {name: version for versions in lists for name, version in versions.items()}
        return {name: version for name, version in merged.items() if counts[name] > len(lists) / 2}

    def list_once(self, prefix: str) -> Mapping[str, str]:
        """Return the same as ``names``, but from a single list, which may arrive damaged if the connection has no TLS.

        One list suffices if the caller then requests each listed object, or deletes all of them.
        """
        return {name: each.version for name, each in self.describe_once(prefix).items()}

    def describe_once(self, prefix: str) -> Mapping[str, Listed]:
        """Return the entries of all objects whose names begin with a prefix, from a single list as in ``list_once``."""

        def request(after: str | None) -> dict[str, Listed]:
            found = self._client.list_objects(self.name, prefix, recursive=True, start_after=after)
            # The client would request the next page only for the name after these.
            page = {each.object_name: _listed(each) for each in islice(found, _MAX_NAMES)}
            if not all(name.startswith(prefix) for name in page):
                raise TransientError("a list of names that were not requested")
            return page

        page = self._repeat(partial(request, None))
        listed = dict(page)
        while len(page) == _MAX_NAMES:
            page = self._repeat(partial(request, next(reversed(page))))
            listed.update(page)
        # Web consoles create empty objects to show folders.
        return {name: each for name, each in listed.items() if not name.endswith("/")}

    def put(self, name: str, content: bytes, *, only_new: bool = False) -> str:
        """Write an object in one request, with its SHA-256 in the metadata; return the SHA-256.

        Args:
            name: The name of the object.
            content: The content.
            only_new: Whether to write the object only if none with this name exists.

        Raises:
            ConditionError: If ``only_new`` and the object exists. An earlier attempt at the same request, whose
                response was lost, may have written it.
            NoConditionsError: If ``only_new`` and the server does not support this condition.
        """
        sha256 = hashlib.sha256(content).hexdigest()
        self._put(name, content, headers=_new_object(sha256) | ({"If-None-Match": "*"} if only_new else {}))
        return sha256

    def delete(self, names: Iterable[str]) -> None:
        """Delete the objects with these names. A name without an object is no error."""
        objects = [DeleteObject(name) for name in names]
        for start in range(0, len(objects), _MAX_NAMES):
            self._repeat(partial(self._delete, objects[start : start + _MAX_NAMES]))

    def copy(self, source: str, target: str, *, etag: str) -> None:
        """Let the server copy an object of at most 5 GiB with its metadata."""
        self._repeat(lambda: self._send("PUT", target, headers=self._copy_headers(source, etag)))

    def begin_upload(self, name: str, *, sha256: str) -> str:
        """Begin a multipart upload and return its id."""
        return self._repeat_for_text("UploadId", "POST", name, query={"uploads": ""}, headers=_new_object(sha256))

    def put_part(self, name: str, upload: str, number: int, content: bytes) -> str:
        """Write one part of a multipart upload, and return its ETag for ``end_upload``. The first part is number 1."""
        return self._put(name, content, query={"uploadId": upload, "partNumber": str(number)})

    def copy_part(
        self, source: str, name: str, upload: str, number: int, *, etag: str, offset: int, num_bytes: int
    ) -> str:
        """Let the server copy a range of ``source`` into one part of an upload, and return the ETag of the part."""
        query = {"uploadId": upload, "partNumber": str(number)}
        copied = {"x-amz-copy-source-range": f"bytes={offset}-{offset + num_bytes - 1}"}
        headers = self._copy_headers(source, etag) | copied
        return self._repeat_for_text("ETag", "PUT", name, query=query, headers=headers).strip('"')

    def end_upload(self, name: str, upload: str, tags: Sequence[str]) -> None:
        """Complete a multipart upload, so that the server joins its parts to one object.

        Args:
            name: The name of the object.
            upload: The id of the upload.
            tags: The ETags of the parts, in order.

        Raises:
            UploadLostError: If the server does not know the upload. An earlier attempt at the same request, whose
                response was lost, may have completed it.
        """
        root = ElementTree.Element("CompleteMultipartUpload")
        for number, tag in enumerate(tags, start=1):
            part = ElementTree.SubElement(root, "Part")
            ElementTree.SubElement(part, "PartNumber").text = str(number)
            ElementTree.SubElement(part, "ETag").text = f'"{tag}"'
        body, headers = ElementTree.tostring(root), {"Content-Type": "application/xml"}
        self._repeat(lambda: self._send("POST", name, query={"uploadId": upload}, headers=headers, body=body))

    def abort_upload(self, name: str, upload: str) -> None:
        """Abort a multipart upload and delete its parts."""
        self._repeat(lambda: self._send("DELETE", name, query={"uploadId": upload}))

    def uploads(self, name: str) -> list[str]:
        """Return the ids of the unfinished uploads of an object."""
        # A MinIO server lists an upload only if the prefix is the whole name.
        query = {"uploads": "", "prefix": name}
        found = self._repeat(lambda: ListMultipartUploadsResult(self._send("GET", query=query)))
        return [each.upload_id or "" for each in found.uploads if each.object_name == name]

    def _put(
        self,
        name: str,
        content: bytes,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Send the content of an object or a part, and return its ETag.

        If the ETag is not the MD5 of the content, the content may have arrived damaged, and it is sent again. The
        ETags of some servers are never MD5s. Such an ETag is therefore accepted after several attempts, unless this
        server has returned an MD5 before.
        """
        md5, kept = hashlib.md5(content, usedforsecurity=False).hexdigest(), dict(headers or {})

        def request() -> str:
            for _ in range(NUM_TRIES_OF_DAMAGED):
                response = self._send("PUT", name, query=query, headers=kept, body=content)
                if not shows_damage(response.headers, md5):
                    break
                # This request wrote the object that now exists, so the next one must be allowed to replace it.
                kept.pop("If-None-Match", None)
                if self._tags_are_md5s.is_set():
                    raise TransientError("an ETag that is not the MD5 of the content sent")
            etag = response.headers["etag"].strip('"')
            if etag == md5:
                self._tags_are_md5s.set()
            return etag

        return self._repeat(request)

    def _delete(self, objects: Sequence[DeleteObject]) -> None:
        for failed in self._client.remove_objects(self.name, objects):
            raise AnswerError(Call.DELETE, status=HTTPStatus.OK, code=failed.code, message=failed.message or "")

    def _copy_headers(self, name: str, etag: str) -> dict[str, str]:
        return {"x-amz-copy-source": quote(f"/{self.name}/{name}"), "x-amz-copy-source-if-match": f'"{etag}"'}

    def _repeat_for_text(self, tag: str, *request: Any, **parts: Any) -> str:
        """Send a request with ``_send``, repeat it if it fails, and return the text of an element of the response.

        Args:
            tag: The name of the element.
            request: The positional arguments of ``_send``.
            parts: The keyword arguments of ``_send``.
        """
        return self._repeat(lambda: child_text(parse_xml(self._send(*request, **parts).data), tag))

    def _repeat(self, request: Callable[[], _Result]) -> _Result:
        def translated() -> _Result:
            try:
                result = request()
            except (AnswerError, *FOREIGN_ERRORS) as error:
                has_answered = self._has_answered.is_set()
                raise classify(error, endpoint=self._endpoint, bucket=self.name, has_answered=has_answered) from error
            self._has_answered.set()
            return result

        return self._retries.call(translated)

    def _send(
        self,
        method: str,
        name: str | None = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> BaseHTTPResponse:
        """Send a request for which the client has no public function."""
        # The client adds headers to the mapping that it is given, and a repeated request needs new ones.
        return self._client._execute(
            method, self.name, name, body=body, headers=dict(headers or {}), query_params=dict(query or {})
        )


def _listed(found: Any) -> Listed:
    return Listed(found.size, found.last_modified, f"{found.etag}-{found.last_modified}")


def _new_object(sha256: str) -> dict[str, str]:
    return {SHA256_HEADER: sha256, "Content-Type": "application/octet-stream"}
