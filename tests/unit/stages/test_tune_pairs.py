"""A tuned study of a tiny experiment by a worker in this process, with real trials and a simple tuner."""

import json

import pyarrow.parquet as pq
import pytest

from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.launch.worker import Worker
from peerkd.results.table import read_table
from peerkd.stages import tune_pairs
from tests.tuned_studies import NUM_PAIRS, config, distillations, identity, improve, report, with_setting


@pytest.fixture(scope="module")
def study(tuned):
    return tuned()


def test_the_artifact_is_tables_and_nothing_else(study):
    assert study.names == {"trials.parquet", "choices.parquet", "curve.parquet", "features.parquet"}
    assert study.features.num_rows == NUM_PAIRS


def test_the_manifest_names_the_loss_and_whether_the_tuner_had_experience(study):
    assert study.metadata["loss"] == {"kind": "kl"}
    assert study.metadata["conventions"] == config().distill.conventions.model_dump()
    assert study.metadata["why_no_experience"] is None


def test_a_study_with_another_loss_has_no_experience_and_says_so(tuned, capsys):
    mean = "distill.conventions.reduction=mean tune.max_seconds=1e-9"
    study = tuned(mean)
    why = "the reduction is mean, not batchmean"
    assert f"tune_pairs: the tuner starts without experience: {why}" in capsys.readouterr().out
    assert study.metadata["why_no_experience"] == why
    made = report(config(mean), study)
    page = (study.store.fetch(made.key) / "report.html").read_text()
    assert f"without the experience from full sweeps of digits, because {why}." in page


def test_every_pair_has_a_decision_and_those_to_distil_a_setting(study):
    assert [(row["student"], row["teacher"]) for row in study.choices] == [
        (student, teacher) for student in range(4) for teacher in range(4) if student != teacher
    ]
    for row in study.choices:
        given = [row[name] is not None for name in ("transfer_set", "temperature", "alpha", "distillation_weight")]
        assert given in ([True] * 4, [False] * 4)
        assert all(given) or row["decision"] != "distil"
    assert {row["decision"] for row in study.choices} <= {"distil", "fine_tune", "leave"}
    assert study.metadata["num_pairs_distilled"] == sum(row["decision"] == "distil" for row in study.choices)


def test_a_trial_is_in_the_table_once_with_its_trained_epochs(study):
    assert len({identity(row) for row in study.trials}) == len(study.trials) == study.metadata["num_trials"]
    assert {row["epochs"] for row in distillations(study)} == {1, 4}
    tried = dict.fromkeys(((row["student"], row["teacher"]) for row in study.choices), 0)
    for row in distillations(study):
        tried[row["student"], row["teacher"]] += 1
    assert list(tried.values()) == [row["num_trials"] for row in study.choices]


def test_choices_contain_the_results_of_the_chosen_trials(study):
    trials = {identity(row): row for row in study.trials}
    for row in study.choices:
        trial = trials.get(identity(row))
        if row["transfer_set"] is None:
            assert row["epochs"] == 0
            assert row["validation_gain"] is row["test_gain"] is None
        else:
            assert row["epochs"] == trial["epochs"]
            assert row["validation_gain"] == pytest.approx(trial["validation_global_gain"])
            assert row["predicted_gain"] == row["validation_gain"]
            whole = trial["epochs"] == 4
            assert row["test_gain"] == (pytest.approx(trial["test_global_gain"]) if whole else None)
            assert (row["corrected_gain"] is not None) is whole


def test_each_student_has_a_whole_control_on_its_own_data(study):
    own = [row for row in study.trials if row["distillation_weight"] == 0 and row["teacher"] is None]
    assert [(row["student"], row["transfer_set"], row["epochs"]) for row in own] == [
        (student, "student", 4) for student in range(4)
    ]


