import pytest

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from peerkd.launch.patience import Patience

AWAY = ClusterUnavailableError("Nobody answers.")


class Clock:
    def __init__(self) -> None:
        self.now_seconds = 0.0

    def rest(self, seconds: float) -> None:
        self.now_seconds += seconds


def patience(clock: Clock, *, has_answered: bool = True) -> Patience:
    return Patience(600, has_answered=has_answered, clock=lambda: clock.now_seconds, rest=clock.rest)


def endure(patience: Patience, error: ClusterUnavailableError | ClusterRefusedError = AWAY) -> None:
    while True:
        patience.failed(error)


def test_failures_are_final_after_the_limit() -> None:
    clock = Clock()
    with pytest.raises(ClusterUnavailableError, match=r"^Nobody answers; this has gone on for 60\d s\.$"):
        endure(patience(clock))
    assert 600 <= clock.now_seconds < 610


def test_a_service_that_has_never_answered_is_given_up_sooner() -> None:
    clock = Clock()
    with pytest.raises(ClusterUnavailableError):
        endure(patience(clock, has_answered=False))
    assert 60 <= clock.now_seconds < 70


@pytest.mark.parametrize("status", [400, 404, 409, 422])
def test_a_refusal_is_final(status: int) -> None:
    with pytest.raises(ClusterRefusedError):
        patience(Clock()).failed(ClusterRefusedError("No.", status=status))


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_of_a_known_client_is_forgiven_for_a_while(status: int) -> None:
    clock, error = Clock(), ClusterRefusedError("Who are you?", status=status)
    with pytest.raises(ClusterRefusedError):
        endure(patience(clock), error)
    assert 45 <= clock.now_seconds < 55
    with pytest.raises(ClusterRefusedError):
        patience(clock, has_answered=False).failed(error)
