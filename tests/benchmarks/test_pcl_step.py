"""The benchmark of a PCL step runs, and compares programs that compute the same. No test depends on a time."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks.pcl_step.__main__ import main, time_in_turn
from benchmarks.pcl_step.contestants import STRAIGHTFORWARD, STRAIGHTFORWARD_READY, PclContestant, StepTask
from benchmarks.pcl_step.equivalence import compare_losses
from benchmarks.pcl_step.straightforward import AugmentedSamples
from benchmarks.pcl_step.table import step_table

SMALL = ["--architectures", "small_cnn", "--channels", "1", "--pixels", "8", "--classes", "10", "--batch", "4"]


@pytest.fixture(autouse=True)
def _free_to_move() -> Iterator[None]:
    """Restore the cores and threads of the test's process."""
    threads = torch.get_num_threads()
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    yield
    torch.set_num_threads(threads)
    if cores:
        os.sched_setaffinity(0, cores)


@pytest.mark.parametrize(("architecture", "image_shape_CHW"), [("small_cnn", (1, 8, 8)), ("resnet20", (3, 8, 8))])
def test_the_straightforward_loss_equals_ours(architecture: str, image_shape_CHW: tuple[int, int, int]) -> None:
    differences = compare_losses(architecture, image_shape_CHW=image_shape_CHW, num_classes=10, num_samples=6)
    assert differences.loss < 1e-9
    assert differences.gradient_fraction < 1e-9


def test_the_comparison_refuses_a_different_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.pcl_step.equivalence._DISTILLATION_WEIGHT", torch.nan)
    with pytest.raises(ArithmeticError, match="The losses of small_cnn are nan"):
        compare_losses("small_cnn", image_shape_CHW=(1, 8, 8), num_classes=10, num_samples=4)


def test_the_benchmark_runs_and_writes_what_it_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "result.md"
    main([*SMALL, "--steps", "2", "--rounds", "1", "--device", "cpu", "--output", str(output)])
    printed = capsys.readouterr().out
    assert output.read_text(encoding="utf-8") == printed
    rows = [line.split(" | ")[0].removeprefix("| ") for line in printed.partition("## small_cnn")[2].splitlines()]
    own = ["plain", "PCL", "PCL, views joined"]
    assert [
        row for row in rows if row in {*own, *(each.program for each in (STRAIGHTFORWARD, STRAIGHTFORWARD_READY))}
    ] == [
        *own,
        *own,
        STRAIGHTFORWARD.program,
        STRAIGHTFORWARD_READY.program,
    ]


def test_every_program_runs_in_each_round_and_the_first_round_does_not_count() -> None:
    turns: list[str] = []

    def contestant(name: str):  # type: ignore[no-untyped-def]
        def lap() -> dict[PclContestant, float]:
            turns.append(name)
            return {PclContestant(name, "float32"): float(len(turns))}

        return lap

    seconds = time_in_turn([contestant("one"), contestant("other")], num_rounds=3)
    assert turns == ["one", "other"] * 3
    assert seconds == {PclContestant("one", "float32"): [3.0, 5.0], PclContestant("other", "float32"): [4.0, 6.0]}


def test_ratios_are_computed_within_a_round() -> None:
    seconds = {
        PclContestant("plain", "float32"): [1.0, 2.0, 4.0],
        PclContestant("PCL", "float32"): [4.0, 8.0, 16.0],
        STRAIGHTFORWARD: [8.0, 24.0, 32.0],
        STRAIGHTFORWARD_READY: [4.0, 8.0, 16.0],
    }
    rows = step_table(seconds).splitlines()
    assert rows[3] == (
        "| PCL | float32 | 8000.0 | 4000.0 | 16000.0 | 4.00 (4.00 to 4.00) | 4.00 "
        "| 2.00 (2.00 to 3.00) | 1.00 (1.00 to 1.00) |"
    )


def test_the_straightforward_program_draws_each_view_separately() -> None:
    task = StepTask("small_cnn", (3, 32, 32), 10, batch_size=4, num_steps=1, num_rounds=1, device=torch.device("cpu"))
    samples = AugmentedSamples(task.dataset(), num_views=3, crop_padding_pixels=task.crop_padding_pixels)
    views, label = samples[0]
    assert label in range(10)
    assert [view.shape for view in views] == [(3, 32, 32)] * 3
    assert any(not torch.equal(views[0], view) for view in views[1:])
