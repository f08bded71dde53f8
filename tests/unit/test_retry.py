import itertools

import pytest

from peerkd.retry import Limit, Retries


class AwayError(Exception):
    """A failure that may not recur."""


class RefusedError(Exception):
    """A failure with its own limit."""


class FinalError(Exception):
    """The error at the limit."""


class Clock:
    def __init__(self) -> None:
        self.now_seconds, self.waits_seconds = 1000.0, list[float]()

    def sleep(self, seconds: float) -> None:
        self.waits_seconds.append(seconds)
        self.now_seconds += seconds

    def retries(
        self, limit: Limit, *, draw: float = 1.0, refused: Limit | None = None, has_answered: bool = False
    ) -> Retries[AwayError | RefusedError]:
        return Retries(
            (AwayError, RefusedError),
            lambda error, has_answered: refused if refused and isinstance(error, RefusedError) else limit,
            has_answered=has_answered,
            first_wait_seconds=0.5,
            longest_wait_seconds=8,
            clock=lambda: self.now_seconds,
            sleep=self.sleep,
            draw=lambda: draw,
        )


def limit(seconds: float = 600, *, num_tries: int | None = None, has_own_clock: bool = False) -> Limit:
    return Limit(
        seconds=seconds,
        num_tries=num_tries,
        has_own_clock=has_own_clock,
        final_error=lambda seconds: FinalError(f"after {seconds:.0f} s"),
    )


def endure(retries: Retries[AwayError | RefusedError], error: AwayError | RefusedError) -> int:
    """Fail until the limit is reached. Return the number of failures."""
    for number in itertools.count(1):
        try:
            retries.failed(error)
        except FinalError:
            return number
    raise AssertionError


def test_waits_double_up_to_the_longest() -> None:
    clock = Clock()
    retries = clock.retries(limit())
    for _ in range(7):
        retries.failed(AwayError())
    assert clock.waits_seconds == [0.5, 1, 2, 4, 8, 8, 8]


def test_waits_of_two_clients_differ_by_up_to_a_half() -> None:
    clock = Clock()
    for draw in (0.0, 0.5, 1.0):
        clock.retries(limit(), draw=draw).failed(AwayError())
    assert clock.waits_seconds == [0.25, 0.375, 0.5]


def test_waits_are_drawn_at_random_by_default() -> None:
    waits = set[float]()
    for _ in range(20):
        Retries((AwayError,), lambda *_: limit(), first_wait_seconds=1, longest_wait_seconds=1, sleep=waits.add).failed(
            AwayError()
        )
    assert len(waits) == 20
    assert all(0.5 <= wait <= 1 for wait in waits)


def test_failures_are_final_exactly_at_the_limit() -> None:
    clock = Clock()
    with pytest.raises(FinalError, match=r"^after 20 s$") as caught:
        clock.retries(limit(20)).call(_fail)
    assert clock.now_seconds == 1020
    assert isinstance(caught.value.__cause__, AwayError)


def test_with_no_time_the_first_failure_is_final() -> None:
    clock = Clock()
    assert endure(clock.retries(limit(0)), AwayError()) == 1
    assert clock.waits_seconds == []


def test_a_number_of_tries_is_a_limit_too_and_the_wait_does_not_grow() -> None:
    clock = Clock()
    assert endure(clock.retries(limit(num_tries=4)), AwayError()) == 4
    assert clock.waits_seconds == [0.5, 0.5, 0.5]


def test_failures_without_that_number_do_not_use_up_the_tries() -> None:
    retries = Clock().retries(limit(), refused=limit(num_tries=3))
    for _ in range(5):
        retries.failed(AwayError())
    assert endure(retries, RefusedError()) == 3


def test_a_failure_with_its_own_time_is_waited_out_after_a_long_outage() -> None:
    clock = Clock()
    retries = clock.retries(limit(600), refused=limit(45, has_own_clock=True))
    while clock.now_seconds < 1500:
        retries.failed(AwayError())
    start_seconds = clock.now_seconds
    endure(retries, RefusedError())
    assert clock.now_seconds - start_seconds == pytest.approx(45)


def test_a_failure_of_another_kind_ends_that_time_but_not_the_total_time() -> None:
    clock = Clock()
    retries = clock.retries(limit(600), refused=limit(45, has_own_clock=True))
    errors = itertools.cycle([RefusedError(), RefusedError(), AwayError()])

    def request() -> None:
        raise next(errors)

    with pytest.raises(FinalError):
        retries.call(request)
    assert 600 <= clock.now_seconds - 1000 < 630


def test_a_success_resets_the_waits_and_the_limits() -> None:
    clock = Clock()
    retries = clock.retries(limit(10), refused=limit(num_tries=2))
    for _ in range(10):
        retries.failed(AwayError())
        retries.failed(RefusedError())
        assert retries.has_failed
        retries.succeeded()
        assert not retries.has_failed
    assert clock.waits_seconds == 10 * [0.5, 1]


def test_an_incomplete_answer_resets_the_limit_and_not_the_waits() -> None:
    clock = Clock()
    retries = clock.retries(limit(20))
    for _ in range(50):
        retries.failed(AwayError())
        retries.answered()
    assert clock.waits_seconds[-1] == 8


def test_the_limit_may_depend_on_whether_the_service_has_answered() -> None:
    asked: list[bool] = []

    def limit_of(error: AwayError, has_answered: bool) -> Limit:
        asked.append(has_answered)
        return limit()

    retries = Retries((AwayError,), limit_of, first_wait_seconds=1, longest_wait_seconds=1, sleep=lambda seconds: None)
    retries.failed(AwayError())
    retries.succeeded()
    retries.failed(AwayError())
    assert asked == [False, True]


def test_a_request_is_repeated_until_it_succeeds_and_each_failure_is_reported() -> None:
    reported: list[int] = []
    answers = iter([AwayError(), AwayError(), "answer"])

    def request() -> str:
        answer = next(answers)
        if isinstance(answer, str):
            return answer
        raise answer

    retries = Retries(
        (AwayError,),
        lambda *_: limit(),
        first_wait_seconds=1,
        longest_wait_seconds=1,
        on_failure=lambda error, number: reported.append(number),
        sleep=lambda seconds: None,
    )
    assert retries.call(request) == "answer"
    assert reported == [1, 2]


@pytest.mark.parametrize("error", [ValueError("wrong"), KeyboardInterrupt()])
def test_other_errors_and_interrupts_propagate_immediately(error: BaseException) -> None:
    clock = Clock()

    def request() -> None:
        raise error

    with pytest.raises(type(error)):
        clock.retries(limit()).call(request)
    assert clock.waits_seconds == []


def test_an_interrupt_ends_a_wait() -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    retries = Retries((AwayError,), lambda *_: limit(), first_wait_seconds=1, longest_wait_seconds=1, sleep=interrupt)
    with pytest.raises(KeyboardInterrupt):
        retries.call(_fail)


def _fail() -> None:
    raise AwayError
