"""Better peers after a tiny sweep: what is chosen, and that a published network is the one that was judged."""

import json
import shutil
import signal
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from peerkd.artifacts import references
from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.data.partition.assignment import Assignment
from peerkd.launch.worker import Worker
from peerkd.reporting.model_card import from_json
from peerkd.results.advice import COLUMNS, advise
from peerkd.results.reproduction import find_row
from peerkd.results.table import read_table, write_table
from peerkd.stages import distill_pairs, improve_peers, partition_data, pretrain_peers
from peerkd.stages.division import evaluation_sets
from peerkd.stages.shard_queue import ShardQueue
from peerkd.stages.work import improve_peers as work
from peerkd.stages.work.improving import judged
from peerkd.study.objective import objective_of
from peerkd.study.plan import plan
from peerkd.study.trials import record_identity
from peerkd.training.inputs import EngineChoice, SweepInputs
from peerkd.training.sweep import SweepRunner
from peerkd.training.trial_state import load_state, state_path

OVERRIDES = (
    "partition.num_peers=4 data.max_train_samples=600 pretrain.epochs=3 distill.epochs=2 "
    "peers.architectures=[mlp,mlp,small_cnn,mlp] sweep.temperatures=[1,4] sweep.alphas=[0.5,0.9] compute.device=cpu"
)
HERE = Worker(is_in_process=True)


def config(more=""):
    return resolve(JOINTKD, preset="digits", overrides=f"{OVERRIDES} {more}")


def sweep(store, settings):
    partition = partition_data.partition(settings, store)
    peers = pretrain_peers.STAGE.make(settings, partition, store)
    return distill_pairs.STAGE.make(settings, peers, store)


class Improved:
    """The artifact of a sweep, and everything that it was made of."""

    def __init__(self, root, settings):
        self.root, self.config = root, settings
        self.store = store = FilesystemStore(root)
        self.trials = sweep(store, settings)
        self.manifest = improve_peers.STAGE.make(settings, self.trials, store)
        self.folder = store.fetch(self.manifest.key)
        self.table = read_table(store.fetch(self.trials.key) / distill_pairs.TABLE_NAME).to_pylist()
        self.peers = references.follow(self.trials.metadata["inputs"]["peers"], store)
        self.partition = references.follow(self.peers.metadata["inputs"]["partition"], store)
        self.dataset = references.follow(self.partition.metadata["inputs"]["dataset"], store)

    def card(self, student):
        return from_json((self.folder / f"student-{student:03d}.json").read_text())

    def weights(self, student):
        return load_file(self.folder / f"student-{student:03d}.safetensors")


