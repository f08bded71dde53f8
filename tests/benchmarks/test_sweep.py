"""The benchmark of a sweep runs, and detects programs that compute something else. No test depends on a time."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.sweep.__main__ import compare_all, main
from benchmarks.sweep.agreement import compare, reference_accuracies
from benchmarks.sweep.arithmetic import SampleFlops, count_flops, lap_flops
from benchmarks.sweep.contestants import ENGINE, GROUPED, LOOP, PROCESS, VMAP, Choice, Contestant
from benchmarks.sweep.fused import Grouped, Stacked
from benchmarks.sweep.memory import used_bytes
from benchmarks.sweep.outcome import Lap, Layout, Outcome
from benchmarks.sweep.rounds import Measured
from benchmarks.sweep.tables import quotient_table
from benchmarks.sweep.tasks import chosen_units, groups_of_each_set, tasks_of_each_set
from benchmarks.sweep.workloads import WORKLOADS, Workload, find_workload
from peerkd.config.resolve import override
from peerkd.models.build import build_network

TINY = replace(
    WORKLOADS["digits"],
    config=override(
        WORKLOADS["digits"].config,
        [
            "partition.num_peers=2",
            "pretrain.epochs=1",
            "distill.epochs=1",
            "distill.batch_size=200",
            "sweep.temperatures=[2]",
            "sweep.alphas=[0.5]",
            "sweep.transfer_sets=[student]",
        ],
    ),
    unit_stride=1,
    vmap_sizes=(),
    grouped_sizes=(2,),
)


@pytest.mark.slow
def test_the_benchmark_runs_and_writes_what_it_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(WORKLOADS, "digits", TINY)  # type: ignore[arg-type]
    # Each program then has one process that must import torch.
    monkeypatch.setenv("PEERKD_NUM_CORES", "1")
    output = tmp_path / "result.md"
    assert main(["--quick", "--workloads", "digits", "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert output.read_text(encoding="utf-8") == printed
    tables = [
        [line.split(" | ")[0].removeprefix("| ") for line in part.splitlines()[2:]]
        for part in printed.partition("## digits")[2].split("\n\n")
        if part.startswith("| ")
    ]
    others = [PROCESS, LOOP, GROUPED]
    assert tables[1:] == [[*others, ENGINE], others, others]
    assert f"| Left out for their time | {VMAP} |" in printed
    assert printed.count("| yes |") == len(others)


def test_without_a_gpu_the_gpu_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert main(["--device", "cuda"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "There is no GPU here that torch can use, so nothing can be timed on one.\n"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here that torch can use")
@pytest.mark.parametrize("workload", ["digits", "resnet18"])
def test_on_a_gpu_several_students_train_at_once(
    workload: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(WORKLOADS, "digits", TINY)  # type: ignore[arg-type]
    # The test only checks that it runs. Small trials also differ more, so either exit status is allowed.
    words = ["--device", "cuda", "--quick", "--batch", "32", "--samples", "64", "--workloads", workload]
    assert main(words) in (0, 1)
    assert "students in flight" in capsys.readouterr().out


@pytest.mark.parametrize("architecture", ["mlp", "small_cnn", "resnet20"])
@pytest.mark.parametrize("way", [Stacked, Grouped])
def test_students_fused_into_one_network_compute_the_same(way: type[nn.Module], architecture: str) -> None:
    students = [
        build_network(architecture, image_shape_CHW=(3, 8, 8), num_classes=5, seed=seed).double() for seed in range(3)
    ]
    images_NCHW = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    joined = way(students)
    for is_training in (True, False):
        expected = torch.stack([student.train(is_training)(images_NCHW) for student in students])
        torch.testing.assert_close(joined.train(is_training)(images_NCHW), expected)
    sums = [
        sum(parameter.grad.square().sum() for parameter in network.parameters() if parameter.grad is not None)
        for network in (joined, *students)
        if network.train()(images_NCHW).square().sum().backward() is None
    ]
    torch.testing.assert_close(sums[0], sum(sums[1:]))


def test_every_program_does_equally_many_trials_of_each_set() -> None:
    workload = find_workload("digits", num_processes=2)
    done = {trial.identity: trial for unit in chosen_units(workload) for trial in unit.trials}
    groups = groups_of_each_set(workload, 2, size=4)
    tasks = tasks_of_each_set(workload, 20)
    for each in (tasks, [task for group in groups for task in group]):
        sets = [done[task.identity].transfer_set for task in each]
        assert sets.count("student") == sets.count("teacher") == sets.count("both") > 0
    assert all(len({task.owners for task in group}) == 1 for group in groups)
    assert len({task.distillation_weight for task in tasks}) > 1
    assert len({task.temperature for task in tasks}) > 1


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_process_gets_work(name: str) -> None:
    workload = find_workload(name, num_processes=8, is_quick=True)
    for number in (workload.num_process_trials, workload.num_loop_trials):
        assert len(tasks_of_each_set(workload, number)) >= 8
    assert len(chosen_units(workload)) >= 8


def outcomes(*accuracies: float) -> list[Outcome]:
    return [Outcome((number,), 10, accuracy, accuracy) for number, accuracy in enumerate(accuracies)]


def measured(name: str, precision: str, *laps: Lap) -> Measured:
    def nothing() -> None:
        raise NotImplementedError

    choice = Choice("", nothing)  # type: ignore[arg-type]
    return Measured(contestant=Contestant(name, precision, [choice]), choice=choice, laps=list(laps))


def test_programs_with_the_same_batches_must_agree_trial_by_trial() -> None:
    reference = reference_accuracies([outcomes(0.5, 0.6, 0.7)])
    near, far = outcomes(0.52, 0.59, 0.69), outcomes(0.54, 0.58, 0.68)
    assert compare(near, reference, has_same_batches=True).holds
    assert not compare(far, reference, has_same_batches=True).holds
    # The average is the same, so only the order of the samples may differ.
    assert compare(far, reference, has_same_batches=False).holds
    assert not compare(outcomes(0.52, 0.62, 0.72), reference, has_same_batches=True).holds


def test_programs_with_other_batches_must_agree_on_average() -> None:
    reference = reference_accuracies([outcomes(*[0.5, 0.6] * 20)])
    worse = outcomes(*[0.47, 0.55] * 20)
    assert not compare(worse, reference, has_same_batches=False).holds


def test_a_program_with_different_accuracies_is_detected() -> None:
    right, wrong = Lap(1.0, outcomes(0.5, 0.6), num_taught=20), Lap(1.0, outcomes(0.5, 0.1), num_taught=20)
    engine = measured(ENGINE, "float32", right)
    agreements = compare_all([measured(LOOP, "float32", right), measured(VMAP, "float32", wrong), engine])
    assert agreements[LOOP, "float32"].holds
    assert not agreements[VMAP, "float32"].holds


def test_the_reference_must_have_the_same_accuracies_in_every_round() -> None:
    with pytest.raises(ArithmeticError, match=r"The trial \(0,\) ended in the accuracies 0.5 and 0.6"):
        reference_accuracies([outcomes(0.5), outcomes(0.6)])


def test_programs_without_a_common_trial_are_not_compared() -> None:
    with pytest.raises(ArithmeticError, match="no trial in common"):
        compare(outcomes(0.5), {}, has_same_batches=True)


def test_ratios_are_computed_within_a_round() -> None:
    loop = measured(LOOP, "float32", *(Lap(seconds, outcomes(0.5), num_taught=10) for seconds in (2.0, 6.0, 8.0)))
    engine = measured(ENGINE, "float32", *(Lap(seconds, outcomes(0.5), num_taught=10) for seconds in (1.0, 2.0, 4.0)))
    assert quotient_table([loop, engine]).splitlines()[2:] == [f"| {LOOP} | 2.00 (2.00 to 3.00) |"]


def test_floating_point_operations_are_counted_exactly() -> None:
    flops = count_flops("small_cnn", image_shape_CHW=(1, 8, 8), num_classes=10)
    convolutions = 2 * 64 * 9 * 16 + 2 * 16 * 9 * 16 * 32
    assert flops.forward == convolutions + 2 * 128 * 10
    # The gradient of the images is not computed.
    assert flops.step == 3 * flops.forward - 2 * 64 * 9 * 16
    lap = Lap(1.0, outcomes(0.5, 0.5), num_taught=10)
    assert lap_flops(lap, SampleFlops(3.0, 1.0), epochs=2, num_judged=7) == 2 * 20 * 3 + 2 * 10 + 2 * 7


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_includes_the_children_of_a_process() -> None:
    hold = "import sys; held = bytearray(b'1') * 30_000_000; print(flush=True); sys.stdin.read()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"
    command = [sys.executable, "-c", parent]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert 30e6 < used_bytes({process.pid}) < 100e6
        process.communicate(b"")
    assert used_bytes({process.pid}) == 0


def test_a_layout_is_printed_as_processes_and_threads() -> None:
    assert [str(Layout(2, 1)), str(Layout(1, 2))] == ["2 processes of 1 thread", "1 process of 2 threads"]


def test_a_quick_run_is_smaller() -> None:
    full, quick = (find_workload("digits", num_processes=2, is_quick=is_quick) for is_quick in (False, True))
    assert isinstance(quick, Workload)
    assert quick.num_rounds == 1 < full.num_rounds
    assert json.loads(quick.config.to_json()) == json.loads(full.config.to_json())