def test_a_choice_is_advised_only_beyond_the_noise_of_its_gain_and_of_its_advantage(study):
    for row in with_setting(study):
        if row["decision"] == "distil":
            assert row["corrected_gain"] > 0
            assert row["advantage"] > 0
            assert row["corrected_gain_low"] < row["corrected_gain"] < row["corrected_gain_high"]
            assert row["advantage_low"] < row["advantage"] < row["advantage_high"]
            data = {(each["student"], each["teacher"], each["transfer_set"]) for each in study.trials}
            own = row["student"], None, row["transfer_set"]
            assert {own, (row["student"], row["teacher"], row["transfer_set"])} & data


def test_chosen_trials_were_trained_to_their_last_epoch(study):
    assert {row["epochs"] for row in with_setting(study)} == {4}
    assert study.metadata["num_chosen_whole"] == len(with_setting(study))


def test_the_study_stays_within_its_budget_and_spends_most_of_it(study):
    samples = sum(3 * row["num_transfer_samples"] * row["epochs"] for row in study.trials)
    owners = {"student": ("student",), "teacher": ("teacher",), "both": ("student", "teacher")}
    taught = {
        (row["teacher"], frozenset(row[name] for name in owners[row["transfer_set"]])): row["num_transfer_samples"]
        for row in distillations(study)
    }
    sizes = {row["student"]: row["num_student_samples"] for row in study.features.to_pylist()}
    forward = sum(taught.values()) + 4 * sum(min(size, 256) for size in sizes.values())
    assert study.metadata["spent_samples"] == pytest.approx((samples + forward) / 3)
    assert 0.25 < study.metadata["spent_share"] <= 0.3
    assert [row["spent_share"] for row in study.curve] == sorted(row["spent_share"] for row in study.curve)
    assert study.curve[-1]["spent_share"] == study.metadata["spent_share"]


def test_the_curve_ends_with_the_final_choices(study):
    last = study.curve[-1]
    gains = [row["validation_gain"] or 0.0 for row in study.choices]
    assert last["mean_observed_gain"] == pytest.approx(sum(gains) / NUM_PAIRS)
    assert last["num_trials"] == len(distillations(study))
    assert last["num_pairs_distilled"] == len(with_setting(study))
    iterations = [row["iteration"] for row in study.curve]
    assert iterations == sorted(set(iterations))
    assert iterations[-1] == study.metadata["num_iterations"] - 1
    assert 5 < len(iterations) <= 25


def test_the_same_experiment_gives_the_same_study_with_another_number_of_processes(study, tuned):
    again = tuned("compute.num_workers=1")
    assert again.metadata["fingerprint"] == study.metadata["fingerprint"]
    assert again.choices == study.choices


def test_a_whole_trial_of_a_study_equals_that_of_the_sweep(study, trained):
    """The results are equal to the last bit, although the trial was trained in two parts together with others."""
    from peerkd.stages import distill_pairs
    from peerkd.stages.work import distill_pairs as sweep

    store = FilesystemStore(trained)
    (folder,) = (path.parent for path in trained.glob("pretrain_peers/*/manifest.json"))
    peers = store.find(f"pretrain_peers/{folder.name}")
    sweep.perform(config(), peers, store, Worker())
    found = store.find(distill_pairs.key(config(), peers))
    assert {name: found.metadata[name] for name in ("loss", "target", "conventions")} == config().distill.loss_record
    table = read_table(store.fetch(found.key) / distill_pairs.TABLE_NAME)
    swept = {identity(row): row for row in table.to_pylist()}
    names = [name for name in study.trials[0] if name != "seconds" and "gain_from" not in name]
    whole = [row for row in study.trials if row["epochs"] == 4]
    assert whole
    for row in whole:
        assert [row[name] for name in names] == [swept[identity(row)][name] for name in names]


