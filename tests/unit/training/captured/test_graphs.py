"""Graphs on a GPU if one exists, and the work around a capture with a stand-in for torch.cuda."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from peerkd.training.captured import graphs
from peerkd.training.captured.lanes import MAX_LANES, EagerSteps
from peerkd.training.inputs import EngineChoice
from peerkd.training.samples import BatchSize
from peerkd.training.sweep import SweepRunner
from tests.distillations import Trials, TrialSpec, assert_same
from tests.plans import whole_plan

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here that torch can use")

WANTED = [
    TrialSpec(1, None, 0.0, None),
    TrialSpec(1, 2, 0.3, 1.3),
    TrialSpec(2, 1, 1.0, 4.0),
    TrialSpec(2, 0, 0.5, 2.0),
]


def trials_on_gpu(architecture: str, **recipe: Any) -> Trials:
    graphs.choose_repeatable_algorithms()
    return Trials(architecture, device=f"cuda:{torch.cuda.current_device()}", **recipe)


@pytest.fixture
def owner() -> Iterator[graphs.GraphOwner]:
    device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    with graphs.GraphOwner(device) as opened:
        yield opened


@needs_gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("architecture", ["mlp", "small_cnn", "resnet20", "resnet18"])
def test_replayed_steps_end_in_the_bits_of_called_ones(
    architecture: str, precision: str, owner: graphs.GraphOwner
) -> None:
    trials = trials_on_gpu(architecture, precision=precision)
    got = trials.in_lanes(trials.lanes(make_steps=owner.new_steps), WANTED)
    for each, called in zip(got, trials.in_lanes(trials.lanes(), WANTED), strict=True):
        assert_same(each, called)


@needs_gpu
@pytest.mark.parametrize("wanted", WANTED)
def test_replayed_steps_are_near_distill(wanted: TrialSpec, owner: graphs.GraphOwner) -> None:
    """The tolerance is a thousandth of the distance that the weights move: torch divides by a number in another way
    than by a tensor.
    """
    trials = trials_on_gpu("small_cnn")
    (got,) = trials.in_lanes(trials.lanes(make_steps=owner.new_steps), [wanted])
    plain, before = trials.alone(wanted), trials.start(wanted.student)
    for name, tensor in plain.weights.items():
        change = (tensor - before.weights[name]).double().norm()
        assert (got.weights[name] - tensor).double().norm() <= 1e-3 * change, name


@needs_gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("architecture", ["small_cnn", "resnet20", "resnet18"])
def test_a_trial_does_not_depend_on_other_lanes(architecture: str, precision: str, owner: graphs.GraphOwner) -> None:
    trials = trials_on_gpu(architecture, precision=precision)
    make_steps = owner.new_steps
    lanes = trials.lanes(make_steps=make_steps)
    for group in (WANTED, WANTED[::-1]):
        for wanted, got in zip(group, trials.in_lanes(lanes, group), strict=True):
            (alone,) = trials.in_lanes(trials.lanes(make_steps=make_steps), [wanted])
            assert_same(got, alone)


@needs_gpu
def test_a_capture_leaves_the_student_as_it_was(owner: graphs.GraphOwner) -> None:
    trials = trials_on_gpu("resnet20")
    lanes = trials.lanes(make_steps=owner.new_steps)
    lanes.grow(1, batch_sizes=[BatchSize(8)])
    lanes.put(0, trials.start(1))
    before = [tensor.clone() for tensor in lanes.student(0).tensors]
    # Another size is captured before the first step.
    lanes.grow(1, batch_sizes=[BatchSize(8)])
    lanes._prepare(0, [BatchSize(7)])
    for tensor, kept in zip(lanes.student(0).tensors, before, strict=True):
        assert torch.equal(tensor, kept)


@needs_gpu
def test_lanes_stay_within_their_memory(owner: graphs.GraphOwner) -> None:
    trials = trials_on_gpu("resnet18")
    free_bytes = partial(graphs.free_bytes, trials.device)
    one = trials.lanes(make_steps=owner.new_steps, free_bytes=free_bytes, budget_bytes=0)
    one.grow(8, batch_sizes=trials.samples.batch_sizes)
    assert len(one) == 1
    budget_bytes = 4 * max(one.used_bytes, 2**26)
    some = trials.lanes(make_steps=owner.new_steps, free_bytes=free_bytes, budget_bytes=budget_bytes)
    some.grow(16, batch_sizes=trials.samples.batch_sizes)
    assert 1 <= len(some) <= 16
    assert some.used_bytes <= budget_bytes


@needs_gpu
def test_a_sweep_on_a_gpu_is_in_lanes_and_a_trial_of_it_the_same_alone(tiny, tmp_path: Path) -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    inputs = replace(tiny.sweep_inputs, device="cuda", states_folder=tmp_path)
    unit = next(unit for unit in whole_plan(tiny.config) if unit.teacher is not None)
    with SweepRunner(inputs, device=device) as together:
        made = list(together.do(unit))
    ways = [each for each in made if isinstance(each, EngineChoice)]
    assert ways
    assert all("students in flight" in way.text for way in ways)
    records = [each for each in made if not isinstance(each, EngineChoice)]
    alone = []
    for trial in unit.trials:
        with SweepRunner(inputs, device=device) as own:
            made = own.do(replace(unit, trials=(trial,)))
            alone += [each for each in made if not isinstance(each, EngineChoice)]
    assert [{**each, "seconds": 0} for each in records] == [{**each, "seconds": 0} for each in alone]


def test_deterministic_algorithms_are_requested(monkeypatch: pytest.MonkeyPatch) -> None:
    # Set before the call, so that the test's end restores it.
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    with torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False):
        graphs.choose_repeatable_algorithms()
        assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark) == (True, False)
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
        graphs.choose_repeatable_algorithms()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


class StandIn:
    """A stand-in for what ``graphs`` uses of torch.cuda. It computes on the CPU immediately, also in a capture, and
    records its calls.
    """

    def __init__(self, *, failing_captures: tuple[int, ...] = ()) -> None:
        self.log: list[str] = []
        self._failing = failing_captures
        self._num_captures = 0
        self._num_streams = 0

    def graph_pool_handle(self) -> int:
        return len(self.log)

    def new_stream(self, device: torch.device) -> "StandInStream":
        self._num_streams += 1
        return StandInStream(self, "lane" if self._num_streams == 1 else f"lane {self._num_streams}")

    def synchronize(self, device: torch.device) -> None:
        self.log.append("wait for the device")

    def current_stream(self, device: torch.device | None = None) -> "StandInStream":
        return StandInStream(self, "current")

    def new_graph(self) -> "StandInGraph":
        return StandInGraph(self)

    @contextmanager
    def device(self, device: torch.device) -> Iterator[None]:
        yield

    @contextmanager
    def stream(self, stream: "StandInStream") -> Iterator[None]:
        self.log.append(f"on {stream.name}")
        yield

    @contextmanager
    def graph(self, graph: "StandInGraph", *, pool: int, stream: "StandInStream") -> Iterator[None]:
        self._num_captures += 1
        self.log.append(f"capture on {stream.name}")
        yield
        if self._num_captures in self._failing:
            raise RuntimeError("CUDA out of memory")


class StandInStream:
    def __init__(self, cuda: StandIn, name: str) -> None:
        self._cuda, self.name = cuda, name

    def wait_stream(self, other: "StandInStream") -> None:
        self._cuda.log.append(f"{self.name} waits for {other.name}")

    def synchronize(self) -> None:
        self._cuda.log.append(f"wait for {self.name}")


class StandInGraph:
    def __init__(self, cuda: StandIn) -> None:
        self._cuda = cuda

    def replay(self) -> None:
        self._cuda.log.append("replay")

    def reset(self) -> None:
        self._cuda.log.append("free a graph")


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[StandIn]:
    stand_in = StandIn(failing_captures=getattr(request, "param", ()))
    for name in ("graph_pool_handle", "current_stream", "device", "stream", "graph", "synchronize"):
        monkeypatch.setattr(torch.cuda, name, getattr(stand_in, name))
    monkeypatch.setattr(torch.cuda, "Stream", stand_in.new_stream)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", stand_in.new_graph)
    graphs._streams.cache_clear()
    yield stand_in
    graphs._streams.cache_clear()


def test_around_a_capture_streams_wait_for_each_other(cuda: StandIn, owner: graphs.GraphOwner) -> None:
    steps, counter = owner.new_steps(), torch.zeros(())
    steps.prepare(BatchSize(8), lambda: counter.add_(1) and None, changes=[counter])
    assert cuda.log == [
        "on current",
        "lane waits for current",
        "on lane",
        "current waits for lane",
        "capture on lane",
    ]
    assert counter == 0
    cuda.log.clear()
    steps.run(BatchSize(8))
    steps.join()
    assert cuda.log == ["lane waits for current", "on lane", "replay", "current waits for lane"]


def test_the_first_capture_is_warmed_up_longest(cuda: StandIn, owner: graphs.GraphOwner) -> None:
    steps, called = owner.new_steps(), list[int]()
    for size in (8, 7):
        steps.prepare(BatchSize(size), partial(called.append, size), changes=[])
    assert called == [8] * (3 + 1) + [7] * (1 + 1)


@pytest.mark.usefixtures("cuda")
def test_a_student_in_training_is_restored_after_a_capture(owner: graphs.GraphOwner) -> None:
    trials = Trials("resnet20")
    lanes = trials.lanes(make_steps=owner.new_steps)
    lanes.grow(1, batch_sizes=[BatchSize(8)])
    lanes.put(0, trials.start(1))
    before = [tensor.clone() for tensor in lanes.student(0).tensors]
    lanes._prepare(0, [BatchSize(7)])
    for tensor, kept in zip(lanes.student(0).tensors, before, strict=True):
        assert torch.equal(tensor, kept)


@pytest.mark.parametrize("cuda", [(1,)], indirect=True)
def test_a_lane_whose_first_step_cannot_be_captured_is_refused(cuda: StandIn, owner: graphs.GraphOwner) -> None:
    counter = torch.zeros(())
    with pytest.raises(RuntimeError, match="CUDA out of memory"):
        owner.new_steps().prepare(BatchSize(8), lambda: counter.add_(1) and None, changes=[counter])
    assert counter == 0


@pytest.mark.parametrize("cuda", [(2,)], indirect=True)
def test_a_later_size_that_cannot_be_captured_is_called(cuda: StandIn, owner: graphs.GraphOwner) -> None:
    steps, called = owner.new_steps(), list[int]()
    for size in (8, 7):
        steps.prepare(BatchSize(size), partial(called.append, size), changes=[])
    called.clear()
    cuda.log.clear()
    steps.run(BatchSize(8))
    steps.run(BatchSize(7))
    assert (called, cuda.log.count("replay"), cuda.log.count("on lane")) == ([7], 1, 2)


def test_sizes_beyond_what_a_lane_keeps_are_called(
    cuda: StandIn, owner: graphs.GraphOwner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "_MAX_GRAPHS", 1)
    trials, plain = Trials("mlp"), Trials("mlp")
    lanes = trials.lanes(make_steps=owner.new_steps)
    lanes.grow(1, batch_sizes=[BatchSize(9)])
    # Sizes 8 and 7 have no graph, and so end as called steps do.
    (got,) = trials.in_lanes(lanes, WANTED[1:2])
    (wanted,) = plain.in_lanes(plain.lanes(), WANTED[1:2])
    assert_same(got, wanted)
    assert "replay" not in cuda.log


def test_work_of_a_warm_up_that_fails_ends_before_the_student_is_restored(
    cuda: StandIn, owner: graphs.GraphOwner
) -> None:
    counter = torch.zeros(())
    restored = counter.copy_

    def fail() -> None:
        counter.add_(1)
        raise torch.OutOfMemoryError("CUDA out of memory")

    def copy(kept: torch.Tensor) -> None:
        cuda.log.append("restore")
        restored(kept)

    counter.copy_ = copy  # type: ignore[method-assign, assignment]
    with pytest.raises(torch.OutOfMemoryError):
        owner.new_steps().prepare(BatchSize(8), fail, changes=[counter])
    assert cuda.log[-2:] == ["wait for lane", "restore"]
    assert counter == 0


def test_all_graphs_of_a_process_are_freed_together_when_nothing_runs(cuda: StandIn) -> None:
    with graphs.GraphOwner(torch.device("cpu")) as owner:
        lanes = [owner.new_steps() for _ in range(2)]
        for steps in lanes:
            steps.prepare(BatchSize(8), lambda: None, changes=[])
        cuda.log.clear()
    assert cuda.log == ["wait for the device", "free a graph", "free a graph"]
    owner.close()
    assert len(cuda.log) == 3
    with pytest.raises(RuntimeError, match="must be open when a lane is created"):
        owner.new_steps()


@pytest.mark.parametrize("cuda", [(1,)], indirect=True)
def test_the_graph_of_a_lane_that_is_dropped_is_freed_with_the_others(cuda: StandIn) -> None:
    with graphs.GraphOwner(torch.device("cpu")) as owner:
        with pytest.raises(RuntimeError, match="out of memory"):
            owner.new_steps().prepare(BatchSize(8), lambda: None, changes=[])
        assert "free a graph" not in cuda.log
    assert cuda.log[-2:] == ["wait for the device", "free a graph"]


@pytest.mark.usefixtures("cuda")
def test_a_process_has_the_graphs_of_one_sweep_at_a_time() -> None:
    device = torch.device("cpu")
    with (
        graphs.GraphOwner(device),
        pytest.raises(RuntimeError, match="an earlier sweep of this process is open; call its close method first"),
    ):
        graphs.GraphOwner(device)
    graphs.GraphOwner(device).close()


@pytest.mark.usefixtures("cuda")
def test_later_sweeps_use_the_same_streams() -> None:
    def streams() -> list[Any]:
        with graphs.GraphOwner(torch.device("cpu")) as owner:
            return [owner.new_steps()._stream for _ in range(MAX_LANES)]

    first = streams()
    assert len(set(map(id, first))) == MAX_LANES
    assert streams() == first


def test_called_steps_need_no_stream() -> None:
    called: list[int] = []
    steps = EagerSteps()
    steps.prepare(BatchSize(8), partial(called.append, 8), changes=[])
    steps.run(BatchSize(8))
    steps.join()
    assert called == [8]
