"""The advice for one student, on tables whose answer is known."""

import numpy as np
import pytest

from peerkd.results.advice import COLUMNS, GroupPredictions, advise, decide
from peerkd.study.objective import Objective
from peerkd.study.splits import EvaluationSets, NumSamples
from tests.tables import answered, control, diverged, record, right

SETS = EvaluationSets(validation=NumSamples(400, 100), test=NumSamples(800, 100))


def after(row, num, *, before=200):
    return answered(row, right(before, of=400), right(num, of=400))


GLOBAL = Objective()


def advice(*rows, objective=GLOBAL, **options):
    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    return advise(columns, objective, SETS, ranks_N=np.zeros(len(rows), dtype=np.int64), **options)


@pytest.mark.parametrize(
    ("rows", "decision", "advised"),
    [
        ([after(control(), 220), after(record(), 260)], "distil", 1),
        ([after(control(), 240), after(record(), 220)], "fine_tune", 0),
        ([after(control(), 240), after(record(), 241)], "fine_tune", 0),
        ([after(control(), 180), after(record(), 190)], "leave", None),
        ([after(control(), 201), after(record(), 201)], "leave", None),
        ([after(record(), 260)], "distil", 0),
        ([after(control(), 240)], "fine_tune", 0),
        ([diverged(after(record(), 380)), after(control(), 240)], "fine_tune", 1),
        ([diverged(record()), diverged(control())], "leave", None),
        ([after(control(), 220), after(record(), 238), after(record(target="student"), 240)], "fine_tune", 2),
        ([after(control(), 220), after(record(), 280), after(record(target="student"), 240)], "distil", 1),
        ([after(record(target="student+prior_adjusted"), 240)], "fine_tune", 0),
        ([], "leave", None),
    ],
    ids=[
        "a teacher that beats both controls",
        "a control that is better",
        "a teacher that beats its control by one sample",
        "training that only harms",
        "gains of one sample",
        "no control",
        "no teacher",
        "a teacher whose student diverged",
        "nothing finite",
        "a teacher that is no better than the student's old self",
        "a teacher that beats the student's old self",
        "no target with a teacher",
        "nothing tried",
    ],
)
def test_the_decision(rows, decision, advised):
    found = advice(*rows)
    assert (found.decision, found.advised) == (decision, advised)


def test_a_single_trial_is_predicted_without_optimism_and_with_its_sampling_noise():
    found = advice(after(record(), 260))
    # 60 of 400 samples became right: the variance of a change is 0.15 - 0.15^2 = 0.1275, plus 1 / 400.
    assert found.gain.value == pytest.approx(0.15, abs=0.002)
    assert found.gain.deviation == pytest.approx(np.sqrt(0.13 / 400), rel=0.1)
    assert found.gain.test_deviation == pytest.approx(np.sqrt(0.13 / 800))
    low, high = found.gain.interval
    assert high - low == pytest.approx(2 * 1.645 * np.hypot(found.gain.deviation, found.gain.test_deviation), rel=1e-3)


def test_the_best_of_many_equal_trials_is_optimistic():
    rng = np.random.default_rng(0)
    before = rng.random(400) < 0.5
    trials = [answered(record(), before, before ^ (rng.random(400) < 0.2)) for _ in range(50)]
    best = max(row["validation_global_accuracy_after"] for row in trials) - before.mean()
    found = advice(*trials)
    assert found.gain.value < best - found.gain.deviation


def test_what_trials_have_in_common_is_no_noise_of_their_difference():
    found = advice(after(control(), 260), after(record(), 262))
    assert found.gain.deviation > 3 * found.advantage.deviation
    assert found.advantage.value == pytest.approx(2 / 400, abs=0.001)


def test_the_advantage_is_that_over_the_best_control():
    found = advice(after(control(), 180), after(control(transfer_set="both", teacher=1), 240), after(record(), 300))
    assert found.control == 1
    assert found.advantage.value == pytest.approx(60 / 400, abs=0.005)