def test_the_report_of_a_study_says_which_peer_should_learn_from_which(study):
    manifest = report(config(), study)
    assert set(manifest.files) == {"report.html", "plan.csv", "metrics.json", "summary.txt", "cost.csv"}
    folder = study.store.fetch(manifest.key)
    students = {frozenset((row["student"], row["teacher"])) for row in study.choices if row["decision"] == "distil"}
    assert len((folder / "plan.csv").read_text().splitlines()) == 1 + len(students)
    assert "Pairs, each judged alone" in (folder / "report.html").read_text()
    numbers = json.loads((folder / "metrics.json").read_text())
    assert {name: numbers[name] for name in ("loss", "target", "conventions")} == config().distill.loss_record
    assert "  loss: KL divergence, reduction batchmean, " in (folder / "summary.txt").read_text()
    assert numbers["num_pairs_distilled"] == study.metadata["num_pairs_distilled"]
    assert report(config(), study) == manifest


def test_no_iteration_begins_after_the_time_limit_and_a_study_without_trials_is_reported(tuned):
    study = tuned("tune.max_seconds=1e-9")
    assert study.metadata["ended"] == "max_seconds are over"
    assert study.metadata["num_iterations"] == 0
    assert study.metadata["spent_share"] < 0.05
    assert "report.html" in report(config("tune.max_seconds=1e-9"), study).files


def test_a_study_of_both_accuracies_with_a_limit_chooses_by_them(tuned):
    own_weight, limit = 0.25, 0.02
    study = tuned(f"tune.own_weight={own_weight} tune.max_own_drop={limit}")
    trials = {identity(row): row for row in study.trials}
    losses = [row for row in study.trials if row["validation_own_gain"] < -limit]
    assert losses
    chosen = with_setting(study)
    assert chosen
    for row in chosen:
        trial = trials[identity(row)]
        assert trial["validation_own_gain"] >= -limit - 1e-9
        for split in ("validation", "test"):
            mean = (1 - own_weight) * trial[f"{split}_global_gain"] + own_weight * trial[f"{split}_own_gain"]
            assert row[f"{split}_gain"] == pytest.approx(mean)
    page_of = report(config(f"tune.own_weight={own_weight} tune.max_own_drop={limit}"), study)
    for each in improve(config(f"tune.own_weight={own_weight} tune.max_own_drop={limit}"), study).metadata["students"]:
        drop = each["before"]["validation_own_accuracy"] - each["after"]["validation_own_accuracy"]
        assert drop <= limit + 1e-9
    page = (study.store.fetch(page_of.key) / "report.html").read_text()
    assert "accuracy (75 % global, 25 % own)" in page
    assert "loses at most 2 points of its own accuracy" in page
    assert '0.25 <span class="muted">this study</span>' in page


@pytest.fixture(scope="module")
def stopping(tuned):
    return tuned("tune.chooses_epochs=true")


def test_all_epochs_are_measured_and_the_best_is_chosen_if_epochs_are_chosen(stopping):
    names = {split: f"{split}_global_accuracy_by_epoch" for split in ("validation", "test")}
    for row in stopping.trials:
        assert [len(row[name]) for name in names.values()] == [row["epochs"]] * 2
        assert [row[name][-1] for name in names.values()] == [row[f"{split}_global_accuracy_after"] for split in names]
    trials = {identity(row): row for row in stopping.trials}
    chosen = with_setting(stopping)
    for row in chosen:
        trial, stop = trials[identity(row)], row["epochs"] - 1
        gains = [accuracy - trial["validation_global_accuracy_before"] for accuracy in trial[names["validation"]]]
        assert (stop, row["validation_gain"]) == (gains.index(max(gains)), pytest.approx(max(gains)))
        assert row["test_gain"] == pytest.approx(trial[names["test"]][stop] - trial["test_global_accuracy_before"])
    assert {row["epochs"] for row in chosen} != {4}
    assert stopping.metadata["num_chosen_whole"] == len(chosen)


