"""Make the bucket "peerkd" unless it is there. Runs in the control image, once the server answers."""

import os
import sys
import time

from minio import Minio
from minio.error import S3Error
from urllib3.exceptions import HTTPError

BUCKET = "peerkd"


def main() -> None:
    """Try for two minutes, then say why not."""
    client = Minio(
        os.environ["PEERKD_S3_ENDPOINT"].removeprefix("http://"),
        access_key=os.environ["PEERKD_S3_ACCESS_KEY"],
        secret_key=os.environ["PEERKD_S3_SECRET_KEY"],
        secure=False,
    )
    give_up = time.monotonic() + 120
    while trouble := make(client):
        if time.monotonic() > give_up:
            sys.exit(f"The bucket {BUCKET} could not be made: {trouble}")
        time.sleep(2)


def make(client: Minio) -> Exception | None:
    """Make the bucket unless it is there; return what is in the way, or None."""
    try:
        if not client.bucket_exists(BUCKET):
            client.make_bucket(BUCKET)
    except (S3Error, HTTPError) as error:
        return error
    return None


main()
