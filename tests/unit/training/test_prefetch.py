import threading
import time

import pytest

from peerkd.training.prefetch import prefetch


def names_of_threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("prefetch")]


def test_results_come_in_the_order_of_the_items_whatever_takes_longest():
    def slow_at_first(item):
        time.sleep(0.02 if item % 4 == 0 else 0)
        return item * item

    assert list(prefetch(slow_at_first, range(12), num_ahead=3, num_threads=4)) == [item * item for item in range(12)]
    assert list(prefetch(slow_at_first, [], num_ahead=3)) == []
    assert not names_of_threads()


def test_no_more_than_so_many_results_are_made_ahead():
    begun = []
    results = prefetch(lambda item: begun.append(item) or item, range(100), num_ahead=2)
    assert not begun
    for expected in range(10):
        assert next(results) == expected
        assert len(begun) <= expected + 3
    results.close()


def test_work_is_done_while_the_caller_does_his():
    begun = threading.Event()
    results = prefetch(lambda item: begun.set() if item == 1 else None, range(2), num_ahead=1)
    next(results)
    assert begun.wait(timeout=10)
    results.close()


def test_an_exception_reaches_the_caller_as_it_is_and_in_its_place():
    def fail_at_two(item):
        if item == 2:
            raise KeyError(item)
        return item

    results = prefetch(fail_at_two, range(100), num_ahead=4)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(KeyError, match="2"):
        next(results)
    assert list(results) == []
    assert not names_of_threads()


@pytest.mark.parametrize("abandon", ["close", "drop"])
def test_an_iterator_that_is_abandoned_leaves_no_work_behind(abandon):
    begun = []
    results = prefetch(begun.append, range(100), num_ahead=5)
    next(results)
    if abandon == "close":
        results.close()
    del results
    assert not names_of_threads()
    assert len(begun) <= 6