def test_a_trial_in_parts_has_the_accuracies_by_epoch_of_the_sweep(stopping, trained):
    from peerkd.stages import distill_pairs
    from peerkd.stages.work import distill_pairs as sweep

    store = FilesystemStore(trained)
    (folder,) = (path.parent for path in trained.glob("pretrain_peers/*/manifest.json"))
    peers = store.find(f"pretrain_peers/{folder.name}")
    by_epoch = config("sweep.validate_every_epoch=true")
    sweep.perform(by_epoch, peers, store, Worker())
    table = read_table(store.fetch(distill_pairs.key(by_epoch, peers)) / distill_pairs.TABLE_NAME)
    swept = {identity(row): row for row in table.to_pylist()}
    for row in stopping.trials:
        for name in (name for name in row if name.endswith("by_epoch")):
            assert row[name] == swept[identity(row)][name][: row["epochs"]]


def test_the_report_says_after_which_epochs_to_stop(stopping):
    manifest = report(config("tune.chooses_epochs=true"), stopping)
    folder = stopping.store.fetch(manifest.key)
    page = (folder / "report.html").read_text()
    assert "With a stop after their best epoch, the" in page
    lines = [line for line in (folder / "summary.txt").read_text().splitlines() if "should learn from peer" in line]
    assert all(line.endswith(" epochs") for line in lines)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("tune.budget_fraction=0", "tune.budget_fraction must be above 0, got 0."),
        ("tune.budget_fraction=1.5", "tune.budget_fraction must be at most 1, got 1.5."),
        ("tune.max_seconds=0", "tune.max_seconds must be above 0, got 0."),
        ("tune.own_weight=1.1", "tune.own_weight must be at most 1, got 1.1."),
        ("tune.max_own_drop=-0.1", "tune.max_own_drop must be at least 0, got -0.1."),
        ("tune.patience=3", "tune.patience is not a key of the config, got 3."),
    ],
)
def test_bad_values_are_refused_in_one_sentence(override, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        config(override)


@pytest.mark.parametrize(
    ("override", "is_other"),
    [
        ("tune.budget_fraction=0.2", True),
        ("tune.max_seconds=100", True),
        ("tune.experience=false", True),
        ("sweep.selection_metric=own_accuracy", True),
        ("tune.own_weight=0.5", True),
        ("tune.own_weight=0", False),
        ("sweep.selection_metric=own_accuracy tune.own_weight=0", False),
        ("tune.max_own_drop=0.1", True),
        ("tune.chooses_epochs=true", True),
        ("sweep.default_transfer_set=both", True),
        ("sweep.learning_rates=[0.02]", True),
        ("sweep.learning_rates=[]", False),
        ("sweep.default_transfer_set=student", False),
        ("compute.num_workers=7", False),
        ("name=another", False),
    ],
)
def test_the_key_covers_exactly_what_changes_the_study(trained, override, is_other):
    (folder,) = (path.parent for path in trained.glob("pretrain_peers/*/manifest.json"))
    peers = FilesystemStore(trained).find(f"pretrain_peers/{folder.name}")
    assert (tune_pairs.key(config(override), peers) != tune_pairs.key(config(), peers)) == is_other


def test_the_rates_of_a_study_of_one_rate_are_null(study):
    folder = study.store.fetch(study.manifest.key)
    for name in (tune_pairs.TRIALS_NAME, tune_pairs.CHOICES_NAME):
        assert set(pq.read_table(folder / name)["learning_rate"].to_pylist()) == {None}


@pytest.mark.parametrize("more", ["", "tune.chooses_epochs=true"])
def test_better_peers_of_a_study_have_the_values_that_it_had_judged(study, stopping, more):
    chosen_in = stopping if more else study
    better = improve(config(more), chosen_in)
    trained = [each for each in better.metadata["students"] if each["decision"] != "leave"]
    assert trained
    assert better.metadata["num_trials"] == len(trained)
    judged = [row for row in chosen_in.trials if row["epochs"] == 4]
    for each in trained:
        assert each["is_reproduced"] is True
        name = "test_global_accuracy"
        values = [row[f"{name}_after"] for row in judged if row["student"] == each["student"]]
        if more:
            values += [
                value for row in judged if row["student"] == each["student"] for value in row[f"{name}_by_epoch"]
            ]
        assert each["after"][name] in values
