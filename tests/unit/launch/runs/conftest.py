from collections.abc import Iterator

import pytest

from peerkd.launch.runs.server import PipelineServer
from tests.kfp_server import PipelineApi, serving


class Time:
    """A clock that advances only while the code under test sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def api() -> Iterator[PipelineApi]:
    with serving() as api:
        yield api


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def server(api: PipelineApi, time: Time) -> PipelineServer:
    return PipelineServer(api.endpoint + "/", clock=time.clock, sleep=time.sleep)
