"""The requests with which workers share a sweep through a store in S3, and their price.

The numbers follow from ``shard_claims``, ``shard_queue`` and ``journals``, and a test counts the requests of real
workers. Requests that are repeated after failures are not included.
"""

from typing import Final, NamedTuple

from peerkd.stages.shard_claims import HEARTBEAT_SECONDS
from peerkd.stages.shards import SAVE_SECONDS

USD_PER_1000_WRITES: Final = 0.005
USD_PER_1000_READS: Final = 0.0004
"""The prices of requests to Amazon S3 Standard in us-east-1, which aws.amazon.com/s3/pricing lists (November 2026).

A PUT, a POST and a LIST are priced as writes, and a GET and a HEAD as reads. A DELETE is free."""


class StoreRequests(NamedTuple):
    """A number of requests."""

    num_writes: float
    """The number of requests of the kinds PUT, POST and LIST."""

    num_reads: float
    """The number of requests of the kinds GET and HEAD."""

    @property
    def price_usd(self) -> float:
        """The price in US dollars, by ``USD_PER_1000_WRITES`` and ``USD_PER_1000_READS``."""
        return (self.num_writes * USD_PER_1000_WRITES + self.num_reads * USD_PER_1000_READS) / 1000


def requests_of_shards(num_shards: int, *, in_sections: bool) -> StoreRequests:
    """Return the number of requests for the shards of a sweep.

    About ten further requests of each worker are not included. It is assumed that the connection has TLS, so that each
    list is requested once. Without TLS, each list is requested twice, because it may arrive damaged.

    Args:
        num_shards: The number of shards.
        in_sections: Whether the shards are divided into sections.
    """
    # A claim: the claim itself, and the lists of the section before and after it. The files outside of sections, which
    # have three prefixes, are listed with the first of them.
    num_claim_writes = 1 + (2 + 3 if in_sections else 2)
    # The journal is saved when the shard is finished, before its mark.
    num_finished_writes = 2
    # Before a claim, a worker looks whether the artifact has been published. At the end, the first worker reads each
    # journal twice: to count its records, and to write the table. Each time, it asks for the size and then the content.
    num_reads = 1 + 2 * 2
    return StoreRequests(num_shards * (num_claim_writes + num_finished_writes), num_shards * num_reads)


def requests_of_worker_hour() -> StoreRequests:
    """Return the largest number of requests of one worker in an hour, besides the requests for its shards.

    The worker sends heartbeats, and saves its journal whenever it has new records.
    """
    return StoreRequests(3600 / HEARTBEAT_SECONDS + 3600 / SAVE_SECONDS, 0)
