"""The region of an S3 service, from its host name.

A service refuses requests that are signed for another region.
"""

import re
from typing import Final

DEFAULT_REGION: Final = "us-east-1"
"""The default region of servers other than Amazon's."""

_AMAZON: Final = re.compile(r"(?:.*\.)?s3[a-z0-9-]*\.(?:.*\.)?(?:amazonaws\.com(?:\.cn)?|amazonaws\.eu|api\.aws)")
"""Hosts of Amazon S3: regional, global, dual-stack and FIPS hosts, access points and VPC endpoints. A user's own server
on an Amazon machine or behind an Amazon load balancer does not match."""
_AMAZON_REGION: Final = re.compile(r"(?:s3-(?:fips-)?)?([a-z]{2,4}(?:-[a-z]+)+-\d+)")
"""A label of the host that contains the region, as in s3.eu-west-2.amazonaws.com or s3-eu-west-2.amazonaws.com."""
_AMAZON_GLOBAL: Final = ("s3.amazonaws.com", "s3-external-1.amazonaws.com")

_OTHERS: Final = tuple(
    re.compile(rf"(?:.*\.)?{pattern}")
    for pattern in (
        r"s3\.([a-z0-9-]+)\.backblazeb2\.com",
        r"s3\.([a-z0-9-]+)\.wasabisys\.com",
        r"s3\.([a-z0-9-]+)\.scw\.cloud",
        r"s3\.([a-z0-9-]+)\.(?:io|perf)\.cloud\.ovh\.(?:net|us)",
        r"s3\.([a-z0-9-]+)\.cloud-object-storage\.appdomain\.cloud",
        r"compat\.objectstorage\.([a-z0-9-]+)\.oraclecloud\.com",
        r"cos\.([a-z0-9-]+)\.myqcloud\.com",
        r"sos-([a-z0-9-]+)\.exo\.io",
        r"([a-z0-9-]+)\.your-objectstorage\.com",
    )
)
"""Hosts of other services, with the region in a group."""


def choose_region(host: str, *, peerkd_region: str | None, aws_region: str | None) -> str:
    """Return the region to sign requests for.

    Args:
        host: The host of the endpoint.
        peerkd_region: The region that the user set for this program, if any.
        aws_region: The region that the user set for all programs, if any; it is used if the host contains no region.

    Raises:
        ValueError: If a host of Amazon S3 contains another region than ``peerkd_region``, or contains none and no
            region is set.
    """
    host = host.lower().rstrip(".")
    named = _region_of(host)
    is_amazon = _AMAZON.fullmatch(host) is not None
    if is_amazon and named and peerkd_region not in (None, named):
        raise ValueError(
            f"PEERKD_S3_REGION must be {named}, the region that PEERKD_S3_ENDPOINT names ({host}), got {peerkd_region}."
        )
    region = peerkd_region or named or aws_region
    if is_amazon and not region and host not in _AMAZON_GLOBAL:
        raise ValueError(f"PEERKD_S3_REGION must be set, since PEERKD_S3_ENDPOINT names no region: {host}.")
    return region or DEFAULT_REGION


def _region_of(host: str) -> str | None:
    if host in _AMAZON_GLOBAL:
        # The global hosts serve buckets of all regions.
        return None
    if _AMAZON.fullmatch(host):
        labels = (_AMAZON_REGION.fullmatch(label) for label in reversed(host.split(".")))
        return next((found[1] for found in labels if found), None)
    if re.fullmatch(r"(?:.*\.)?r2\.cloudflarestorage\.com", host):
        return "auto"
    return next((found[1] for pattern in _OTHERS if (found := pattern.fullmatch(host))), None)
