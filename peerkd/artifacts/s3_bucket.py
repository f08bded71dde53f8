"""The objects of a bucket: requests that are repeated while their failures are transient.

The MinIO client builds, signs and sends them, over connections that check the answers. Its public functions cannot
write on a condition, nor repeat a single part of an upload or a copy. For these, ``Bucket._send`` calls ``_execute``,
the function through which all public ones send their requests.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from itertools import islice
from threading import Event
from typing import Any, Final, TypeVar
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
"""Size of the parts of an upload or a download. An object may have 10,000 parts, which are 640 GB."""
COPY_BYTES: Final = 512 * 1024**2
"""The most bytes that a server copies in one request. S3 allows 5 GiB, but the answer must come before the read
timeout."""

_READ_BYTES: Final = 1024**2
_MAX_NAMES: Final = 1000
"""The most names of a list or a deletion. It is the limit of S3."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """The size and tags of an object, as the store gives them without the content."""

    num_bytes: int
    sha256: str | None
    """The SHA-256 that this program stored with the content; None if another program wrote the object."""
    etag: str


class Bucket:
    """The objects of one bucket. Several threads may use it.

    All functions raise ``StoreUnavailableError`` if the store does not answer until the time is up, and ``ValueError``
    if the credentials, the bucket or the address are wrong. Those with an ``etag`` or an ``upload`` raise
    ``MissingError`` if the object does not exist, ``ConditionError`` if it has another ETag, and ``UploadLostError`` if
    the server does not know the upload.
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
        """Whether an ETag of this server has been the MD5 of the object's content."""

    @property
    def address(self) -> str:
        """The address of the bucket, as messages state it. It identifies the bucket."""
        return f"{self._endpoint}/{self.name}"

    def with_time_limit(self, seconds: float) -> "Bucket":
        """Return the same bucket with another limit on repeated requests, and without reports of outages."""
        bucket = copy(self)
        bucket._retries = StoreRetries(self._endpoint, notify=lambda text: None, seconds=seconds)
        return bucket

    def get(self, name: str) -> bytes | None:
        """Return the content of a small object, or None if it does not exist; see ``get_parsed``."""
        return self.get_parsed(name, bytes)

    def get_parsed(self, name: str, parse: Callable[[bytes], _Result]) -> _Result | None:
        """Return the parsed content of a small object, or None if the object does not exist.

        A content that differs from the SHA-256 stored with it, or for which ``parse`` raises an
        ``ArtifactCorruptError``, is requested again, since it may have been damaged in transit.

        Raises:
            ArtifactCorruptError: If the content is damaged each time.
        """

        def request() -> _Result:
            response = self._client.get_object(self.name, name)
            try:
                check_content(response, name)
                return parse(response.data)
            except ArtifactCorruptError as error:
                raise TransientError("a damaged answer", num_tries=NUM_TRIES_OF_DAMAGED, final_error=error) from error

        try:
            return self._repeat(request)
        except MissingError:
            return None

    def head(self, name: str) -> Stored | None:
        """Return the size and tags of an object, or None if it does not exist."""

        def request() -> Stored:
            try:
                headers = self._client.stat_object(self.name, name).metadata or {}
            except AnswerError as error:
                if error.code or not HTTPStatus.BAD_REQUEST <= error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise
                # An answer to HEAD has no error code that tells expired keys from missing rights; one to GET has.
                self._client.get_object(self.name, name).close()
                raise TransientError("HEAD of an object failed while GET succeeded") from error
            num_bytes, etag = int(headers["content-length"]), headers["etag"].strip('"')
            return Stored(num_bytes=num_bytes, sha256=headers.get(SHA256_HEADER), etag=etag)

        try:
            return self._repeat(request)
        except MissingError:
            return None

    def read(self, name: str, *, etag: str, offset: int, num_bytes: int, write: Callable[[bytes], object]) -> int:
        """Write up to ``num_bytes`` of an object from ``offset``, piece by piece; return the number of bytes received.

        It is smaller than ``num_bytes`` if the connection breaks after the first piece.
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
                raise TransientError("an answer without content")
            return num_read

        return self._repeat(request)

    def names(self, prefix: str) -> Mapping[str, str]:
        """Return the names that begin with a prefix, each with a version that changes with the content.

        A list has no checksum of its own. Without TLS, which adds one, the list is therefore requested twice and, if
        the two differ, a third time; the names that two of them have are returned.
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
        """Return the names and versions of a single list, which may be damaged if the connection has no TLS.

        That suffices if each object is requested afterwards, or if all are deleted.
        """

        def request(after: str | None) -> dict[str, str]:
            found = self._client.list_objects(self.name, prefix, recursive=True, start_after=after)
            # The client would request the next page only for the name after these.
            page = {each.object_name: f"{each.etag}-{each.last_modified}" for each in islice(found, _MAX_NAMES)}
            if not all(name.startswith(prefix) for name in page):
                raise TransientError("a list of names that were not requested")
            return page

        page = self._repeat(partial(request, None))
        versions = dict(page)
        while len(page) == _MAX_NAMES:
            page = self._repeat(partial(request, next(reversed(page))))
            versions.update(page)
        # Web consoles create empty objects to show folders.
        return {name: version for name, version in versions.items() if not name.endswith("/")}

    def put(self, name: str, content: bytes, *, only_new: bool = False) -> str:
        """Write an object in one request, with its SHA-256 in the metadata; return the SHA-256.

        Raises:
            ConditionError: If ``only_new`` and the object exists, perhaps from an earlier try of this same request.
            NoConditionsError: If ``only_new`` and the server does not support that condition.
        """
        sha256 = hashlib.sha256(content).hexdigest()
        self._put(name, content, headers=_new_object(sha256) | ({"If-None-Match": "*"} if only_new else {}))
        return sha256

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects; names that do not exist are no error."""
        objects = [DeleteObject(name) for name in names]
        for start in range(0, len(objects), _MAX_NAMES):
            self._repeat(partial(self._delete, objects[start : start + _MAX_NAMES]))

    def copy(self, source: str, target: str, *, etag: str) -> None:
        """Let the server copy an object of at most 5 GiB with its metadata."""
        self._repeat(lambda: self._send("PUT", target, headers=self._copy_headers(source, etag)))

    def begin_upload(self, name: str, *, sha256: str) -> str:
        """Begin an upload in parts and return its id."""
        return self._repeat_for_text("UploadId", "POST", name, query={"uploads": ""}, headers=_new_object(sha256))

    def put_part(self, name: str, upload: str, number: int, content: bytes) -> str:
        """Write a part, numbered from 1; return its ETag, which ``end_upload`` needs."""
        return self._put(name, content, query={"uploadId": upload, "partNumber": str(number)})

    def copy_part(
        self, source: str, name: str, upload: str, number: int, *, etag: str, offset: int, num_bytes: int
    ) -> str:
        """Let the server copy a range of an object into a part; see ``put_part``."""
        query = {"uploadId": upload, "partNumber": str(number)}
        copied = {"x-amz-copy-source-range": f"bytes={offset}-{offset + num_bytes - 1}"}
        headers = self._copy_headers(source, etag) | copied
        return self._repeat_for_text("ETag", "PUT", name, query=query, headers=headers).strip('"')

    def end_upload(self, name: str, upload: str, tags: Sequence[str]) -> None:
        """Complete an upload: the server joins the parts, given their ETags in order.

        Raises:
            UploadLostError: If the server does not know the upload, perhaps because an earlier try of this request
                succeeded and its answer was lost.
        """
        root = ElementTree.Element("CompleteMultipartUpload")
        for number, tag in enumerate(tags, start=1):
            part = ElementTree.SubElement(root, "Part")
            ElementTree.SubElement(part, "PartNumber").text = str(number)
            ElementTree.SubElement(part, "ETag").text = f'"{tag}"'
        body, headers = ElementTree.tostring(root), {"Content-Type": "application/xml"}
        self._repeat(lambda: self._send("POST", name, query={"uploadId": upload}, headers=headers, body=body))

    def abort_upload(self, name: str, upload: str) -> None:
        """Abort an upload, which deletes its parts."""
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
        """Write a content and return its ETag; send the content again if the ETag shows that it arrived damaged.

        An ETag that differs each time is accepted unless this server has returned the MD5 of a content before, since
        the ETags of some servers are no MD5s.
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
        """Return the text of an element of the answer to a request of ``_send``."""
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


def _new_object(sha256: str) -> dict[str, str]:
    return {SHA256_HEADER: sha256, "Content-Type": "application/octet-stream"}
