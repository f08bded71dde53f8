"""The teacher's part of a gain, worked out by hand."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.teacher_part.__main__ import main
from benchmarks.teacher_part.controls import Control, measure_controls, section
from benchmarks.teacher_part.measure import COLUMNS, Combination, measure
from benchmarks.teacher_part.report import document, mean_over_seeds

KL = {"loss": "kl", "target": "teacher"}


def row(validation: float | None, test: float | None, **changes: object) -> dict[str, object]:
    return {
        "student": 0,
        "teacher": 1,
        "transfer_set": "student",
        "loss": "kl",
        "target": "teacher",
        "temperature": 1.0,
        "distillation_weight": 0.5,
        "is_finite": validation is not None,
        "validation_global_gain": validation,
        "test_global_gain": test,
        "test_own_gain": None if test is None else -test,
        **changes,
    }


def control(validation: float, test: float, **changes: object) -> dict[str, object]:
    return row(validation, test, loss=None, target=None, temperature=None, distillation_weight=0.0, **changes)


def table(*rows: dict[str, object]) -> pa.Table:
    return pa.table({name: [each[name] for each in rows] for name in (*COLUMNS, "test_own_gain")})


def test_setting_and_baseline_are_chosen_on_validation_and_reported_on_test() -> None:
    (gains,) = measure(
        table(
            row(0.01, 0.50),
            row(0.04, 0.03, temperature=4.0),
            row(None, None, temperature=8.0),
            control(0.02, 0.01, teacher=None),
        )
    ).values()
    assert (gains.tuned, gains.untuned, gains.baseline) == (0.03, 0.5, 0.01)
    assert gains.tuned_part == pytest.approx(0.02)


def test_without_a_gain_on_validation_the_student_stays_unchanged() -> None:
    (gains,) = measure(table(row(-0.1, 0.3), control(0.0, 0.2, teacher=None))).values()
    assert gains == (0.0, 0.0, 0.0)


def test_a_baseline_has_no_labels_that_the_student_would_not_have() -> None:
    found = measure(
        table(
            row(0.1, 0.1, transfer_set="student_and_public"),
            row(0.1, 0.1, transfer_set="both"),
            row(0.1, 0.1, transfer_set="public_unlabelled", distillation_weight=1.0),
            control(0.01, 0.01, transfer_set="student", teacher=None),
            control(0.02, 0.02, transfer_set="both"),
            control(0.09, 0.09, transfer_set="both", teacher=2),
            control(0.05, 0.05, transfer_set="teacher"),
            control(0.08, 0.08, student=3, teacher=None),
        )
    )
    assert {each.transfer_set: gains.baseline for each, gains in found.items()} == {
        "student_and_public": 0.01,
        "both": 0.02,
        "public_unlabelled": 0.01,
    }
    assert found[Combination("public_unlabelled", "kl", "teacher")].untuned == 0.1


def test_a_training_towards_the_old_self_is_a_baseline_and_no_combination() -> None:
    found = measure(table(row(0.1, 0.1), row(0.2, 0.06, target="student"), control(0.02, 0.02, teacher=None)))
    assert found == {Combination("student", "kl", "teacher"): (0.1, 0.1, 0.06)}


def test_single_controls_are_means_over_trials_with_intervals_over_seeds() -> None:
    def of_seed(gain: float) -> pa.Table:
        return table(
            row(0.9, 0.9),
            row(0.1, gain, target="student", loss="wttm", temperature=2.0),
            row(0.1, gain + 0.02, target="student", loss="wttm", temperature=2.0, teacher=2),
            row(None, None, target="student", loss="wttm", temperature=2.0, student=3),
            row(0.1, 0.5, target="student", transfer_set="public_unlabelled", distillation_weight=1.0),
            control(0.02, 0.001, teacher=None),
        )

    by_seed = [measure_controls(of_seed(gain)) for gain in (0.04, 0.06)]
    assert by_seed[0] == {
        Control(None, None, 0.0): (0.001, -0.001),
        Control("wttm", 2.0, 0.5): (pytest.approx(0.05), pytest.approx(-0.05)),
    }
    lines = section(by_seed).splitlines()[4:]
    assert lines[0] == "| fine-tuning |  | 0 | +0.10 (+0.10 to +0.10) | -0.10 (-0.10 to -0.10) |"
    # The means of the seeds are 5 and 7 points: the standard error is 1 point.
    assert lines[1] == "| wttm | 2 | 0.5 | +6.00 (-6.71 to +18.71) | -6.00 (-18.71 to +6.71) |"


def test_a_trial_at_temperature_1_stands_for_all_losses_that_compute_the_same() -> None:
    found = measure(table(row(0.2, 0.2), row(0.1, 0.1, loss="wttm", temperature=4.0)))
    assert found[Combination("student", "wttm", "teacher")][:2] == (0.2, 0.2)
    assert found[Combination("student", "kl", "teacher")][:2] == (0.2, 0.2)


def test_means_are_over_pairs_and_intervals_over_seeds() -> None:
    (gains,) = measure(table(row(0.1, 0.1), row(0.1, 0.3, teacher=2))).values()
    assert gains.tuned == pytest.approx(0.2)
    estimate = mean_over_seeds([0.01, 0.03])
    # The standard error is 0.01, and the quantile of t with one degree of freedom is 12.706.
    assert (estimate.value, estimate.low) == pytest.approx((0.02, 0.02 - 0.12706), abs=1e-5)
    assert np.isnan(mean_over_seeds([0.01]).low)


def test_the_document_shows_targets_losses_and_the_best() -> None:
    by_seed = [
        measure(
            table(
                row(0.1, 0.1),
                row(0.1, 0.2, target="masks"),
                row(0.2, 0.3 + seed / 1000, loss="ttm", target="masks", temperature=4.0),
            )
        )
        for seed in range(3)
    ]
    targets, losses, best = document(by_seed, loss="kl", target="teacher").split("## ")[1:]
    assert targets.startswith("Targets, with the loss kl")
    assert [line.split(" | ")[1:3] for line in targets.splitlines()[4:6]] == [["kl", "teacher"], ["kl", "masks"]]
    assert losses.startswith("Losses, with the target teacher")
    assert best.splitlines()[4].startswith(
        "| student | ttm | masks | +0.00 (+0.00 to +0.00) | +30.10 (+29.85 to +30.35)"
    )


@pytest.mark.slow
def test_the_command_runs_sweeps_and_prints_what_it_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--seeds", "0", "--runs", str(tmp_path / "runs"), "--output", str(tmp_path / "part.md")]
    words += ["--transfer-sets", "student", "student_and_public", "--losses", "kl", "ttm"]
    words += ["--targets", "teacher", "class_counts+prior_adjusted", "--temperatures", "[2]", "--alphas", "[0.5]"]
    for setting in (
        "partition.num_peers=2",
        "data.max_train_samples=150",
        "data.max_test_samples=60",
        "pretrain.epochs=1",
        "distill.epochs=1",
        "peers.architectures=[mlp]",
    ):
        words += ["--set", setting]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "part.md").read_text()
    assert "| student_and_public | ttm | class_counts+prior_adjusted | " in printed
    assert "| unknown |" in printed
    (kept,) = (tmp_path / "runs").glob("seed-0/distill_pairs/*/trials.parquet")
    assert main(["--tables", str(kept), "--losses", "kl", "--targets", "teacher"]) == 0
    single = capsys.readouterr().out.partition("## Single trainings")[2]
    assert single
    assert single in printed
