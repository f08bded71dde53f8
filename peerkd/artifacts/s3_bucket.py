"""The objects of a bucket: one kind of request per function, repeated while its failures are transient.

The public functions of the MinIO client can neither repeat a single part of an upload, nor write on a condition, nor
report that an answer was cut. Therefore only its code that builds and signs requests is used; this module sends the
requests and checks the answers.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from http import HTTPStatus
from threading import Event
from typing import Final, TypedDict, TypeVar, Unpack
from urllib.parse import quote, urlsplit, urlunsplit
from xml.etree import ElementTree

from minio import Minio
from minio.helpers import md5sum_hash
from minio.signer import sign_v4_s3
from urllib3 import BaseHTTPResponse

from peerkd.artifacts import s3_answers as answers
from peerkd.artifacts.s3_answers import Stored, child_text
from peerkd.artifacts.s3_connection import Settings, connect
from peerkd.artifacts.s3_errors import (
    FOREIGN_ERRORS,
    NUM_TRIES_OF_DAMAGED,
    AnswerError,
    MissingError,
    TransientError,
    judge,
)
from peerkd.artifacts.s3_retries import StoreRetries
from peerkd.artifacts.s3_table import SHAPES, Call
from peerkd.errors import ArtifactCorruptError

_READ_BYTES: Final = 1024**2
_MAX_NAMES_PER_DELETION: Final = 1000
"""The limit of S3."""

_Result = TypeVar("_Result")


class _Parts(TypedDict, total=False):
    """The parts of a request besides its call and the name of its object."""

    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


class Bucket:
    """The objects of one bucket. Several threads may use it.

    All functions raise ``StoreUnavailableError`` if the store does not answer until the patience ends, and
    ``ValueError`` if the credentials, the bucket or the address are wrong.
    """

    def __init__(self, settings: Settings, name: str, *, retries: StoreRetries) -> None:
        self._settings, self._name, self._retries = settings, name, retries
        self._client: Minio = connect(settings)
        self._has_answered = Event()
        self._tags_are_md5s = Event()
        """Whether an ETag of this server has been the MD5 of the object's content."""

    @property
    def address(self) -> str:
        """The address of the bucket, which is shown to people and differs between buckets."""
        return f"{self._settings.endpoint}/{self._name}"

    @property
    def name(self) -> str:
        """The name of the bucket."""
        return self._name

    def impatient(self, *, seconds: float = 0.0) -> "Bucket":
        """Return the same bucket with other patience, by default none, and without messages about outages."""
        bucket = copy(self)
        bucket._retries = StoreRetries(self._settings.endpoint, tell=lambda text: None, seconds=seconds)
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
            response = self._send(Call.GET, name)
            try:
                answers.check_content(response, name)
                return parse(response.data)
            except ArtifactCorruptError as error:
                raise TransientError("a damaged answer", num_tries=NUM_TRIES_OF_DAMAGED, final_error=error) from error

        try:
            return self._patiently(Call.GET, request)
        except MissingError:
            return None

    def head(self, name: str) -> Stored | None:
        """Return the size and tags of an object, or None if it does not exist."""

        def request() -> Stored:
            try:
                return answers.parse_stored(self._send(Call.HEAD, name).headers)
            except AnswerError as error:
                if error.code or not HTTPStatus.BAD_REQUEST <= error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise
            # An answer to HEAD has no error code that tells expired keys from missing rights. An answer to GET has one.
            self._send(Call.GET, name, headers={"Range": "bytes=0-0"})
            raise TransientError("HEAD of an object failed while GET succeeded")

        try:
            return self._patiently(Call.HEAD, request)
        except MissingError:
            return None

    def read(self, name: str, *, etag: str, offset: int, num_bytes: int, write: Callable[[bytes], object]) -> int:
        """Write up to ``num_bytes`` of an object from ``offset``, piece by piece; return the number of bytes received.

        It is smaller than ``num_bytes`` if the connection breaks after the first piece.

        Raises:
            MissingError: If the object does not exist any more.
            ConditionError: If the object no longer has this ``etag``.
        """
        headers = {"Range": f"bytes={offset}-{offset + num_bytes - 1}", "If-Match": f'"{etag}"'}

        def request() -> int:
            num_read = 0
            response = self._send(Call.READ, name, headers=headers, preload_content=False)
            try:
                answers.check_range(response.headers, offset=offset, num_bytes=num_bytes)
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

        return self._patiently(Call.READ, request)

    def names(self, prefix: str) -> Mapping[str, str]:
        """Return the names that begin with a prefix, each with a version that changes with the content.

        A list has no checksum of its own. Without TLS, which adds one, the list is therefore requested twice and, if
        the two differ, a third time; the names that two of them have are returned.
        """
        lists = [self.list_once(prefix)]
        if urlsplit(self._settings.endpoint).scheme != "https":
            lists.append(self.list_once(prefix))
            if lists[0].keys() != lists[1].keys():
                lists.append(self.list_once(prefix))
        counts = Counter(name for versions in lists for name in versions)
        merged = {name: version for versions in lists for name, version in versions.items()}
        return {name: version for name, version in merged.items() if counts[name] > len(lists) / 2}

    def list_once(self, prefix: str) -> Mapping[str, str]:
        """Return the names and versions of a single list, which may be damaged if the connection has no TLS.

        It suffices where each object is then looked up, or all are to be deleted.
        """
        return dict(item for page in self._pages(prefix) for item in page.items())

    def put(self, name: str, content: bytes, *, only_new: bool = False) -> str:
        """Write an object in one request, with its SHA-256 in the metadata; return the SHA-256.

        Raises:
            ConditionError: If ``only_new`` and the object exists, perhaps from an earlier try of this same request.
            NoConditionsError: If ``only_new`` and the server does not support that condition.
        """
        sha256 = hashlib.sha256(content).hexdigest()
        headers = {answers.SHA256_HEADER: sha256, "Content-Type": "application/octet-stream"}
        if only_new:
            headers["If-None-Match"] = "*"
        self._put(Call.PUT_NEW if only_new else Call.PUT, name, content, query={}, headers=headers)
        return sha256

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects; names that do not exist are no error."""
        names = list(names)
        for start in range(0, len(names), _MAX_NAMES_PER_DELETION):
            self._delete(names[start : start + _MAX_NAMES_PER_DELETION])

    def copy(self, source: str, target: str, *, etag: str) -> None:
        """Let the server copy an object of at most 5 GiB with its metadata.

        Raises:
            MissingError: If the source does not exist.
            ConditionError: If the source no longer has this ``etag``.
        """
        self._request_xml(Call.COPY, target, headers=self._copy_headers(source, etag))

    def begin_upload(self, name: str, *, sha256: str) -> str:
        """Begin an upload in parts and return its id."""
        headers = {answers.SHA256_HEADER: sha256, "Content-Type": "application/octet-stream"}
        return child_text(self._request_xml(Call.BEGIN, name, query={"uploads": ""}, headers=headers), "UploadId")

    def put_part(self, name: str, upload: str, number: int, content: bytes) -> str:
        """Write a part, numbered from 1; return its ETag, which ``end_upload`` needs.

        Raises:
            UploadLostError: If the server does not know the upload any more.
        """
        query = {"uploadId": upload, "partNumber": str(number)}
        return self._put(Call.PART, name, content, query=query, headers={})

    def copy_part(
        self, source: str, name: str, upload: str, number: int, *, etag: str, offset: int, num_bytes: int
    ) -> str:
        """Let the server copy a range of an object into a part; see ``put_part`` and ``copy``."""
        query = {"uploadId": upload, "partNumber": str(number)}
        headers = self._copy_headers(source, etag)
        headers["x-amz-copy-source-range"] = f"bytes={offset}-{offset + num_bytes - 1}"
        return child_text(self._request_xml(Call.COPY_PART, name, query=query, headers=headers), "ETag").strip('"')

    def end_upload(self, name: str, upload: str, tags: Sequence[str]) -> None:
        """Make the object from its parts, given their ETags in order.

        Raises:
            UploadLostError: If the server does not know the upload, perhaps because an earlier try of this request
                succeeded and its answer was lost.
        """
        headers = {"Content-Type": "application/xml"}
        self._request_xml(Call.END, name, query={"uploadId": upload}, headers=headers, body=answers.parts_xml(tags))

    def abort_upload(self, name: str, upload: str) -> None:
        """Abort an upload, which deletes its parts; see ``end_upload``."""
        self._patiently(Call.ABORT, lambda: self._send(Call.ABORT, name, query={"uploadId": upload}))

    def uploads(self, name: str) -> list[str]:
        """Return the ids of the unfinished uploads of an object."""
        # MinIO lists an upload only if the prefix is the whole name.
        root = self._request_xml(Call.UPLOADS, None, query={"uploads": "", "prefix": name})
        return [
            child_text(upload, "UploadId") for upload in root.findall("{*}Upload") if child_text(upload, "Key") == name
        ]

    def _delete(self, names: Sequence[str]) -> None:
        body = answers.deletion_xml(names)
        # S3 requires the MD5 of a deletion.
        headers = {"Content-Type": "application/xml", "Content-MD5": md5sum_hash(body) or ""}

        def request() -> None:
            root = self._send_for_xml(Call.DELETE, None, query={"delete": ""}, headers=headers, body=body)
            answers.check_deleted(root, names)

        self._patiently(Call.DELETE, request)

    def _pages(self, prefix: str) -> Iterator[Mapping[str, str]]:
        query = {"list-type": "2", "prefix": prefix, "encoding-type": "url"}
        while True:

            def request(query: Mapping[str, str] = query) -> answers.Listing:
                return answers.parse_listing(self._send_for_xml(Call.LIST, None, query=query), prefix=prefix)

            page = self._patiently(Call.LIST, request)
            yield page.versions
            if page.next_page is None:
                return
            query = {**query, "continuation-token": page.next_page}

    def _put(
        self, call: Call, name: str, content: bytes, *, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> str:
        """Write a content and return its ETag; send the content again if the ETag shows that it arrived damaged.

        An ETag that differs each time is accepted unless this server has returned the MD5 of a content before, since
        the ETags of some servers are no MD5s.
        """
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        headers = dict(headers)

        def request() -> str:
            for _ in range(NUM_TRIES_OF_DAMAGED):
                response = self._send(call, name, query=query, headers=headers, body=content)
                if not answers.shows_damage(response.headers, md5):
                    break
                # This request wrote the object that now exists, so the next one must be allowed to replace it.
                headers.pop("If-None-Match", None)
                if self._tags_are_md5s.is_set():
                    raise TransientError("an ETag that is not the MD5 of the content sent")
            etag = response.headers["etag"].strip('"')
            if etag == md5:
                self._tags_are_md5s.set()
            return etag

        return self._patiently(call, request)

    def _copy_headers(self, name: str, etag: str) -> dict[str, str]:
        return {"x-amz-copy-source": quote(f"/{self._name}/{name}"), "x-amz-copy-source-if-match": f'"{etag}"'}

    def _request_xml(self, call: Call, name: str | None, **parts: Unpack[_Parts]) -> ElementTree.Element:
        return self._patiently(call, lambda: self._send_for_xml(call, name, **parts))

    def _send_for_xml(self, call: Call, name: str | None, **parts: Unpack[_Parts]) -> ElementTree.Element:
        return answers.parse_xml(call, self._send(call, name, **parts).data)

    def _patiently(self, call: Call, request: Callable[[], _Result]) -> _Result:
        def translated() -> _Result:
            try:
                result = request()
            except (AnswerError, *FOREIGN_ERRORS) as error:
                raise judge(
                    error,
                    call,
                    endpoint=self._settings.endpoint,
                    bucket=self._name,
                    has_answered=self._has_answered.is_set(),
                ) from error
            self._has_answered.set()
            return result

        return self._retries.call(translated)

    def _send(
        self, call: Call, name: str | None, *, preload_content: bool = True, **parts: Unpack[_Parts]
    ) -> BaseHTTPResponse:
        """Sign and send a request once, and return the answer if it has the shape of a correct one."""
        client = self._client
        keys = client._provider.retrieve() if client._provider else None
        if keys is None:
            raise ValueError("A request to a store must be signed.")
        method, body = SHAPES[call].method, parts.get("body")
        url = client._base_url.build(
            method=method,
            region=self._settings.region,
            bucket_name=self._name,
            object_name=name,
            query_params=dict(parts.get("query", {})),
        )
        # The client adds headers to the mapping that it is given, and a repeated request needs new ones.
        signed, date = client._build_headers(url.netloc, dict(parts.get("headers", {})), body, keys)
        signed = sign_v4_s3(
            method=method,
            url=url,
            region=self._settings.region,
            headers=signed,
            credentials=keys,
            content_sha256=str(signed["x-amz-content-sha256"]),
            date=date,
        )
        response = client._http.urlopen(
            method,
            urlunsplit(url),
            body=body,
            headers={name: str(value) for name, value in signed.items()},
            preload_content=preload_content,
            redirect=False,
        )
        try:
            answers.check_shape(call, response)
        except (AnswerError, TransientError):
            response.release_conn()
            raise
        return response
