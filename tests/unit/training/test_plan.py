import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerkd.config.experiment import ExperimentConfig
from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.study.transfer_sets import set_owners
from peerkd.training.inputs import state_name
from peerkd.training.plan import Setting, Trial, Unit, plan, record_identity, settings, without

TRANSFER_SETS = ["student", "teacher", "both", "public", "public_unlabelled"]


def experiment(**overrides: object) -> ExperimentConfig:
    pairs = " ".join(f"{key.replace('__', '.')}={value}" for key, value in overrides.items()).replace("'", "")
    return resolve(JOINTKD, preset="digits", overrides=pairs.replace(", ", ","))


RATES = st.lists(st.sampled_from([0.01, 0.02, 0.1]), unique=True)


def enumerated(config: ExperimentConfig) -> list[Unit]:
    """All units, made one after another by going through all pairs: what the plan makes when asked."""
    peers = range(config.partition.num_peers)
    pairs = [(student, teacher) for student in peers for teacher in peers if student != teacher]
    weighs_distillation = config.distill.conventions.alpha_weighs == "distillation"
    rates = (
        sorted({*config.sweep.learning_rates, config.distill.learning_rate}) if config.sweep.learning_rates else [None]
    )
    controls = [Setting(None, 0.0 if weighs_distillation else 1.0, 0.0, rate) for rate in rates]
    units = []
    for transfer_set in config.sweep.transfer_sets:
        groups: dict[tuple[tuple[int, ...], int | None], list[Trial]] = {}
        for student, teacher in pairs:
            key = (set_owners(transfer_set, student=student, teacher=teacher), teacher)
            grid = settings(config, transfer_set)
            groups.setdefault(key, []).extend(Trial(student, teacher, transfer_set, setting) for setting in grid)
        if transfer_set in ("student", "public"):
            controlled = [(student, None) for student in peers]
        else:
            controlled = [] if transfer_set == "public_unlabelled" else pairs
        for student, teacher in controlled:
            owners = set_owners(transfer_set, student=student, teacher=student if teacher is None else teacher)
            groups.setdefault((owners, None), []).extend(
                Trial(student, teacher, transfer_set, control) for control in controls
            )
        units += [Unit(owners=owners, teacher=teacher, trials=tuple(t)) for (owners, teacher), t in groups.items()]
    return sorted(units, key=lambda unit: -len(unit.trials) * max(len(unit.owners), 1))


def trials(config: ExperimentConfig):
    return [trial for unit in plan(config) for trial in unit.trials]


def test_the_digits_sweep_has_every_setting_of_every_ordered_pair_and_190_controls():
    sweep = trials(experiment())
    controls = [trial for trial in sweep if trial.setting.distillation_weight == 0]
    assert len(sweep) - len(controls) == 90 * 3 * 4 * 5
    # Ten students on their own data; ninety pairs on the teacher's data, and ninety on both.
    assert len(controls) == 10 + 90 + 90


@given(
    num_peers=st.integers(2, 5),
    transfer_sets=st.lists(st.sampled_from(TRANSFER_SETS), min_size=1, unique=True),
    alphas=st.lists(st.sampled_from([0, 0.25, 0.5, 1]), min_size=1, unique=True),
    alpha_weighs=st.sampled_from(["distillation", "cross_entropy"]),
    rates=RATES,
)
def test_no_trial_is_planned_twice_and_each_pair_has_each_setting(
    num_peers, transfer_sets, alphas, alpha_weighs, rates
):
    config = experiment(
        partition__num_peers=num_peers,
        partition__public_fraction=0.1,
        sweep__transfer_sets=transfer_sets,
        sweep__alphas=alphas,
        sweep__learning_rates=rates,
        distill__conventions__alpha_weighs=alpha_weighs,
    )
    sweep = trials(config)
    assert len({trial.identity for trial in sweep}) == len(sweep)
    for transfer_set in transfer_sets:
        grid = settings(config, transfer_set)
        for student in range(num_peers):
            for teacher in set(range(num_peers)) - {student}:
                planned = {
                    trial.setting
                    for trial in sweep
                    if (trial.student, trial.teacher, trial.transfer_set) == (student, teacher, transfer_set)
                    and trial.setting.distillation_weight > 0
                }
                assert planned == set(grid)


@given(
    num_peers=st.integers(2, 7),
    transfer_sets=st.lists(st.sampled_from(TRANSFER_SETS), min_size=1, unique=True),
    alpha_weighs=st.sampled_from(["distillation", "cross_entropy"]),
    rates=RATES,
    part=st.tuples(st.integers(-40, 40), st.integers(-40, 40), st.sampled_from([1, 1, 2, -1])),
)
def test_units_that_are_made_when_asked_for_are_those_of_going_through_all_pairs(
    num_peers, transfer_sets, alpha_weighs, rates, part
):
    config = experiment(
        partition__num_peers=num_peers,
        partition__public_fraction=0.1,
        sweep__transfer_sets=transfer_sets,
        sweep__learning_rates=rates,
        distill__conventions__alpha_weighs=alpha_weighs,
    )
    planned, units = plan(config), enumerated(config)
    assert list(planned) == units
    assert len(planned) == len(units)
    assert planned.num_trials == sum(len(unit.trials) for unit in units)
    some = slice(*part)
    assert list(planned[some]) == units[some]
    assert planned[some].num_trials == sum(len(unit.trials) for unit in units[some])
    assert planned[-1] == units[-1]
    with pytest.raises(IndexError):
        planned[len(units)]


