"""The forecast of requests, against the requests of real workers on a real server."""

import pytest

from benchmarks.shard_claims import counted_requests, share
from peerkd.stages.store_requests import StoreRequests, requests_of_shards, requests_of_worker_hour


def test_prices_are_those_of_a_thousand_requests():
    assert StoreRequests(3000, 5000).price_usd == pytest.approx(3 * 0.005 + 5 * 0.0004)
    assert requests_of_worker_hour() == (360 + 2400, 0)


@pytest.mark.parametrize("in_sections", [False, True])
def test_workers_send_about_as_many_requests_as_forecast(s3_server, monkeypatch, in_sections):
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    with counted_requests() as counts:
        num, *_ = share(
            f"s3://{s3_server.bucket}/requests-{in_sections}", num_shards=16, num_workers=2, in_sections=in_sections
        )
    assert num == 16
    forecast = requests_of_shards(16, in_sections=in_sections)
    # Without TLS, each list is requested twice. Workers that train nothing rarely list what is outside of sections, and
    # save a journal once.
    num_writes = counts["PUT"] + counts["POST"] + counts["LIST"] / 2
    assert 0.4 * forecast.num_writes < num_writes < 2 * forecast.num_writes
    assert 0.5 * forecast.num_reads < counts["GET"] + counts["HEAD"] < 2 * forecast.num_reads
