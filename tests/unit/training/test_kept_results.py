"""Results that an object keeps are computed once, and do not keep the object."""

import gc
import weakref

from peerkd.training.kept_results import kept_results


class Reader:
    def __init__(self, maxsize: int | None = None) -> None:
        self.read = kept_results(self._read, maxsize=maxsize)
        self.calls: list[int] = []

    def _read(self, number: int) -> int:
        self.calls.append(number)
        return 10 * number


def test_a_result_is_computed_once() -> None:
    reader = Reader()
    assert [reader.read(number) for number in (1, 2, 1)] == [10, 20, 10]
    assert reader.calls == [1, 2]


def test_the_result_used_least_recently_is_dropped() -> None:
    reader = Reader(maxsize=1)
    assert [reader.read(number) for number in (1, 2, 1)] == [10, 20, 10]
    assert reader.calls == [1, 2, 1]


def test_the_object_is_freed_without_the_garbage_collector() -> None:
    reader = Reader()
    reader.read(1)
    reference = weakref.ref(reader)
    gc.disable()
    try:
        del reader
        assert reference() is None
    finally:
        gc.enable()