@pytest.fixture(scope="module")
def improved(tmp_path_factory):
    return Improved(tmp_path_factory.mktemp("store"), config())


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A sweep after which learning from the teacher is better than both controls, far beyond their noise.

    Each peer has few classes, and both make the target on public data, so that neither forgets what only it knows.
    """
    overrides = (
        "partition.num_peers=2 peers.architectures=[mlp] partition.label_skew.concentration=0.1 "
        "data.max_train_samples=1000 partition.public_fraction=0.4 pretrain.epochs=15 distill.epochs=10 "
        "sweep.transfer_sets=[student_and_public] sweep.temperatures=[1] sweep.alphas=[0.9] "
        "distill.target.kind=class_counts distill.target.prior_adjusted=true"
    )
    return Improved(tmp_path_factory.mktemp("taught"), config(overrides))


def best_by_hand(rows, decision, metric="validation_global_accuracy"):
    """Return the row that a student with a decision should be trained as, or None, in plain Python."""

    def rank(row):
        is_default = (row["temperature"] == 1.0) + (row["alpha"] == 0.5) + (row["transfer_set"] == "student")
        return round(row[f"{metric}_after"], 9), is_default

    is_control = {"fine_tune": True, "distil": False}
    return max(
        (row for row in rows if decision != "leave" and (row["temperature"] is None) == is_control[decision]),
        key=rank,
        default=None,
    )


def decision_by_rule(improved, rows, settings):
    """Return the decision that follows from all trials of a student."""
    (student,) = {row["student"] for row in rows}
    sets = evaluation_sets(improved.partition.metadata)[student]
    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    ranks_N = np.zeros(len(rows), dtype=np.int64)
    return advise(columns, objective_of(settings.sweep.selection_metric), sets, ranks_N=ranks_N).decision


def setting(card):
    chosen = card.setting
    return chosen and (chosen.teacher, chosen.transfer_set, chosen.temperature, chosen.alpha)


def row_setting(row):
    return row and (row["teacher"], row["transfer_set"], row["temperature"], row["alpha"])


def test_each_student_has_a_network_and_a_card_in_two_forms(improved):
    stems = [f"student-{student:03d}" for student in range(4)]
    assert set(improved.manifest.files) == {f"{stem}.{end}" for stem in stems for end in ("safetensors", "json", "md")}


@pytest.mark.parametrize("metric", ["global_accuracy", "own_accuracy"])
def test_the_choice_is_the_best_trial_of_its_kind_by_the_rule_of_all_advice(improved, metric):
    settings = config(f"sweep.selection_metric={metric}")
    of_metric = improved if metric == "global_accuracy" else Improved(improved.root, settings)
    for student in range(4):
        rows = [row for row in improved.table if row["student"] == student]
        card = of_metric.card(student)
        assert card.decision == decision_by_rule(improved, rows, settings)
        assert setting(card) == row_setting(best_by_hand(rows, card.decision, f"validation_{metric}"))
    assert {each["decision"] for each in improved.manifest.metadata["students"]} != {"leave"}


def test_every_published_training_has_the_values_that_the_sweep_had_judged(improved):
    for student in range(4):
        card = improved.card(student)
        assert card.is_reproduced is (None if card.decision == "leave" else True)
        rows = [row for row in improved.table if row["student"] == student]
        chosen = best_by_hand(rows, card.decision)
        for name, value in card.accuracy_before.items():
            assert value == rows[0][f"{name}_before"]
            assert card.accuracy_after[name] == (chosen or rows[0])[f"{name}_{'after' if chosen else 'before'}"]


def test_a_published_network_has_the_bits_of_its_trial_trained_beside_all_others(improved, tmp_path):
    inputs = SweepInputs(
        config=improved.config,
        dataset_folder=improved.store.fetch(improved.dataset.key),
        partition_folder=improved.store.fetch(improved.partition.key),
        peers_folder=improved.store.fetch(improved.peers.key),
        device="cpu",
        states_folder=tmp_path,
    )
    runner = SweepRunner(inputs, device=torch.device("cpu"))
    num_compared = 0
    for unit in plan(improved.config.grid, range(4)):
        for record in runner.do(unit):
            assert not isinstance(record, EngineChoice)
        for trial in unit.trials:
            chosen = (trial.teacher, trial.transfer_set, trial.setting.temperature, trial.setting.alpha)
            if chosen == setting(improved.card(trial.student)):
                judged = load_state(state_path(tmp_path, trial, num_epochs=2)).weights
                published = improved.weights(trial.student)
                assert published.keys() == judged.keys()
                assert all(torch.equal(published[name], judged[name]) for name in judged)
                num_compared += 1
    assert num_compared == sum(improved.card(student).decision != "leave" for student in range(4)) > 0


def test_a_student_that_a_teacher_improves_is_published_with_the_bits_of_its_distillation(taught, tmp_path):
    inputs = SweepInputs(
        config=taught.config,
        dataset_folder=taught.store.fetch(taught.dataset.key),
        partition_folder=taught.store.fetch(taught.partition.key),
        peers_folder=taught.store.fetch(taught.peers.key),
        device="cpu",
        states_folder=tmp_path,
    )
    runner = SweepRunner(inputs, device=torch.device("cpu"))
    trials = {}
    for unit in plan(taught.config.grid, range(2)):
        assert len(list(runner.do(unit))) == len(unit.trials)
        trials |= {trial.identity: trial for trial in unit.trials}
    for student in (0, 1):
        card, rows = taught.card(student), [row for row in taught.table if row["student"] == student]
        best = best_by_hand(rows, "distil")
        assert (card.decision, card.setting.teacher, card.is_reproduced) == ("distil", 1 - student, True)
        assert setting(card) == row_setting(best)
        assert card.accuracy_after["test_global_accuracy"] == best["test_global_accuracy_after"]
        judged = load_state(state_path(tmp_path, trials[record_identity(best)], num_epochs=10)).weights
        assert all(torch.equal(taught.weights(student)[name], judged[name]) for name in judged)
    students = taught.manifest.metadata["students"]
    assert [(each["decision"], each["teacher"]) for each in students] == [("distil", 1), ("distil", 0)]


def test_plain_torch_finds_the_accuracies_of_the_card(improved):
    """The network of a user, and the images of the data set as they are on disk."""
    dataset = improved.store.fetch(improved.dataset.key)
    images, labels = (np.load(dataset / f"{name}.npy") for name in ("images", "labels"))
    assignment = Assignment.load(improved.store.fetch(improved.partition.key))
    for student in (0, 1, 3):
        card = improved.card(student)
        network = nn.Sequential(
            OrderedDict(
                hidden1=nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU()),
                hidden2=nn.Sequential(nn.Linear(64, 64), nn.ReLU()),
                classifier=nn.Linear(64, 10),
            )
        )
        network.load_state_dict(improved.weights(student))
        for name, indices in {
            "validation_global": assignment.validation,
            "validation_own": assignment.own_validation[student],
            "test_global": assignment.test,
            "test_own": assignment.own_test[student],
        }.items():
            pixels = torch.from_numpy(images[indices]).float() / 255
            inputs = (pixels - card.channel_mean[0]) / card.channel_std[0]
            with torch.inference_mode():
                predicted = network(inputs).argmax(dim=1).numpy()
            assert card.num_samples[name] == len(indices)
            assert card.accuracy_after[f"{name}_accuracy"] == np.mean(predicted == labels[indices])


def test_a_student_that_nothing_improves_is_published_unchanged(improved, tmp_path):
    """A learning rate of almost 0 lets every training end where it began, and a tie is no evidence."""
    shutil.copytree(improved.root, tmp_path / "store")
    still = Improved(tmp_path / "store", config("distill.learning_rate=1e-30"))
    # The running statistics of student 2, which has batch normalisation, change at any learning rate.
    for student in (0, 1, 3):
        card, before = (
            still.card(student),
            load_file(still.store.fetch(still.peers.key) / f"peer-{student:03d}.safetensors"),
        )
        assert card.decision == "leave"
        assert card.setting is card.is_reproduced is None
        assert card.accuracy_after == card.accuracy_before
        assert all(torch.equal(before[name], tensor) for name, tensor in still.weights(student).items())
        page = (still.folder / f"student-{student:03d}.md").read_text()
        assert "The student was left unchanged" in page


def test_a_training_that_ends_in_other_values_is_published_with_a_warning(improved, tmp_path, capsys, monkeypatch):
    """The study had judged by other values, as on another kind of GPU, whose rounding differs."""
    shutil.copytree(improved.root, tmp_path / "store")
    store = FilesystemStore(tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / improved.manifest.key)

    def judged_elsewhere(trials, identity):
        row = find_row(trials, identity)
        place = row.schema.get_field_index("test_positive_flips")
        other = [row["test_positive_flips"][0].as_py() / 2 + 0.001]
        return row.set_column(place, row.schema.field(place), [other])

    monkeypatch.setattr(judged, "find_row", judged_elsewhere)
    work.perform(improved.config, improved.trials, store, HERE)
    manifest = store.find(improved.manifest.key)
    trained = [each for each in manifest.metadata["students"] if each["decision"] != "leave"]
    assert {each["is_reproduced"] for each in trained} == {False}
    assert capsys.readouterr().out.count("does not end in the bits that were judged: test_positive_flips") == len(
        trained
    )
    page = (store.fetch(manifest.key) / f"student-{trained[0]['student']:03d}.md").read_text()
    assert "ends in other bits" in page


def test_a_stage_that_was_stopped_trains_only_the_students_that_are_left(improved, tmp_path, monkeypatch):
    shutil.copytree(improved.root, tmp_path / "store")
    store = FilesystemStore(tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / improved.manifest.key)
    add_record, students = ShardQueue.add_record, []

    def stop_after_two(queue, claimed, record, *names, **options):
        add_record(queue, claimed, record, *names, **options)
        students.append(record["student"])
        if len(students) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(ShardQueue, "add_record", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        work.perform(improved.config, improved.trials, store, HERE)
    work.perform(improved.config, improved.trials, store, HERE)
    assert sorted(students) == [0, 1, 2, 3]
    again = store.find(improved.manifest.key)
    weights = {name: entry for name, entry in improved.manifest.files.items() if name.endswith(".safetensors")}
    assert weights.items() <= again.files.items()
    assert not list(store.fetch(again.key).rglob("scratch"))


KILLED_WHILE_IT_TRAINS = """
import os, signal, sys
from peerkd.stages.command import perform
from peerkd.training import sweep

