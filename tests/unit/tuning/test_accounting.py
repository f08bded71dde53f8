import numpy as np
import pytest

from peerkd.tuning.accounting import CostLedger, feature_forward_samples
from peerkd.tuning.protocol import Suggestion
from peerkd.tuning.space import SettingOnSet, Space

SIZES = (100, 200, 400)
"""Sizes of the training sets of three peers. The public set has 50 samples."""

SETS = ("student", "teacher", "both", "public")
SETTINGS = tuple(SettingOnSet(name, t, 0.5, 0.5) for name in SETS for t in (1.0, 2.0))
NUM_EPOCHS = 4


def space(feature_names: tuple[str, ...] = ()) -> Space:
    pairs = [(student, teacher) for student in range(3) for teacher in range(3) if student != teacher]
    students, teachers = np.array(pairs).T
    samples = [
        [
            {"student": SIZES[i], "teacher": SIZES[j], "both": SIZES[i] + SIZES[j]}.get(s.transfer_set, 50)
            for s in SETTINGS
        ]
        for i, j in pairs
    ]
    return Space(
        students_Q=students,
        teachers_Q=teachers,
        settings=SETTINGS,
        default_setting=0,
        num_samples_QS=np.array(samples),
        num_epochs=NUM_EPOCHS,
        feature_names=feature_names,
        features_QF=np.array([[float(SIZES[i])] * len(feature_names) for i, _ in pairs]),
    )


def place(transfer_set: str, temperature: float = 1.0) -> int:
    (found,) = [n for n, s in enumerate(SETTINGS) if (s.transfer_set, s.temperature) == (transfer_set, temperature)]
    return found


def test_a_trial_costs_its_samples_and_the_teachers_forward_passes() -> None:
    account = CostLedger(space())
    ask = Suggestion(0, place("student"), 4)  # student 0, teacher 1
    assert account.price(ask) == pytest.approx(100 * 4 + 100 / 3)
    account.charge(ask)
    assert account.spent == pytest.approx(100 * 4 + 100 / 3)
    # The teacher's forward passes on these samples are done, so another setting costs only its training.
    account.charge(Suggestion(0, place("student", 2.0), 4))
    assert account.spent == pytest.approx(2 * 100 * 4 + 100 / 3)


def test_continuing_a_trial_costs_the_difference() -> None:
    account = CostLedger(space())
    for num_epochs in (1, 3, 4):
        account.charge(Suggestion(0, place("both"), num_epochs))
    assert account.spent == pytest.approx(300 * 4 + 300 / 3)
    assert (account.num_pairs_tried, account.num_trials) == (1, 1)


def test_augmented_samples_need_the_teachers_forward_pass_in_each_epoch() -> None:
    account = CostLedger(space(), is_augmented=True)
    account.charge(Suggestion(0, place("student"), 1))
    account.charge(Suggestion(0, place("student"), 3))
    assert account.spent == pytest.approx(100 * 3 + 3 * 100 / 3)
    # Another setting needs forward passes on the views of one more epoch.
    account.charge(Suggestion(0, place("student", 2.0), 4))
    assert account.spent == pytest.approx(100 * 7 + 4 * 100 / 3)


def test_forward_passes_on_the_teachers_and_the_public_set_serve_all_students() -> None:
    # Pairs in order: (0,1) (0,2) (1,0) (1,2) (2,0) (2,1).
    for name, samples in (("teacher", 200), ("public", 50)):
        account = CostLedger(space())
        account.charge(Suggestion(0, place(name), 4))
        account.charge(Suggestion(5, place(name), 4))
        assert account.spent == pytest.approx(2 * 4 * samples + samples / 3)


def test_each_teacher_needs_its_own_forward_passes_on_a_union() -> None:
    account = CostLedger(space())
    account.charge(Suggestion(0, place("both"), 4))
    account.charge(Suggestion(2, place("both"), 4))
    assert account.spent == pytest.approx(2 * (4 * 300 + 300 / 3))


@pytest.mark.parametrize(("is_augmented", "num_looks"), [(False, 1), (True, 4)])
def test_the_price_of_the_full_sweep_is_that_of_charging_every_trial(is_augmented: bool, num_looks: int) -> None:
    account = CostLedger(space(), is_augmented=is_augmented)
    trained = sum(SIZES) * 2 + sum(SIZES) * 2 + 2 * sum(SIZES) * 2 + 6 * 50
    # Forward passes are needed once per teacher on the teacher's and the public set, else once per pair.
    taught = sum(SIZES) * 2 + sum(SIZES) + 2 * sum(SIZES) * 2 + 3 * 50
    assert account.full == pytest.approx(2 * 4 * trained + num_looks * taught / 3)
    for pair in range(6):
        for setting in range(len(SETTINGS)):
            account.charge(Suggestion(pair, setting, 2))
            account.charge(Suggestion(pair, setting, 4))
    assert account.spent == account.full
    assert account.spent_share == 1


def test_a_trial_fits_into_a_budget_of_exactly_its_cost() -> None:
    account, ask = CostLedger(space()), Suggestion(0, place("student"), 4)
    share = account.price(ask) / account.full
    assert account.fits(ask, share * (1 + 1e-12))
    assert not account.fits(ask, share * (1 - 1e-9))


def test_a_finished_trial_cannot_be_charged_again() -> None:
    account = CostLedger(space())
    account.charge(Suggestion(0, 0, 2))
    for num_epochs in (1, 2, 5):
        with pytest.raises(
            ValueError, match=f"num_epochs must be above 2, which is done, and at most 4, got {num_epochs}"
        ):
            account.price(Suggestion(0, 0, num_epochs))
    with pytest.raises(ValueError, match="num_epochs must be above 0"):
        account.charge(Suggestion(1, 0, 0))


def test_features_cost_forward_passes_of_every_peer_on_samples_of_every_peer() -> None:
    named = space(("num_student_samples",))
    assert feature_forward_samples(named) == 3 * (100 + 200 + 256)
    assert feature_forward_samples(space()) == 0
    # Peers 0 and 2 are no pair.
    assert feature_forward_samples(named.restricted([0, 2, 3, 5])) == 2 * 100 + 3 * 200 + 2 * 256
    account = CostLedger(named)
    account.charge_forward(300)
    assert account.spent == 100


@pytest.mark.parametrize("is_augmented", [False, True])
def test_several_prices_at_once_equal_those_of_one_by_one(is_augmented: bool) -> None:
    account = CostLedger(space(), is_augmented=is_augmented)
    for ask in (
        Suggestion(0, place("student"), 2),
        Suggestion(0, place("both"), 1),
        Suggestion(3, place("teacher"), 4),
    ):
        account.charge(ask)
    pairs = [5, 0, 3]
    found_PRS = account.prices(pairs, np.array([4, 3]))
    open_to_all = [s for s in range(len(SETTINGS)) if s != place("teacher")]
    for pair, found_RS in zip(pairs, found_PRS, strict=True):
        for num_epochs, found_S in zip((4, 3), found_RS, strict=True):
            wanted = [account.price(Suggestion(pair, s, num_epochs)) for s in open_to_all]
            assert found_S[open_to_all].tolist() == pytest.approx(wanted)
