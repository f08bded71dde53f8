from peerkd.launch.kubernetes.unchanged import UnchangedTimes


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_time_is_summed_from_look_to_look_while_the_value_is_unchanged() -> None:
    clock = Clock()
    unchanged = UnchangedTimes(clock=clock)
    unchanged.observe({"a": 1, "b": 1})
    clock.now += 5
    unchanged.observe({"a": 1, "b": 2})
    clock.now += 7
    assert (unchanged.seconds("a"), unchanged.seconds("b"), unchanged.seconds("c")) == (5, 0, 0)
    unchanged.observe({"a": 1, "b": 2})
    assert (unchanged.seconds("a"), unchanged.seconds("b")) == (12, 7)


def test_a_value_that_disappears_begins_at_zero_again() -> None:
    clock = Clock()
    unchanged = UnchangedTimes(clock=clock)
    unchanged.observe({"a": None})
    clock.now += 5
    unchanged.observe({})
    assert len(unchanged) == 0
    clock.now += 5
    unchanged.observe({"a": None})
    assert unchanged.seconds("a") == 0


def test_a_long_step_counts_as_a_short_one_and_a_forgotten_value_as_nothing() -> None:
    clock = Clock()
    unchanged = UnchangedTimes(clock=clock, max_step_seconds=9)
    unchanged.observe({"a": 1})
    clock.now += 3600
    unchanged.observe({"a": 1})
    assert unchanged.seconds("a") == 9
    unchanged.reset()
    clock.now += 5
    unchanged.observe({"a": 1})
    assert unchanged.seconds("a") == 0
