"""A wall clock that jumps by up to a day at each reading, for every Python process with this folder on its path."""

import random
import time

_random = random.Random()
_time, _time_ns = time.time, time.time_ns
_DAY_SECONDS = 86_400


def _wild_time() -> float:
    return _time() + _random.uniform(-_DAY_SECONDS, _DAY_SECONDS)


def _wild_time_ns() -> int:
    return _time_ns() + int(_random.uniform(-_DAY_SECONDS, _DAY_SECONDS) * 1e9)


time.time, time.time_ns = _wild_time, _wild_time_ns
