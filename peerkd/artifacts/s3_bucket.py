"""A bucket as objects with names: one request a function, each repeated while the store does not answer.

The client's public functions neither make an upload in parts that can be repeated part by part, nor write on a
condition, so all requests go through the one function below them that signs and sends.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, TypeVar
from urllib.parse import quote
from xml.etree import ElementTree

from minio import Minio
from minio.deleteobjects import DeleteObject
from urllib3 import BaseHTTPResponse

from peerkd.artifacts.s3_connection import Settings, connect
from peerkd.artifacts.s3_errors import FOREIGN_ERRORS, MissingError, PassingError, translate
from peerkd.artifacts.s3_patience import Patience

_SHA256_HEADER: Final = "x-amz-meta-sha256"
_READ_BYTES: Final = 1024**2

_Result = TypeVar("_Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """What the store says of an object without sending it."""

    num_bytes: int
    sha256: str | None
    """What whoever wrote it said that it is; None if it was none of ours."""
    etag: str


class Bucket:
    """The objects of one bucket. Several threads may use it.

    All functions raise ``StoreUnavailableError`` when there is no answer for longer than there is patience, and a
    ``ValueError`` when the credentials, the bucket or the address are wrong.
    """

    def __init__(self, settings: Settings, name: str, *, patience: Patience) -> None:
        self._settings, self._name, self._patience = settings, name, patience
        self._client: Minio = connect(settings)

    @property
    def address(self) -> str:
        """Return where it is, for people and to tell one bucket from another."""
        return f"{self._settings.endpoint}/{self._name}"

    @property
    def name(self) -> str:
        """The name of the bucket."""
        return self._name

    def impatient(self) -> "Bucket":
        """Return the same bucket for what is not worth waiting for: each request is tried once."""
        bucket = copy(self)
        bucket._patience = Patience(self._settings.endpoint, tell=lambda text: None, seconds=0)
        return bucket

    def get(self, name: str) -> bytes | None:
        """Return the content of a small object, or None if there is none."""
        try:
            return self._ask("GET", name).data
        except MissingError:
            return None

    def head(self, name: str) -> Stored | None:
        """Return what is known of an object, or None if there is none."""
        try:
            headers = self._ask("HEAD", name).headers
        except MissingError:
            return None
        return Stored(
            num_bytes=int(headers["content-length"]),
            sha256=headers.get(_SHA256_HEADER),
            etag=headers["etag"].strip('"'),
        )

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
            response = self._send("GET", name, headers=headers, preload_content=False)
            try:
                if response.status != HTTPStatus.PARTIAL_CONTENT:
                    raise PassingError("it sent all where a range was asked for")
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

        return self._patiently(request)

    def names(self, prefix: str) -> Mapping[str, str]:
        """Return the names that begin with a prefix, each with a version that changes with the content."""

        def request() -> dict[str, str]:
            return {
                str(found.object_name): f"{found.etag}-{found.last_modified}"
                for found in self._client.list_objects(self._name, prefix, recursive=True)
                # Consoles make empty objects that look like folders.
                if not found.is_dir
            }

        return self._patiently(request)

    def put(self, name: str, content: bytes, *, only_new: bool = False) -> str:
        """Write an object in one request; return its SHA-256, which is in its metadata.

        Raises:
            ConditionError: If it is to be new and there is one already, perhaps by an earlier try of this very request.
            NoConditionsError: If it is to be new and the server cannot promise that.
        """
        sha256 = hashlib.sha256(content).hexdigest()
        headers = {_SHA256_HEADER: sha256, "Content-Type": "application/octet-stream"}
        if only_new:
            headers["If-None-Match"] = "*"
        self._ask("PUT", name, body=content, headers=headers)
        return sha256

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects; one that is not there is deleted."""
        names = list(names)

        def request() -> None:
            for error in self._client.remove_objects(self._name, [DeleteObject(name) for name in names]):
                raise PassingError(f"{error.code}: {error.message}")

        self._patiently(request)

    def copy(self, source: str, target: str, *, etag: str) -> None:
        """Let the server copy an object with its metadata; not more than 5 GiB.

        Raises:
            MissingError: If there is no such source.
            ConditionError: If it has another content than when its ``etag`` was asked for.
        """
        self._ask_for_xml("PUT", target, headers=self._source(source, etag))

    def begin_upload(self, name: str, *, sha256: str) -> str:
        """Begin an upload in parts and return its id."""
        headers = {_SHA256_HEADER: sha256, "Content-Type": "application/octet-stream"}
        return _text(self._ask_for_xml("POST", name, query={"uploads": ""}, headers=headers), "UploadId")

    def put_part(self, name: str, upload: str, number: int, content: bytes) -> str:
        """Write a part, numbered from 1; return its tag for ``end_upload``.

        Raises:
            UploadLostError: If the server does not know the upload any more.
        """
        query = {"uploadId": upload, "partNumber": str(number)}
        return self._ask("PUT", name, body=content, query=query).headers["etag"].strip('"')

    def copy_part(
        self, source: str, name: str, upload: str, number: int, *, etag: str, offset: int, num_bytes: int
    ) -> str:
        """Let the server copy a range of an object into a part; see ``put_part`` and ``copy``."""
        query = {"uploadId": upload, "partNumber": str(number)}
        headers = self._source(source, etag) | {"x-amz-copy-source-range": f"bytes={offset}-{offset + num_bytes - 1}"}
        return _text(self._ask_for_xml("PUT", name, query=query, headers=headers), "ETag").strip('"')

    def end_upload(self, name: str, upload: str, tags: Sequence[str]) -> None:
        """Make the object of the parts whose tags are given in their order.

        Raises:
            UploadLostError: If the server does not know the upload, as when an earlier try of this did it unheard.
        """
        root = ElementTree.Element("CompleteMultipartUpload")
        for number, tag in enumerate(tags, start=1):
            part = ElementTree.SubElement(root, "Part")
            ElementTree.SubElement(part, "PartNumber").text = str(number)
            ElementTree.SubElement(part, "ETag").text = f'"{tag}"'
        headers = {"Content-Type": "application/xml"}
        self._ask_for_xml("POST", name, query={"uploadId": upload}, headers=headers, body=ElementTree.tostring(root))

    def abort_upload(self, name: str, upload: str) -> None:
        """Forget an upload and its parts; see ``end_upload``."""
        self._ask("DELETE", name, query={"uploadId": upload})

    def uploads(self, name: str) -> list[str]:
        """Return the ids of the uploads of one object that were begun and neither ended nor aborted."""
        # With a shorter prefix MinIO would list none.
        root = self._ask_for_xml("GET", None, query={"uploads": "", "prefix": name})
        return [_text(upload, "UploadId") for upload in root.findall("{*}Upload") if _text(upload, "Key") == name]

    def _source(self, name: str, etag: str) -> dict[str, str]:
        return {"x-amz-copy-source": quote(f"/{self._name}/{name}"), "x-amz-copy-source-if-match": f'"{etag}"'}

    def _ask_for_xml(
        self,
        method: str,
        name: str | None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> ElementTree.Element:
        def request() -> ElementTree.Element:
            response = self._send(method, name, query=query, headers=headers, body=body)
            root = ElementTree.fromstring(response.data)
            # What takes long is begun with status 200 before it is known how it ends.
            if root.tag.rpartition("}")[2] == "Error":
                raise PassingError(f"{_text(root, 'Code')}: {_text(root, 'Message')}")
            return root

        return self._patiently(request)

    def _ask(
        self,
        method: str,
        name: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> BaseHTTPResponse:
        return self._patiently(lambda: self._send(method, name, query=query, headers=headers, body=body))

    def _patiently(self, request: Callable[[], _Result]) -> _Result:
        def translated() -> _Result:
            try:
                return request()
            except FOREIGN_ERRORS as error:
                raise translate(error, endpoint=self._settings.endpoint, bucket=self._name) from error

        return self._patience.run(translated)

    def _send(
        self,
        method: str,
        name: str | None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        preload_content: bool = True,
    ) -> BaseHTTPResponse:
        return self._client._execute(
            method,
            self._name,
            name,
            body=body,
            # The client adds its own to the mapping that it is given, and a repeated request needs new ones.
            headers=dict(headers or {}),
            query_params=dict(query or {}),
            preload_content=preload_content,
        )


def _text(element: ElementTree.Element, tag: str) -> str:
    found = element.find(f"{{*}}{tag}")
    if found is None:
        raise PassingError(f"an answer without {tag}")
    return found.text or ""
