"""A cache for the results of a method, without a reference cycle.

``self.read = cache(self._read)`` is a cycle: the object refers to the cache, the cache to the bound method, and the
method to the object. An object in a cycle is freed only when the garbage collector runs. If the object holds memory of
a GPU, the collector may free this memory while other code captures or replays graphs.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import ParamSpec, TypeVar, cast
from weakref import WeakMethod

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def kept_results(
    method: Callable[_Parameters, _Result], *, maxsize: int | None = None
) -> Callable[_Parameters, _Result]:
    """Return a function that calls a bound method and caches its results.

    The function is meant to be stored in an attribute of the method's object.

    The function must not be called after the object has been freed.

    Args:
        method: A bound method. Its arguments must be hashable, and they are passed by position.
        maxsize: The maximum number of results that are kept. The least recently used ones are dropped first. None means
            no limit.
    """
    reference: WeakMethod[Callable[_Parameters, _Result]] = WeakMethod(method)

    def call(*arguments: _Parameters.args, **named: _Parameters.kwargs) -> _Result:
        alive = reference()
        assert alive is not None
        return alive(*arguments, **named)

    # The type of ``lru_cache`` loses the parameters.
    return cast("Callable[_Parameters, _Result]", lru_cache(maxsize=maxsize)(call))
