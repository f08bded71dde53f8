"""Lanes on a CPU, where steps are called: no lane changes another's student, and memory is simulated."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peerkd.losses.pairs import PAIR_LOSSES
from peerkd.training.captured.lanes import MAX_LANES, EagerSteps, Lanes
from peerkd.training.finite import are_finite
from peerkd.training.trial_state import TrialState
from tests.distillations import Trials, TrialSpec, assert_same, copied

TRIALS = Trials()
WANTED = st.builds(
    TrialSpec,
    student=st.integers(0, 2),
    teacher=st.integers(3, 4),
    weight=st.sampled_from([0.0, 0.5, 1.0]),
    temperature=st.sampled_from([1.0, 4.0]),
    learning_rate=st.sampled_from([None, 0.005, 0.1]),
)


@settings(max_examples=5, suppress_health_check=list(HealthCheck), deadline=None)
@given(groups=st.lists(st.lists(WANTED, min_size=1, max_size=4), min_size=1, max_size=2))
def test_a_trial_depends_neither_on_other_lanes_nor_on_earlier_students(groups: list[list[TrialSpec]]) -> None:
    lanes = TRIALS.lanes()
    for group in groups:
        for wanted, got in zip(group, TRIALS.in_lanes(lanes, group), strict=True):
            (alone,) = TRIALS.in_lanes(TRIALS.lanes(), [wanted])
            assert_same(got, alone)


@pytest.mark.parametrize("architecture", ["small_cnn", "resnet20"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_trial_in_epoch_ranges_ends_where_the_whole_one_does(architecture: str, momentum: float) -> None:
    trials = Trials(architecture, momentum=momentum)
    wanted = [TrialSpec(1, 2, 0.5, 2.0), TrialSpec(2, 1, 1.0, 4.0, 0.07)]
    whole = trials.in_lanes(trials.lanes(), wanted)
    first = trials.in_lanes(trials.lanes(), wanted, epochs=range(1))
    # Another process may continue, in other lanes.
    rest = trials.in_lanes(trials.lanes(), wanted[::-1], starts=first[::-1], epochs=range(1, 3))
    for got, end in zip(rest[::-1], whole, strict=True):
        assert_same(got, end)


def test_fewer_students_than_lanes_leave_the_other_lanes_unchanged() -> None:
    lanes = TRIALS.lanes()
    TRIALS.in_lanes(lanes, [TrialSpec(1, 2, 0.5, 2.0)] * 3)
    weights, momenta, _ = lanes.states(3)[2]
    before = TrialState(copied(weights), copied(momenta))
    TRIALS.in_lanes(lanes, [TrialSpec(0, 2, 0.5, 2.0)] * 2)
    assert_same(lanes.states(3)[2], before)


def test_a_loss_that_sets_its_temperature_between_steps_is_refused() -> None:
    with pytest.raises(ValueError, match=r"recipe must have a loss with a given temperature, got ctkd\."):
        Trials(loss=PAIR_LOSSES["ctkd"]).lanes()


def test_a_weight_without_a_teacher_is_refused() -> None:
    with pytest.raises(ValueError, match=r"teacher_logits are required when distillation_weight is 0.5"):
        TRIALS.in_lanes(TRIALS.lanes(), [TrialSpec(1, None, 0.5, 2.0)])


class Gpu:
    """Simulated memory, of which each lane takes a part. ``fails`` is the lane that cannot be created."""

    def __init__(self, *, free: int, per_lane: int, fails: Callable[[int], bool] = lambda number: False) -> None:
        self.free, self._per_lane, self._fails = free, per_lane, fails
        self.num_made = 0

    def make_steps(self) -> EagerSteps:
        self.num_made += 1
        if self._fails(self.num_made):
            return _FailingSteps()
        self.free -= self._per_lane
        return EagerSteps()


class _FailingSteps(EagerSteps):
    def prepare(self, *_: object, **__: object) -> None:
        raise RuntimeError("CUDA out of memory")


def grown(gpu: Gpu, number: int, *, budget: int) -> Lanes:
    lanes = TRIALS.lanes(make_steps=gpu.make_steps, free_bytes=lambda: gpu.free, budget_bytes=budget)
    lanes.grow(number, batch_sizes=TRIALS.samples.batch_sizes)
    return lanes


@pytest.mark.parametrize(
    ("free", "budget", "num_lanes"),
    [(1000, 1000, 8), (1000, 350, 3), (350, 1000, 3), (1000, 10, 1), (10, 1000, 1), (400, 400, 4)],
)
def test_no_lane_exceeds_the_memory_or_its_budget(free: int, budget: int, num_lanes: int) -> None:
    lanes = grown(Gpu(free=free, per_lane=100), 8, budget=budget)
    assert (len(lanes), lanes.used_bytes) == (num_lanes, 100 * num_lanes)


def test_there_are_no_more_lanes_than_streams() -> None:
    assert len(grown(Gpu(free=10**6, per_lane=1), 1000, budget=10**6)) == MAX_LANES < 32


def test_a_lane_without_memory_is_dropped_and_the_others_continue() -> None:
    gpu = Gpu(free=1000, per_lane=100, fails=lambda number: number == 3)
    lanes = grown(gpu, 8, budget=1000)
    assert (len(lanes), lanes.used_bytes) == (2, 200)
    # The lane is not tried again.
    lanes.grow(8, batch_sizes=TRIALS.samples.batch_sizes)
    assert (len(lanes), gpu.num_made) == (2, 3)
    wanted = [TrialSpec(1, 2, 0.5, 2.0), TrialSpec(2, 1, 1.0, 4.0)]
    for got, each in zip(TRIALS.in_lanes(lanes, wanted), wanted, strict=True):
        (alone,) = TRIALS.in_lanes(TRIALS.lanes(), [each])
        assert_same(got, alone)


def test_an_error_in_the_first_lane_is_raised() -> None:
    with pytest.raises(RuntimeError, match="CUDA out of memory"):
        grown(Gpu(free=1000, per_lane=100, fails=lambda number: True), 8, budget=1000)


def test_a_student_that_diverges_affects_no_other_and_no_later_student() -> None:
    wanted = [TrialSpec(0, 3, 0.5, 1.0), TrialSpec(1, 4, 0.5, 4.0, 1e20), TrialSpec(2, 3, 1.0, 4.0)]
    lanes = TRIALS.lanes()
    for number, (each, got) in enumerate(zip(wanted, TRIALS.in_lanes(lanes, wanted), strict=True)):
        is_finite = are_finite([*got.weights.values(), *got.momenta.values()])
        assert is_finite == are_finite(lanes.student(number).tensors) == (number != 1)
        if is_finite:
            (alone,) = TRIALS.in_lanes(TRIALS.lanes(), [each])
            assert_same(got, alone)
    after = TrialSpec(1, 4, 0.5, 4.0)
    _, got = TRIALS.in_lanes(lanes, [wanted[0], after])
    (alone,) = TRIALS.in_lanes(TRIALS.lanes(), [after])
    assert_same(got, alone)
