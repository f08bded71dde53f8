import pytest

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from peerkd.launch.retries import ClusterRetries

AWAY = ClusterUnavailableError("Nobody answers.")


class Clock:
    def __init__(self) -> None:
        self.now_seconds = 0.0

    def sleep(self, seconds: float) -> None:
        self.now_seconds += seconds


def retries(clock: Clock, *, has_answered: bool = True) -> ClusterRetries:
    return ClusterRetries(600, has_answered=has_answered, clock=lambda: clock.now_seconds, sleep=clock.sleep)


def endure(retries: ClusterRetries, error: ClusterUnavailableError | ClusterRefusedError = AWAY) -> None:
    while True:
        retries.failed(error)


def test_failures_are_final_after_the_limit() -> None:
    clock = Clock()
    with pytest.raises(ClusterUnavailableError, match=r"^Nobody answers; this has lasted for 60\d s\.$"):
        endure(retries(clock))
    assert 600 <= clock.now_seconds < 610


def test_a_service_that_has_never_answered_is_given_up_sooner() -> None:
    clock = Clock()
    with pytest.raises(ClusterUnavailableError):
        endure(retries(clock, has_answered=False))
    assert 60 <= clock.now_seconds < 70


@pytest.mark.parametrize("status", [400, 404, 409, 422])
def test_a_refusal_is_final(status: int) -> None:
    with pytest.raises(ClusterRefusedError):
        retries(Clock()).failed(ClusterRefusedError("No.", status=status))


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_of_a_known_client_is_forgiven_for_a_while(status: int) -> None:
    clock, error = Clock(), ClusterRefusedError("Who are you?", status=status)
    with pytest.raises(ClusterRefusedError):
        endure(retries(clock), error)
    assert 45 <= clock.now_seconds < 55
    with pytest.raises(ClusterRefusedError):
        retries(clock, has_answered=False).failed(error)
