"""The chosen number of lanes on a simulated machine, and a sweep in lanes on the CPU."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import chain, cycle
from pathlib import Path
from typing import Any

import pytest
import torch

from peerkd.config.given_peers import PeerNetwork
from peerkd.config.training import DistillConfig
from peerkd.study.trials import Trial, Unit, record_identity
from peerkd.training.captured.lane_pool import LanePool
from peerkd.training.captured.lanes import MAX_LANES, EagerSteps
from peerkd.training.inputs import EngineChoice, EpochRange
from peerkd.training.sweep import SweepRunner
from peerkd.training.trial_state import load_state, state_path
from tests.distillations import PLENTY, Trials, assert_same
from tests.plans import whole_plan

TRIALS = Trials("mlp")

RESNET = 2
"""The peer of the tiny experiment whose network is a ResNet-20."""


class Gpu:
    """A simulated machine: seconds for a step in a number of lanes at once, and memory for each lane."""

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


class GpuSteps(EagerSteps):
    def __init__(self, gpu: Gpu) -> None:
        super().__init__()
        self._gpu = gpu

    def run(self, num_samples: int) -> None:
        self._gpu.begin()

    def join(self) -> None:
        self._gpu.end()


def lane_pool(gpu: Gpu, *, num_architectures: int = 1, **changes: Any) -> LanePool:
    return LanePool(
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
        # Lanes run side by side up to some number, and one after the other beyond it.
        (lambda lanes: 0.001 * -(-lanes // 4), 4, "4.0"),
        (lambda lanes: 0.001, MAX_LANES, "16.0"),
        (lambda lanes: 0.001 * lanes, 1, "1.0"),
        # A gain of two hundredths is not worth the memory of twice as many lanes.
        (lambda lanes: 0.001 * lanes**0.98, 1, "1.0"),
        (lambda lanes: 0.001 * lanes**1.5, 1, "1.0"),
    ],
)
def test_lanes_are_doubled_while_the_rate_gains(seconds: Callable[[int], float], number: int, gain: str) -> None:
    pool = lane_pool(Gpu(seconds))
    assert pool.number("mlp", TRIALS.samples) == number
    (news,) = pool.take_choices()
    lanes = min(2 * number, MAX_LANES)
    assert news == EngineChoice(
        "mlp",
        f"mlp: {number} students in flight, measured {gain} times as fast as one; {lanes} lanes take {lanes} MiB",
    )
    assert (pool.number("mlp", TRIALS.samples), pool.take_choices()) == (number, [])


@pytest.mark.parametrize(("free", "number"), [(5 * 2**20, 5), (2**20, 1), (0, 1)])
def test_memory_ends_the_doubling(free: int, number: int) -> None:
    assert lane_pool(Gpu(lambda lanes: 0.001, free=free)).number("mlp", TRIALS.samples) == number


def test_each_architecture_has_its_share_of_the_memory() -> None:
    pool = lane_pool(Gpu(lambda lanes: 0.001, free=12 * 2**20), num_architectures=3)
    assert [pool.number(name, TRIALS.samples) for name in ("a", "b", "c")] == [4, 4, 4]


def test_the_choice_takes_about_a_second() -> None:
    gpu = Gpu(lambda lanes: 0.001)
    lane_pool(gpu).number("mlp", TRIALS.samples)
    assert 0.5 < gpu.now < 3
    slow = Gpu(lambda lanes: 0.7 * lanes)
    lane_pool(slow).number("mlp", TRIALS.samples)
    # One step to warm up and one to measure, for one lane and for two.
    assert slow.now == pytest.approx(0.7 * 2 * 3)


class NoGraphs(EagerSteps):
    def prepare(self, *_: object, **__: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")


def test_steps_that_cannot_be_captured_are_reported() -> None:
    pool = lane_pool(Gpu(lambda lanes: 0.001), make_steps=NoGraphs)
    assert pool.number("mlp", TRIALS.samples) == 0
    (news,) = pool.take_choices()
    assert news.text == (
        "mlp: one student at a time, because its steps cannot be captured "
        "(operation not permitted when stream is capturing)"
    )


class Measuring:
    """A clock by which successive measurements take given seconds, from the first one again after the last one."""

    def __init__(self, seconds: Iterable[float]) -> None:
        self._now, self._steps = 0.0, chain.from_iterable((0.0, each) for each in cycle(seconds))

    def __call__(self) -> float:
        self._now += next(self._steps)
        return self._now


TWO_IN_FLIGHT, ONE_IN_FLIGHT = (1.0, 1.0, 8.0), (1.0, 8.0)
"""The seconds of a step of 1, 2 and 4 lanes, of which two are the best number; and of 1 and 2, of which one is."""


def sweep_in_lanes(
    tiny, folder: Path, *, seconds: Iterable[float] = TWO_IN_FLIGHT, make_steps: Any = EagerSteps
) -> SweepRunner:
    """Open a sweep as on a GPU, except for the device and the seconds that are measured."""
    sweep = SweepRunner(replace(tiny.sweep_inputs, states_folder=folder), device=torch.device("cpu"))

    def open_pool(recipe: DistillConfig, *, num_architectures: int) -> LanePool:
        return LanePool(
            lambda name: sweep.data.build_network(PeerNetwork(name)),
            num_architectures=num_architectures,
            image_shape_CHW=sweep.data.dataset.image_shape,
            num_classes=sweep.data.dataset.num_classes,
            recipe=recipe,
            device=torch.device("cpu"),
            max_batch_samples=2 * recipe.batch_size,
            make_steps=make_steps,
            clock=Measuring(seconds),
        )

    sweep.engines._has_lanes, sweep.engines._open_lane_pool = True, open_pool
    return sweep


def done(sweep: SweepRunner, task: Unit | EpochRange) -> tuple[dict[Trial, dict[str, Any]], list[EngineChoice]]:
    unit = task.unit if isinstance(task, EpochRange) else task
    made = list(sweep.do(task))
    records = [each for each in made if not isinstance(each, EngineChoice)]
    of_trial = {next(t for t in unit.trials if t.identity == record_identity(each)): each for each in records}
    assert len(of_trial) == len(unit.trials)
    return of_trial, [each for each in made if isinstance(each, EngineChoice)]


def some_units(tiny) -> list[Unit]:
    """Return a unit of each transfer set, controls included, with its first trial and its last one.

    The expensive ResNet is the student of the last trial of some units, and the student and the teacher of no unit.
    """
    chosen = {
        (unit.teacher is None, unit.trials[0].transfer_set): replace(
            unit, trials=tuple(dict.fromkeys((unit.trials[0], unit.trials[-1])))
        )
        for unit in whole_plan(tiny.config)
        if unit.teacher != RESNET and {trial.student for trial in unit.trials} != {RESNET}
    }
    return list(chosen.values())


def test_a_sweep_in_lanes_is_that_of_one_lane_whole_or_in_epoch_ranges(tiny, tmp_path: Path) -> None:
    many = sweep_in_lanes(tiny, tmp_path / "many")
    units = some_units(tiny)
    assert len(units) > 5
    news: list[EngineChoice] = []
    for number, unit in enumerate(units):
        if number % 2:
            done(many, EpochRange(unit=unit, first_epoch=0, last_epoch=1))
            records, ways = done(many, EpochRange(unit=unit, first_epoch=1, last_epoch=2))
        else:
            records, ways = done(many, unit)
        news += ways
        for trial in unit.trials[-1:]:
            one = sweep_in_lanes(tiny, tmp_path / "one", seconds=ONE_IN_FLIGHT)
            alone, ways_of_one = done(one, replace(unit, trials=(trial,)))
            assert [": 1 students in flight" in way.text for way in ways_of_one] == [True]
            assert {**records[trial], "seconds": 0} == {**alone[trial], "seconds": 0}
            assert_same(*(load_state(state_path(tmp_path / each, trial, num_epochs=2)) for each in ("many", "one")))
    assert sorted(way.kind for way in news) == sorted(set(tiny.config.architectures))
    assert all(": 2 students in flight" in way.text for way in news)


def test_a_sweep_whose_steps_cannot_be_captured_equals_the_plain_one(tiny, tmp_path: Path) -> None:
    unit = next(
        replace(unit, trials=unit.trials[:2])
        for unit in whole_plan(tiny.config)
        if (unit.teacher is not None, unit.trials[0].student, unit.trials[0].transfer_set) == (True, RESNET, "student")
    )
    got, ways = done(sweep_in_lanes(tiny, tmp_path, make_steps=NoGraphs), unit)
    plain = SweepRunner(tiny.sweep_inputs, device=torch.device("cpu"))
    for trial, record in done(plain, unit)[0].items():
        assert {**got[trial], "seconds": 0} == {**record, "seconds": 0}
    assert [way.text.partition(",")[0] for way in ways] == ["resnet20: one student at a time"]


def test_without_a_gpu_nothing_of_it_is_imported(tiny) -> None:
    engines = SweepRunner(tiny.sweep_inputs, device=torch.device("cpu")).engines
    assert not engines._has_lanes
