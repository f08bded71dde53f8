"""The region that an S3 service is in, as its host name tells it.

A request is signed for a region, and the service refuses one that is signed for another.
"""

import re
from typing import Final

DEFAULT_REGION: Final = "us-east-1"
"""What servers other than Amazon's take for theirs unless they are told otherwise."""

_AMAZON: Final = re.compile(r"(?:.*\.)?s3[a-z0-9-]*\.(?:.*\.)?(?:amazonaws\.com(?:\.cn)?|amazonaws\.eu|api\.aws)")
"""Hosts of Amazon S3: of a region, global, dual-stack, FIPS, of access points and of endpoints in a VPC. A server of
somebody's own on a machine or behind a load balancer of Amazon's is none of them."""
_AMAZON_REGION: Final = re.compile(r"(?:s3-(?:fips-)?)?([a-z]{2,4}(?:-[a-z]+)+-\d+)")
"""A label of the host, which has "s3-" before it in the older form: s3-eu-west-2.amazonaws.com."""
_AMAZON_GLOBAL: Final = ("s3.amazonaws.com", "s3-external-1.amazonaws.com")

_OTHERS: Final = tuple(
    (re.compile(pattern), region)
    for pattern, region in (
        (r"(?:.*\.)?s3\.([a-z0-9-]+)\.backblazeb2\.com", None),
        (r"(?:.*\.)?s3\.([a-z0-9-]+)\.wasabisys\.com", None),
        (r"(?:.*\.)?s3\.([a-z0-9-]+)\.scw\.cloud", None),
        (r"(?:.*\.)?s3\.([a-z0-9-]+)\.(?:io|perf)\.cloud\.ovh\.(?:net|us)", None),
        (r"(?:.*\.)?s3\.([a-z0-9-]+)\.cloud-object-storage\.appdomain\.cloud", None),
        (r"(?:.*\.)?compat\.objectstorage\.([a-z0-9-]+)\.oraclecloud\.com", None),
        (r"(?:.*\.)?cos\.([a-z0-9-]+)\.myqcloud\.com", None),
        (r"(?:.*\.)?sos-([a-z0-9-]+)\.exo\.io", None),
        (r"(?:.*\.)?([a-z0-9-]+)\.your-objectstorage\.com", None),
        (r"(?:.*\.)?r2\.cloudflarestorage\.com", "auto"),
    )
)
"""Services whose hosts name the region to sign for, in a group, or that have a single one."""


def choose_region(host: str, *, chosen: str | None, usual: str | None) -> str:
    """Return the region to sign requests to a host for.

    Args:
        host: The host of the endpoint.
        chosen: What the user chose for this program, if anything.
        usual: What the user's environment says to all programs: it counts where the host says nothing.

    Raises:
        ValueError: If a host of Amazon's names another region than the chosen one, or names none and none is chosen.
    """
    host = host.lower().rstrip(".")
    named = _region_of(host)
    is_amazons = _AMAZON.fullmatch(host) is not None
    if is_amazons and named and chosen not in (None, named):
        raise ValueError(
            f"PEERKD_S3_REGION must be {named}, the region that PEERKD_S3_ENDPOINT names ({host}), got {chosen}."
        )
    region = chosen or named or usual
    if is_amazons and not region and host not in _AMAZON_GLOBAL:
        raise ValueError(f"PEERKD_S3_REGION must be set, since PEERKD_S3_ENDPOINT names no region: {host}.")
    return region or DEFAULT_REGION


def _region_of(host: str) -> str | None:
    if host in _AMAZON_GLOBAL:
        # A bucket elsewhere answers which region it is in.
        return None
    if _AMAZON.fullmatch(host):
        labels = (_AMAZON_REGION.fullmatch(label) for label in reversed(host.split(".")))
        return next((found[1] for found in labels if found), None)
    for pattern, region in _OTHERS:
        found = pattern.fullmatch(host)
        if found:
            return region or found[1]
    return None
