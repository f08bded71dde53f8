import itertools
from collections.abc import Callable

import pytest

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from peerkd.launch.patience import Patience

AWAY = ClusterUnavailableError("Nobody answers.")


@pytest.fixture(autouse=True)
def _rests_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peerkd.launch.patience._FIRST_DELAY_SECONDS", 0.5)


class Clock:
    def __init__(self) -> None:
        self.now_seconds, self.rests = 0.0, []

    def rest(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.now_seconds += seconds


def patience(clock: Clock, *, limit: float = 600, has_answered: bool = True, draw: float = 1.0) -> Patience:
    return Patience(
        limit, has_answered=has_answered, clock=lambda: clock.now_seconds, rest=clock.rest, draw=lambda: draw
    )


def endure(patience: Patience, error: ClusterUnavailableError | ClusterRefusedError = AWAY) -> None:
    while True:
        patience.failed(error)


def test_waits_grow_to_a_limit() -> None:
    clock = Clock()
    tried = patience(clock)
    for _ in range(7):
        tried.failed(AWAY)
    assert clock.rests == [0.5, 1, 2, 4, 8, 8, 8]


def test_waits_of_two_launchers_differ() -> None:
    clock = Clock()
    patience(clock, draw=0.0).failed(AWAY)
    patience(clock, draw=0.5).failed(AWAY)
    assert clock.rests == [0.25, 0.375]


def test_an_answer_resets_the_waits() -> None:
    clock = Clock()
    tried = patience(clock)
    tried.failed(AWAY)
    tried.failed(AWAY)
    assert tried.is_tried
    tried.succeeded()
    assert not tried.is_tried
    tried.failed(AWAY)
    assert clock.rests == [0.5, 1, 0.5]


def test_half_an_answer_is_no_reason_to_give_up_nor_to_hurry() -> None:
    clock = Clock()
    tried = patience(clock, limit=20)
    for _ in range(50):
        tried.answered()
        tried.failed(AWAY)
    assert clock.rests[-1] == 8


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


def test_a_request_is_repeated_until_it_is_answered() -> None:
    clock, numbers = Clock(), itertools.count(1)

    def ask() -> int:
        number = next(numbers)
        if number < 3:
            raise AWAY
        return number

    asked: Callable[[], int] = ask
    assert patience(clock).insist(asked) == 3
    assert clock.rests == [0.5, 1]
