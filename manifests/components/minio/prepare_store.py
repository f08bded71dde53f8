"""Create the bucket "peerkd", and a user for workers and tasks who may read and write only that bucket.

This program runs in the control image with the server's root key. If it is run again, it changes the user's key to the
key in the Secret peerkd-store.
"""

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from minio import Minio
from minio.credentials import StaticProvider
from minio.error import MinioAdminException, S3Error
from minio.minioadmin import MinioAdmin
from urllib3.exceptions import HTTPError

BUCKET = "peerkd"
POLICY_NAME = "peerkd-bucket"
_PATIENCE_SECONDS = 120
_STATUS_BAD_REQUEST = "400"


def policy_of(bucket: str) -> dict[str, Any]:
    """Return the policy of a user who may list, read, write and delete in one bucket, and nothing else."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"],
                "Resource": [f"arn:aws:s3:::{bucket}"],
            },
            {
                "Effect": "Allow",
                "Action": [
                    "s3:GetObject",
                    "s3:PutObject",
                    "s3:DeleteObject",
                    "s3:AbortMultipartUpload",
                    "s3:ListMultipartUploadParts",
                ],
                "Resource": [f"arn:aws:s3:::{bucket}/*"],
            },
        ],
    }


def main(environment: Mapping[str, str] = os.environ) -> None:
    """Create the bucket and the user. Failed attempts are repeated for two minutes; then exit with the last error."""
    address = environment["PEERKD_S3_ENDPOINT"].removeprefix("http://")
    root = (environment["MINIO_ROOT_USER"], environment["MINIO_ROOT_PASSWORD"])
    user = (environment["PEERKD_S3_ACCESS_KEY"], environment["PEERKD_S3_SECRET_KEY"])
    if user[0] == root[0]:
        sys.exit(
            "The access-key of the Secret peerkd-store must differ from that of peerkd-minio-root: workers must not "
            "have the root key of the store."
        )
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while trouble := attempt(lambda: prepare(address, root=root, user=user)):
        if is_bad_request(trouble) or time.monotonic() > give_up:
            sys.exit(f"The bucket {BUCKET} and its user could not be created: {trouble}")
        time.sleep(2)


def prepare(address: str, *, root: tuple[str, str], user: tuple[str, str]) -> None:
    """Create the bucket unless it exists, a policy that allows its use, and a user who has only this policy.

    Args:
        address: The address of the server.
        root: The name and the key of the root user.
        user: The name and the key of the new user.
    """
    client = Minio(address, access_key=root[0], secret_key=root[1], secure=False)
    if not client.bucket_exists(BUCKET):
        client.make_bucket(BUCKET)
    admin = MinioAdmin(endpoint=address, credentials=StaticProvider(*root), secure=False)
    admin.policy_add(POLICY_NAME, policy=policy_of(BUCKET))
    admin.user_add(*user)
    admin.policy_set(POLICY_NAME, user=user[0])


def attempt(what: Callable[[], None]) -> Exception | None:
    """Call a function, and return the error of the server that it raises, or None if it succeeds."""
    try:
        what()
    except (S3Error, MinioAdminException, HTTPError) as error:
        return error
    return None


def is_bad_request(error: Exception) -> bool:
    """Return whether the server refused a value, for instance a key that is too short."""
    return isinstance(error, MinioAdminException) and f"Status: {_STATUS_BAD_REQUEST}," in str(error)


if __name__ == "__main__":
    main()
