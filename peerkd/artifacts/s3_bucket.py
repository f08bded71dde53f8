"""A bucket as objects with names: one request a function, each repeated while the store does not answer.

The client's public functions neither make an upload in parts that can be repeated part by part, nor write on a
condition, nor say where an answer was cut. So its parts that build and sign a request are used, and the request is sent
and the answer judged here.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from http import HTTPStatus
from threading import Event
from typing import Final, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit
from xml.etree import ElementTree

from minio import Minio
from minio.helpers import md5sum_hash
from minio.signer import sign_v4_s3
from urllib3 import BaseHTTPResponse

from peerkd.artifacts import s3_answers as answers
from peerkd.artifacts.s3_answers import Stored, text_of
from peerkd.artifacts.s3_connection import Settings, connect
from peerkd.artifacts.s3_errors import (
    FOREIGN_ERRORS,
    NUM_TRIES_OF_DAMAGED,
    AnswerError,
    MissingError,
    PassingError,
    judge,
)
from peerkd.artifacts.s3_patience import Patience
from peerkd.artifacts.s3_table import Call
from peerkd.errors import ArtifactCorruptError

_READ_BYTES: Final = 1024**2
_MAX_NAMES_PER_DELETION: Final = 1000
"""What S3 takes at most."""

_Result = TypeVar("_Result")


class Bucket:
    """The objects of one bucket. Several threads may use it.

    All functions raise ``StoreUnavailableError`` when there is no answer for longer than there is patience, and a
    ``ValueError`` when the credentials, the bucket or the address are wrong.
    """

    def __init__(self, settings: Settings, name: str, *, patience: Patience) -> None:
        self._settings, self._name, self._patience = settings, name, patience
        self._client: Minio = connect(settings)
        self._has_answered = Event()
        self._tags_are_md5s = Event()
        """Whether the server has been seen to give an object the MD5 of its content for a tag."""

    @property
    def address(self) -> str:
        """Return where it is, for people and to tell one bucket from another."""
        return f"{self._settings.endpoint}/{self._name}"

    @property
    def name(self) -> str:
        """The name of the bucket."""
        return self._name

    def impatient(self, *, seconds: float = 0.0) -> "Bucket":
        """Return the same bucket for what is not worth waiting for: unless there are seconds, all is tried once."""
        bucket = copy(self)
        bucket._patience = Patience(self._settings.endpoint, tell=lambda text: None, seconds=seconds)
        return bucket

    def get(self, name: str) -> bytes | None:
        """Return the content of a small object, or None if there is none; see ``get_parsed``."""
        return self.get_parsed(name, bytes)

    def get_parsed(self, name: str, parse: Callable[[bytes], _Result]) -> _Result | None:
        """Return what ``parse`` makes of a small object, or None if there is no object.

        A content that is not the one whose SHA-256 was stored with it, or that ``parse`` raises an
        ``ArtifactCorruptError`` for, is asked for again: it may have been damaged on its way.

        Raises:
            ArtifactCorruptError: If it comes damaged each time.
        """

        def request() -> _Result:
            response = self._send(Call.GET, "GET", name)
            try:
                answers.check_content(response, name)
                return parse(response.data)
            except ArtifactCorruptError as error:
                raise PassingError("a damaged answer", num_tries=NUM_TRIES_OF_DAMAGED, lasting=error) from error

        try:
            return self._patiently(Call.GET, request)
        except MissingError:
            return None

    def head(self, name: str) -> Stored | None:
        """Return what is known of an object, or None if there is none."""

        def request() -> Stored:
            try:
                return answers.parse_stored(self._send(Call.HEAD, "HEAD", name).headers)
            except AnswerError as error:
                if error.code or not HTTPStatus.BAD_REQUEST <= error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise
            # An answer to HEAD has no words that tell expired keys from a lack of rights. This one has.
            self._send(Call.GET, "GET", name, headers={"Range": "bytes=0-0"})
            raise PassingError("it shows what it says is not there")

        try:
            return self._patiently(Call.HEAD, request)
        except MissingError:
            return None

    def read(self, name: str, *, etag: str, offset: int, num_bytes: int, write: Callable[[bytes], object]) -> int:
        """Pass on up to ``num_bytes`` of an object from ``offset``, piece by piece; return how many came.

        It is fewer than asked for if the connection broke after the first piece.

        Raises:
            MissingError: If there is no such object any more.
            ConditionError: If it has another content than when its ``etag`` was asked for.
        """
        headers = {"Range": f"bytes={offset}-{offset + num_bytes - 1}", "If-Match": f'"{etag}"'}

        def request() -> int:
            num_read = 0
            response = self._send(Call.READ, "GET", name, headers=headers, preload_content=False)
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
                raise PassingError("it sent nothing")
            return num_read

        return self._patiently(Call.READ, request)

    def names(self, prefix: str) -> Mapping[str, str]:
        """Return the names that begin with a prefix, each with a version that changes with the content.

        A list has no checksum. Without TLS, which has one, it is therefore asked for twice, and where the two differ, a
        third time: what two of them have is believed.
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
        """Return the names and versions of one list: for who looks at each object, or wants none of them kept."""
        return dict(item for page in self._pages(prefix) for item in page.items())

    def put(self, name: str, content: bytes, *, only_new: bool = False) -> str:
        """Write an object in one request; return its SHA-256, which is in its metadata.

        Raises:
            ConditionError: If it is to be new and there is one already, perhaps by an earlier try of this very request.
            NoConditionsError: If it is to be new and the server cannot promise that.
        """
        sha256 = hashlib.sha256(content).hexdigest()
        headers = {answers.SHA256_HEADER: sha256, "Content-Type": "application/octet-stream"}
        if only_new:
            headers["If-None-Match"] = "*"
        self._put(Call.PUT_NEW if only_new else Call.PUT, name, content, headers=headers)
        return sha256

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects; one that is not there is deleted."""
        names = list(names)
        for start in range(0, len(names), _MAX_NAMES_PER_DELETION):
            self._delete(names[start : start + _MAX_NAMES_PER_DELETION])

    def copy(self, source: str, target: str, *, etag: str) -> None:
        """Let the server copy an object with its metadata; not more than 5 GiB.

        Raises:
            MissingError: If there is no such source.
            ConditionError: If it has another content than when its ``etag`` was asked for.
        """
        self._ask_for_xml(Call.COPY, "PUT", target, headers=self._source(source, etag))

    def begin_upload(self, name: str, *, sha256: str) -> str:
        """Begin an upload in parts and return its id."""
        headers = {answers.SHA256_HEADER: sha256, "Content-Type": "application/octet-stream"}
        return text_of(self._ask_for_xml(Call.BEGIN, "POST", name, query={"uploads": ""}, headers=headers), "UploadId")

    def put_part(self, name: str, upload: str, number: int, content: bytes) -> str:
        """Write a part, numbered from 1; return its tag for ``end_upload``.

        Raises:
            UploadLostError: If the server does not know the upload any more.
        """
        return self._put(Call.PART, name, content, query={"uploadId": upload, "partNumber": str(number)})

    def copy_part(
        self, source: str, name: str, upload: str, number: int, *, etag: str, offset: int, num_bytes: int
    ) -> str:
        """Let the server copy a range of an object into a part; see ``put_part`` and ``copy``."""
        query = {"uploadId": upload, "partNumber": str(number)}
        headers = self._source(source, etag) | {"x-amz-copy-source-range": f"bytes={offset}-{offset + num_bytes - 1}"}
        return text_of(self._ask_for_xml(Call.COPY_PART, "PUT", name, query=query, headers=headers), "ETag").strip('"')

    def end_upload(self, name: str, upload: str, tags: Sequence[str]) -> None:
        """Make the object of the parts whose tags are given in their order.

        Raises:
            UploadLostError: If the server does not know the upload, as when an earlier try of this did it unheard.
        """
        headers = {"Content-Type": "application/xml"}
        body = answers.source_of_parts(tags)
        self._ask_for_xml(Call.END, "POST", name, query={"uploadId": upload}, headers=headers, body=body)

    def abort_upload(self, name: str, upload: str) -> None:
        """Forget an upload and its parts; see ``end_upload``."""
        self._patiently(Call.ABORT, lambda: self._send(Call.ABORT, "DELETE", name, query={"uploadId": upload}))

    def uploads(self, name: str) -> list[str]:
        """Return the ids of the uploads of one object that were begun and neither ended nor aborted."""
        # With a shorter prefix MinIO would list none.
        root = self._ask_for_xml(Call.UPLOADS, "GET", None, query={"uploads": "", "prefix": name})
        return [text_of(upload, "UploadId") for upload in root.findall("{*}Upload") if text_of(upload, "Key") == name]

    def _delete(self, names: Sequence[str]) -> None:
        body = answers.source_of_names(names)
        # S3 insists on the MD5 here.
        headers = {"Content-Type": "application/xml", "Content-MD5": md5sum_hash(body) or ""}

        def request() -> None:
            root = self._send_for_xml(Call.DELETE, "POST", None, query={"delete": ""}, headers=headers, body=body)
            answers.check_deleted(root, names)

        self._patiently(Call.DELETE, request)

    def _pages(self, prefix: str) -> Iterator[Mapping[str, str]]:
        query = {"list-type": "2", "prefix": prefix, "encoding-type": "url"}
        while True:

            def request(query: Mapping[str, str] = query) -> answers.Listing:
                return answers.parse_listing(self._send_for_xml(Call.LIST, "GET", None, query=query), prefix=prefix)

            page = self._patiently(Call.LIST, request)
            yield page.versions
            if page.next_page is None:
                return
            query = {**query, "continuation-token": page.next_page}

    def _put(
        self,
        call: Call,
        name: str,
        content: bytes,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Write a content and return its tag; it is sent again if the tag says that something else arrived.

        A server is not held to that as long as it gives tags of another kind: then they tell nothing.
        """
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        headers = dict(headers or {})

        def request() -> str:
            for _ in range(NUM_TRIES_OF_DAMAGED):
                response = self._send(call, "PUT", name, query=query, headers=headers, body=content)
                if not answers.tells_damage(response.headers, md5):
                    break
                # A damaged object was written, or a whole one whose tag was damaged: it is ours to write again.
                headers.pop("If-None-Match", None)
                if self._tags_are_md5s.is_set():
                    raise PassingError("it was sent one content and keeps another")
            etag = response.headers["etag"].strip('"')
            if etag == md5:
                self._tags_are_md5s.set()
            return etag

        return self._patiently(call, request)

    def _source(self, name: str, etag: str) -> dict[str, str]:
        return {"x-amz-copy-source": quote(f"/{self._name}/{name}"), "x-amz-copy-source-if-match": f'"{etag}"'}

    def _ask_for_xml(
        self,
        call: Call,
        method: str,
        name: str | None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> ElementTree.Element:
        return self._patiently(
            call, lambda: self._send_for_xml(call, method, name, query=query, headers=headers, body=body)
        )

    def _send_for_xml(
        self,
        call: Call,
        method: str,
        name: str | None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> ElementTree.Element:
        response = self._send(call, method, name, query=query, headers=headers, body=body)
        return answers.parse_xml(call, response.data)

    def _patiently(self, call: Call, request: Callable[[], _Result]) -> _Result:
        def judged() -> _Result:
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

        return self._patience.run(judged)

    def _send(
        self,
        call: Call,
        method: str,
        name: str | None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        preload_content: bool = True,
    ) -> BaseHTTPResponse:
        """Sign and send a request once, and return the answer if it has the shape of a right one."""
        client = self._client
        keys = client._provider.retrieve() if client._provider else None
        if keys is None:
            raise ValueError("A request to a store must be signed.")
        url = client._base_url.build(
            method=method,
            region=self._settings.region,
            bucket_name=self._name,
            object_name=name,
            query_params=dict(query or {}),
        )
        # The client adds its own to the mapping that it is given, and a repeated request needs new ones.
        signed, date = client._build_headers(url.netloc, dict(headers or {}), body, keys)
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
        except (AnswerError, PassingError):
            response.release_conn()
            raise
        return response