def test_a_distillation_that_was_chosen_in_another_way_is_judged_instead_of_the_best_one():
    rows = after(record(), 300), after(record(temperature=2.0), 260), after(control(), 200)
    found = advice(*rows, distillation=1)
    assert (found.distillation, found.advised) == (1, 1)
    assert found.gain.value < 0.16


def test_own_accuracy_is_judged_by_the_own_set():
    own = {"validation_own_accuracy_before": 0.5}
    rows = (
        {**record(), **own, "validation_own_accuracy_after": 0.9},
        {**record(temperature=2.0), **own, "validation_own_accuracy_after": 0.55},
    )
    assert advice(rows[0], objective=Objective(own_weight=1.0)).decision == "distil"
    assert advice(rows[1], objective=Objective(own_weight=1.0)).decision == "leave"


def test_a_trial_that_breaks_the_limit_is_not_advised():
    limited = Objective(max_own_drop=0.02)
    row = {**after(record(), 300), "validation_own_accuracy_after": 0.3}
    assert advice(row, objective=limited).decision == "leave"
    assert advice({**row, "validation_own_accuracy_after": 0.49}, objective=limited).decision == "distil"


def test_the_same_trials_lead_to_the_same_advice():
    rows = after(record(), 260), after(record(temperature=2.0), 258), after(control(), 240)
    assert advice(*rows) == advice(*rows)


def test_only_the_best_of_very_many_trials_are_drawn(monkeypatch):
    rows = [after(control(), 210), *(after(record(temperature=1.0 + num), 200 - num) for num in range(20))]
    rows.append(after(record(temperature=50.0), 280))
    whole = advice(*rows)
    monkeypatch.setattr("peerkd.results.advice.MAX_COMPARED", 3)
    assert advice(*rows).distillation == whole.distillation == 21
    assert advice(*rows).gain.value == pytest.approx(whole.gain.value, abs=0.005)


@pytest.mark.parametrize(
    ("gain", "control_gain", "advantage", "decision"),
    [
        ((0.02, 0.01), (0.01, 0.005), (0.01, 0.005), "distil"),
        ((0.02, 0.01), (0.01, 0.005), (0.01, 0.02), "fine_tune"),
        ((0.01, 0.02), (0.0, 0.005), (0.01, 0.005), "leave"),
        ((0.02, 0.01), (0.005, 0.01), (0.01, 0.02), "leave"),
        ((0.02, 0.01), None, None, "distil"),
        (None, (0.01, 0.005), None, "fine_tune"),
        (None, None, None, "leave"),
        ((0.01, 0.01), None, None, "leave"),
    ],
)
def test_the_rule(gain, control_gain, advantage, decision):
    pairs = (gain, control_gain, advantage)
    missing = np.nan, np.nan
    predictions = (GroupPredictions(*np.array([*(missing if pair is None else pair), 0.0])[:, None]) for pair in pairs)
    assert decide(*predictions).tolist() == [decision]


def test_a_single_trial_owes_nothing_to_a_choice():
    """The expected gain is the gain on validation, and the advantage is the difference of two such gains."""
    (alone, both) = advice(after(record(), 243)), advice(after(control(), 230), after(record(), 243))
    assert alone.gain.value == pytest.approx(43 / 400, abs=1e-12)
    assert both.control_gain.value == pytest.approx(30 / 400, abs=1e-12)
    assert both.advantage.value == pytest.approx(13 / 400, abs=1e-12)


def test_no_choice_is_less_than_optimistic():
    """Whether trials differ by little or much, the expected gain of the best one never exceeds its observed gain."""
    for nums in ([240, 240], [240, 210], [240, 239, 200, 239], [240, *range(200, 240)]):
        found = advice(*(after(record(), num) for num in nums))
        assert found.gain.value <= 40 / 400 + 1e-12