def test_the_plan_of_a_thousand_peers_is_there_at_once():
    planned = plan(experiment(partition__num_peers=1_000))
    num_pairs = 1_000 * 999
    assert planned.num_trials == num_pairs * 20 * 3 + 1_000 + num_pairs * 2
    assert planned[2_000_000:][0].trials[0] == planned[2_000_000].trials[0]


def test_the_untuned_default_is_tried_even_if_the_grid_lacks_it():
    config = experiment(sweep__temperatures=[2], sweep__alphas=[0.9])
    assert settings(config, "student") == (Setting(1.0, 0.5, 0.5), Setting(2.0, 0.9, 0.9))


def test_a_control_stands_for_every_temperature_and_for_an_alpha_of_zero_in_the_grid():
    config = experiment(partition__num_peers=2, sweep__alphas=[0, 0.5], sweep__transfer_sets=["student"])
    controls = [trial for trial in trials(config) if trial.setting.distillation_weight == 0]
    assert [(trial.student, trial.teacher, trial.setting.temperature) for trial in controls] == [
        (0, None, None),
        (1, None, None),
    ]


def test_without_labels_the_divergence_is_the_whole_loss_and_there_is_no_control():
    config = experiment(
        partition__public_fraction=0.1, sweep__transfer_sets=["public_unlabelled"], sweep__temperatures=[1, 4]
    )
    assert settings(config, "public_unlabelled") == (Setting(1.0, 1.0, 1.0), Setting(4.0, 1.0, 1.0))
    assert all(trial.setting.distillation_weight == 1 for trial in trials(config))


def test_alpha_can_weigh_the_cross_entropy():
    config = experiment(sweep__alphas=[0.2], distill__conventions__alpha_weighs="cross_entropy")
    assert Setting(4.0, 0.2, 0.8) in settings(config, "student")


def test_a_unit_has_one_teacher_and_one_transfer_set():
    for unit in plan(experiment(partition__num_peers=4)):
        for trial in unit.trials:
            assert trial.setting.distillation_weight == 0 or trial.teacher == unit.teacher
            owners = {"student": {trial.student}, "teacher": {trial.teacher}, "both": {trial.student, trial.teacher}}
            assert set(unit.owners) == owners[trial.transfer_set]


@pytest.mark.parametrize("num_done", [0, 1, 100, 5590])
def test_what_is_done_is_not_planned_again(num_done):
    config = experiment()
    everything = trials(config)
    done = {trial.identity for trial in everything[:num_done]}
    left = [trial for unit in without(plan(config), done) for trial in unit.trials]
    assert {trial.identity for trial in left} == {trial.identity for trial in everything} - done
    assert len(left) == len(everything) - num_done


def test_a_record_has_the_identity_of_its_trial():
    trial = trials(experiment())[0]
    record = {
        "student": trial.student,
        "teacher": trial.teacher,
        "transfer_set": trial.transfer_set,
        "temperature": trial.setting.temperature,
        "alpha": trial.setting.alpha,
        "seconds": 0.1,
    }
    assert record_identity(record) == trial.identity
    assert record_identity(record | {"learning_rate": 0.1}) == (*trial.identity, 0.1)


def test_every_setting_and_the_controls_are_tried_at_every_rate_and_the_default_at_the_recipes():
    config = experiment(
        partition__num_peers=2,
        sweep__transfer_sets=["student"],
        sweep__temperatures=[4],
        sweep__alphas=[0.9],
        sweep__learning_rates=[0.1, 0.005],
        distill__learning_rate=0.02,
    )
    assert [trial.setting for trial in trials(config) if trial[:2] == (0, 1)] == [
        Setting(4.0, 0.9, 0.9, 0.005),
        Setting(1.0, 0.5, 0.5, 0.02),
        Setting(4.0, 0.9, 0.9, 0.1),
    ]
    assert [trial.setting for trial in trials(config) if trial[:2] == (0, None)] == [
        Setting(None, 0.0, 0.0, rate) for rate in (0.005, 0.02, 0.1)
    ]


def test_without_rates_trials_are_what_they_were_before_there_were_any():
    config = experiment()
    trial = plan(config)[0].trials[0]
    assert trial.setting == (1.0, 0.1, 0.1, None)
    assert trial.identity == (trial.student, trial.teacher, trial.transfer_set, 1.0, 0.1)
    assert (
        state_name(trial, num_epochs=2)
        == f"{trial.student:04d}-{trial.teacher:04d}-{trial.transfer_set}-1.0-0.1-2.safetensors"
    )
    with_rate = trial._replace(setting=trial.setting._replace(learning_rate=0.02))
    assert state_name(with_rate, num_epochs=2) == state_name(trial, num_epochs=2).replace("-2.", "-0.02-2.")


def test_peers_that_diverged_are_in_no_trial_and_the_others_in_all() -> None:
    config = experiment(partition__num_peers=6)
    peers = (0, 2, 5)
    kept = list(plan(config, peers=peers))
    left_out = {1, 3, 4}
    for unit in kept:
        assert not left_out & {*unit.owners, unit.teacher, *(trial.student for trial in unit.trials)}
    wanted = {
        trial
        for unit in plan(config)
        for trial in unit.trials
        if not left_out & {trial.student, trial.teacher, *unit.owners}
    }
    trials = [trial for unit in kept for trial in unit.trials]
    assert set(trials) == wanted
    assert len(trials) == len(wanted) == plan(config, peers=peers).num_trials
