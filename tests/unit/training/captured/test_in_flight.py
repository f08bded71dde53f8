"""How many lanes are chosen, on a machine that the test makes up; and a sweep in lanes, on the CPU."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from peerkd.study.trials import Trial, Unit, record_identity
from peerkd.training.captured.in_flight import InFlight
from peerkd.training.captured.lanes import MAX_LANES, CalledSteps
from peerkd.training.inputs import Leg, WayTaken
from peerkd.training.sweep import Sweep
from peerkd.training.trial_state import load_state, state_path
from tests.distillations import PLENTY, Trials, assert_same
from tests.plans import whole_plan

TRIALS = Trials("mlp")


class Gpu:
    """Takes so many seconds for a step in so many lanes at once, and so much memory for each lane."""

    def __init__(self, seconds: Callable[[int], float], *, free: int = PLENTY, per_lane: int = 2**20) -> None:
        self.now, self.free, self._per_lane, self._seconds = 0.0, free, per_lane, seconds
        self._num_begun = 0

    def clock(self) -> float:
        return self.now

    def make_steps(self) -> "GpuSteps":
        self.free -= self._per_lane
        return GpuSteps(self)

    def begin(self) -> None:
        self._num_begun += 1

    def end(self) -> None:
        if self._num_begun:
            self.now += self._seconds(self._num_begun)
            self._num_begun = 0


class GpuSteps(CalledSteps):
    def __init__(self, gpu: Gpu) -> None:
        super().__init__()
        self._gpu = gpu

    def run(self, num_samples: int) -> None:
        self._gpu.begin()

    def join(self) -> None:
        self._gpu.end()


def in_flight(gpu: Gpu, *, num_architectures: int = 1, **changes: Any) -> InFlight:
    return InFlight(
        lambda architecture: TRIALS.network(0),
        **{
            "num_architectures": num_architectures,
            "image_shape_CHW": TRIALS.dataset.image_shape,
            "num_classes": TRIALS.dataset.num_classes,
            "recipe": TRIALS.recipe,
            "device": TRIALS.device,
            "make_steps": gpu.make_steps,
            "free_bytes": lambda: gpu.free,
            "clock": gpu.clock,
            **changes,
        },
    )


@pytest.mark.parametrize(
    ("seconds", "number", "gain"),
    [
        # All that there is room for beside each other, up to some number; then one after the other.
        (lambda lanes: 0.001 * -(-lanes // 4), 4, "4.0"),
        (lambda lanes: 0.001, MAX_LANES, "16.0"),
        (lambda lanes: 0.001 * lanes, 1, "1.0"),
        # Two hundredths more are not worth the memory of twice as many.
        (lambda lanes: 0.001 * lanes**0.98, 1, "1.0"),
        (lambda lanes: 0.001 * lanes**1.5, 1, "1.0"),
    ],
)
def test_lanes_are_doubled_while_that_pays(seconds: Callable[[int], float], number: int, gain: str) -> None:
    flights = in_flight(Gpu(seconds))
    assert flights.number("mlp", TRIALS.samples) == number
    (news,) = flights.read_news()
    lanes = min(2 * number, MAX_LANES)
    assert news == WayTaken(
        "mlp",
        f"mlp: {number} students in flight, measured {gain} times as fast as one; {lanes} lanes take {lanes} MiB",
    )
    assert (flights.number("mlp", TRIALS.samples), flights.read_news()) == (number, [])


@pytest.mark.parametrize(("free", "number"), [(5 * 2**20, 5), (2**20, 1), (0, 1)])
def test_memory_ends_the_doubling(free: int, number: int) -> None:
    assert in_flight(Gpu(lambda lanes: 0.001, free=free)).number("mlp", TRIALS.samples) == number


def test_each_architecture_has_its_share_of_the_memory() -> None:
    flights = in_flight(Gpu(lambda lanes: 0.001, free=12 * 2**20), num_architectures=3)
    assert [flights.number(name, TRIALS.samples) for name in ("a", "b", "c")] == [4, 4, 4]


def test_the_choice_takes_about_a_second() -> None:
    gpu = Gpu(lambda lanes: 0.001)
    in_flight(gpu).number("mlp", TRIALS.samples)
    assert 0.5 < gpu.now < 3
    slow = Gpu(lambda lanes: 0.7 * lanes)
    in_flight(slow).number("mlp", TRIALS.samples)
    # One step to warm up and one to measure, of one lane and of two.
    assert slow.now == pytest.approx(0.7 * 2 * 3)


class NoGraphs(CalledSteps):
    def prepare(self, *_: object, **__: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")


def test_steps_that_cannot_be_captured_are_said() -> None:
    flights = in_flight(Gpu(lambda lanes: 0.001), make_steps=NoGraphs)
    assert flights.number("mlp", TRIALS.samples) == 0
    (news,) = flights.read_news()
    assert news.text == (
        "mlp: one student at a time, as its steps cannot be captured (operation not permitted when stream is capturing)"
    )


class Ticking:
    """A clock that moves with each look, so that nothing is measured for long: always by a second, or ever more."""

    def __init__(self, *, growth: int) -> None:
        self._now, self._growth = 0.0, growth

    def __call__(self) -> float:
        self._now = self._growth * self._now + 1
        return self._now


def sweep_in_lanes(tiny, folder: Path, *, more_pay: bool = True, make_steps: Any = CalledSteps) -> Sweep:
    """Open a sweep as it is on a GPU, but for the device."""
    sweep = Sweep(replace(tiny.sweep_inputs, states_folder=folder), device=torch.device("cpu"))
    sweep._in_flight = InFlight(
        sweep._build_network,
        num_architectures=3,
        image_shape_CHW=sweep._dataset.image_shape,
        num_classes=sweep._dataset.num_classes,
        recipe=sweep._recipe,
        device=torch.device("cpu"),
        make_steps=make_steps,
        clock=Ticking(growth=1 if more_pay else 4),
    )
    return sweep


def done(sweep: Sweep, task: Unit | Leg) -> tuple[dict[Trial, dict[str, Any]], list[WayTaken]]:
    unit = task.unit if isinstance(task, Leg) else task
    made = list(sweep.do(task))
    records = [each for each in made if not isinstance(each, WayTaken)]
    of_trial = {next(t for t in unit.trials if t.identity == record_identity(each)): each for each in records}
    assert len(of_trial) == len(unit.trials)
    return of_trial, [each for each in made if isinstance(each, WayTaken)]


def some_units(tiny) -> list[Unit]:
    """Return a unit of each transfer set, controls too, with some trials of each student."""
    chosen = {
        (unit.teacher is None, unit.trials[0].transfer_set): replace(unit, trials=unit.trials[::4])
        for unit in whole_plan(tiny.config)
    }
    return list(chosen.values())


@pytest.mark.slow
def test_a_sweep_in_lanes_is_that_of_one_lane_whole_or_in_legs(tiny, tmp_path: Path) -> None:
    many = sweep_in_lanes(tiny, tmp_path / "many")
    units = some_units(tiny)
    assert len(units) > 5
    news: list[WayTaken] = []
    for number, unit in enumerate(units):
        if number % 2:
            done(many, Leg(unit=unit, first_epoch=0, last_epoch=1))
            records, ways = done(many, Leg(unit=unit, first_epoch=1, last_epoch=2))
        else:
            records, ways = done(many, unit)
        news += ways
        for trial in unit.trials[:1]:
            one = sweep_in_lanes(tiny, tmp_path / "one", more_pay=False)
            alone, ways_of_one = done(one, replace(unit, trials=(trial,)))
            assert [": 1 students in flight" in way.text for way in ways_of_one] == [True]
            assert {**records[trial], "seconds": 0} == {**alone[trial], "seconds": 0}
            assert_same(*(load_state(state_path(tmp_path / each, trial, num_epochs=2)) for each in ("many", "one")))
    assert sorted(way.kind for way in news) == sorted(set(tiny.config.architectures))
    assert all(": 16 students in flight" in way.text for way in news)


def test_a_sweep_whose_steps_cannot_be_captured_is_the_plain_one(tiny, tmp_path: Path) -> None:
    unit = next(
        replace(unit, trials=unit.trials[:2])
        for unit in whole_plan(tiny.config)
        if unit.teacher is not None and tiny.config.architectures[unit.trials[0].student] == "resnet20"
    )
    got, ways = done(sweep_in_lanes(tiny, tmp_path, make_steps=NoGraphs), unit)
    plain = Sweep(tiny.sweep_inputs, device=torch.device("cpu"))
    for trial, record in done(plain, unit)[0].items():
        assert {**got[trial], "seconds": 0} == {**record, "seconds": 0}
    assert [way.text.partition(",")[0] for way in ways] == ["resnet20: one student at a time"]


def test_where_there_is_no_gpu_none_of_it_is_loaded(tiny) -> None:
    assert Sweep(tiny.sweep_inputs, device=torch.device("cpu"))._in_flight is None
