import itertools

import pytest

from peerkd.artifacts.s3_errors import TransientError
from peerkd.artifacts.s3_retries import StoreRetries
from peerkd.errors import StoreUnavailableError


class Outage:
    """A store that does not answer some requests, with the simulated time of its clients."""

    def __init__(self, num_failures: int) -> None:
        self.num_left = num_failures
        self.now_seconds = 1000.0
        self.pauses_seconds: list[float] = []
        self.said: list[str] = []

    def request(self) -> str:
        if self.num_left:
            self.num_left -= 1
            raise TransientError("nobody listens")
        return "answer"

    def sleep(self, seconds: float) -> None:
        self.pauses_seconds.append(seconds)
        self.now_seconds += seconds

    def retries(self, seconds: float) -> StoreRetries:
        return StoreRetries(
            "http://a", notify=self.said.append, seconds=seconds, clock=lambda: self.now_seconds, sleep=self.sleep
        )


def test_pauses_grow_to_about_ten_seconds_and_vary() -> None:
    outage = Outage(40)
    assert outage.retries(1000).call(outage.request) == "answer"
    for pause_seconds, middle_seconds in zip(
        outage.pauses_seconds, [0.2, 0.4, 0.8, 1.6, 3.2, 6.4] + 34 * [10], strict=True
    ):
        assert 0.5 * middle_seconds <= pause_seconds <= middle_seconds
    assert len(set(outage.pauses_seconds)) == 40


def test_an_outage_and_its_end_are_reported_once() -> None:
    outage = Outage(9)
    retries = outage.retries(300)
    retries.call(outage.request)
    told = [
        "the store http://a does not answer, trying again for up to 300 s (nobody listens)",
        "the store http://a answers again",
    ]
    assert outage.said == told
    retries.call(outage.request)
    assert outage.said == told
    outage.num_left = 2
    retries.call(outage.request)
    assert outage.said == told + told


def test_a_single_failure_is_not_reported() -> None:
    outage = Outage(1)
    assert outage.retries(300).call(outage.request) == "answer"
    assert outage.said == []


def test_each_request_that_fails_is_counted() -> None:
    outage, counted = Outage(3), list[int]()
    retries = StoreRetries("", notify=outage.said.append, count_failure=lambda: counted.append(1), sleep=outage.sleep)
    retries.call(outage.request)
    retries.call(outage.request)
    assert len(counted) == 3


def test_an_outage_ends_in_an_error_at_the_reported_time() -> None:
    outage = Outage(10_000)
    with pytest.raises(StoreUnavailableError) as caught:
        outage.retries(300).call(outage.request)
    assert str(caught.value) == "The store http://a has not answered for 300 s (nobody listens)."
    assert outage.now_seconds == pytest.approx(1300)


def test_each_request_has_the_whole_time_limit() -> None:
    outage = Outage(0)
    retries = outage.retries(300)
    for _ in range(3):
        outage.num_left = 30
        assert retries.call(outage.request) == "answer"
    assert outage.now_seconds > 1000 + 300


def test_with_a_time_limit_of_zero_a_request_is_sent_once() -> None:
    outage = Outage(1)
    with pytest.raises(StoreUnavailableError):
        outage.retries(0).call(outage.request)
    assert outage.pauses_seconds == []


def test_an_error_with_a_number_of_tries_is_repeated_that_often_without_a_message() -> None:
    outage, numbers = Outage(0), itertools.count(1)

    def refused() -> None:
        raise TransientError(f"no {next(numbers)}", num_tries=4, final_error=ValueError("never"))

    with pytest.raises(ValueError, match=r"^never$"):
        outage.retries(300).call(refused)
    assert next(numbers) == 5
    assert outage.said == []
    assert sum(outage.pauses_seconds) < 1


def test_a_final_error_is_raised_when_the_failure_lasts() -> None:
    outage = Outage(0)

    def expired() -> None:
        raise TransientError("expired", final_error=ValueError("renew the keys"))

    with pytest.raises(ValueError, match=r"^renew the keys$"):
        outage.retries(300).call(expired)
    assert outage.now_seconds == pytest.approx(1300)
    assert len(outage.said) == 1


def test_a_refusal_after_many_damaged_answers_is_repeated_only_a_few_times() -> None:
    outage, num_requests = Outage(0), itertools.count(1)

    def request() -> None:
        if next(num_requests) <= 5:
            raise TransientError("damaged", num_tries=10)
        raise TransientError("no", num_tries=4, final_error=ValueError("never"))

    with pytest.raises(ValueError, match=r"^never$"):
        outage.retries(300).call(request)
    assert next(num_requests) == 10


def test_failures_of_other_kinds_do_not_use_up_the_tries_of_a_refusal() -> None:
    outage = Outage(0)
    errors = [TransientError("away")] * 6 + [TransientError("no", num_tries=4)] * 3

    def request() -> str:
        if errors:
            raise errors.pop(0)
        return "answer"

    assert outage.retries(300).call(request) == "answer"


def test_other_errors_propagate_immediately() -> None:
    outage, numbers = Outage(0), itertools.count()

    def wrong() -> None:
        next(numbers)
        raise ValueError("wrong")

    with pytest.raises(ValueError, match=r"^wrong$"):
        outage.retries(300).call(wrong)
    assert next(numbers) == 1