save_state, saved = sweep.save_state, []

def save_and_die(path, state):
    save_state(path, state)
    saved.append(path)
    if len(saved) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

sweep.save_state = save_and_die
config, store, trials = sys.argv[1:]
perform("improve_peers", config_json=config, store=store, inputs=[trials])
"""


def test_a_stage_that_was_killed_while_it_trained_ends_in_the_same_bits(improved, tmp_path):
    root = tmp_path / "store"
    shutil.copytree(improved.root, root)
    shutil.rmtree(root / improved.manifest.key)
    trials = f"trials={improved.trials.key}@{improved.trials.fingerprint}"
    script = [sys.executable, "-c", KILLED_WHILE_IT_TRAINS, improved.config.to_json(), str(root), trials]
    assert subprocess.run(script, check=False, capture_output=True).returncode == -signal.SIGKILL
    partial = root / f"{improved.manifest.key}.partial"
    # The first student is written, and the second one has only the state in which its training ended.
    assert len(list(partial.glob("*.safetensors"))) == 1
    assert len(list((partial / "scratch" / "states").iterdir())) == 1
    work.perform(improved.config, improved.trials, FilesystemStore(root), HERE)
    again = FilesystemStore(root).find(improved.manifest.key)
    weights = {name: entry for name, entry in improved.manifest.files.items() if name.endswith(".safetensors")}
    assert weights.items() <= again.files.items()
    assert again.metadata["students"] == improved.manifest.metadata["students"]


def test_better_peers_have_the_same_key_and_the_same_files_in_a_store_where_the_trials_took_longer(improved, tmp_path):
    shutil.copytree(improved.root, tmp_path / "store")
    store, key = FilesystemStore(tmp_path / "store"), improved.trials.key
    shutil.rmtree(tmp_path / "store" / key)
    table = read_table(improved.store.fetch(key) / distill_pairs.TABLE_NAME)
    place = table.schema.get_field_index("seconds")
    slower = table.set_column(place, table.schema.field(place), pc.add(table["seconds"], 1.0))
    with store.open_workspace(key) as workspace:
        write_table(slower, workspace.folder / distill_pairs.TABLE_NAME)
        trials = store.publish(key, metadata=improved.trials.metadata)
    assert trials.fingerprint != improved.trials.fingerprint
    # If only the trials were lost and computed again, the networks that the store has lead to the new trials.
    assert improve_peers.STAGE.make(improved.config, trials, store) == improved.manifest
    assert references.follow(improved.manifest.metadata["inputs"]["trials"], store) == trials
    shutil.rmtree(tmp_path / "store" / improved.manifest.key)
    again = improve_peers.STAGE.make(improved.config, trials, store)
    assert (again.key, again.files) == (improved.manifest.key, improved.manifest.files)
    assert again.metadata["inputs"] == improved.manifest.metadata["inputs"]


def test_the_manifest_has_the_config_of_the_study(improved):
    assert ExperimentConfig.from_mapping(improved.manifest.metadata["config"]) == improved.config


def test_the_manifest_tells_the_report_what_became_of_each_student(improved):
    assert improve_peers.summary(improved.manifest.metadata).startswith("4 students: ")
    for each in improved.manifest.metadata["students"]:
        card = json.loads((improved.folder / f"student-{each['student']:03d}.json").read_text())
        assert (each["before"], each["after"]) == (card["accuracy_before"], card["accuracy_after"])
