"""Group sizes with a clock that the test controls."""

from collections.abc import Callable

from peerkd.training.group_size import SIZES, GroupSizes

MANY = 100


class Machine:
    """A simulated machine with a time for a group of each size."""

    def __init__(self, seconds: Callable[[int], float]) -> None:
        self.now, self.trained, self._seconds = 0.0, list[int](), seconds

    def clock(self) -> float:
        return self.now

    def train(self, num_students: int) -> None:
        self.trained.append(num_students)
        self.now += self._seconds(num_students)


def test_the_size_with_the_least_time_per_student_is_chosen_and_reported_once() -> None:
    machine = Machine(lambda size: 0.001 + size * (0.001 if size <= 8 else 0.003))
    sizes = GroupSizes(clock=machine.clock)
    assert sizes.best("mlp", machine.train, num_students=MANY) == 8
    (news,) = sizes.take_choices()
    assert (news.kind, news.text) == ("mlp", "mlp: 8 students at once, measured 1.8 times as fast as one")
    num_trained = len(machine.trained)
    assert sizes.best("mlp", machine.train, num_students=MANY) == 8
    assert (len(machine.trained), sizes.take_choices()) == (num_trained, [])


def test_one_student_at_a_time_may_be_the_choice() -> None:
    machine = Machine(lambda size: 0.001 * size**1.5)
    assert GroupSizes(clock=machine.clock).best("mlp", machine.train, num_students=MANY) == 1


def test_each_kind_is_measured_separately() -> None:
    sizes = GroupSizes(clock=(machine := Machine(lambda size: 0.001)).clock)
    found = [sizes.best(kind, machine.train, num_students=MANY) for kind in ("mlp", "small_cnn")]
    assert found == [max(SIZES)] * 2
    assert [news.kind for news in sizes.take_choices()] == ["mlp", "small_cnn"]


def test_a_slow_machine_is_not_measured_for_long() -> None:
    machine = Machine(lambda size: 0.2 * size)
    GroupSizes(clock=machine.clock).best("mlp", machine.train, num_students=MANY)
    assert machine.trained == list(SIZES)


def test_a_single_slow_moment_does_not_decide() -> None:
    """The least time of several rounds counts, because the first round may warm up."""
    times = iter([1.0, *([0.01] * 100)])
    machine = Machine(lambda size: next(times) * size)
    assert GroupSizes(clock=machine.clock).best("mlp", machine.train, num_students=MANY) in SIZES
    machine = Machine(lambda size: 0.01)
    assert GroupSizes(clock=machine.clock).best("mlp", machine.train, num_students=MANY) == max(SIZES)


def test_few_students_train_together_without_a_measurement() -> None:
    machine = Machine(lambda size: 0.001 * size**1.5)
    sizes = GroupSizes(clock=machine.clock)
    assert sizes.best("mlp", machine.train, num_students=5) == 5
    assert (machine.trained, sizes.take_choices()) == ([], [])
    assert sizes.best("mlp", machine.train, num_students=MANY) == 1
    # The measured size also holds for few students.
    assert sizes.best("mlp", machine.train, num_students=5) == 1
