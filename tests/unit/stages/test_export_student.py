"""The files of students: what is written is what the study has judged, and other programs read it."""

import json
import random
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from peerkd.artifacts import keys, references
from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.artifacts.store import Manifest
from peerkd.cli.export import export
from peerkd.cli.main import main
from peerkd.cli.options import StorePlace
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.errors import ExportDiffersError
from peerkd.reporting.model_card import ModelCard, from_json
from peerkd.results import choices
from peerkd.results.table import read_table
from peerkd.stages import collaborate_peers, distill_pairs, improve_peers, partition_data, pretrain_peers, tune_pairs
from peerkd.stages.export_student import ExportRequest, export_student
from peerkd.study.plan import plan
from peerkd.study.trials import Trial
from peerkd.training import export as writers
from peerkd.training import export_formats
from peerkd.training.inputs import EngineChoice, EpochRange, SweepInputs
from peerkd.training.sweep import SweepRunner
from peerkd.training.trial_state import load_state, state_path
from tests.unit.stages.published_runs import SWEEP, begin, experiment

OVERRIDES = (
    "partition.num_peers=3 data.max_train_samples=450 data.max_test_samples=150 pretrain.epochs=2 distill.epochs=2 "
    "peers.architectures=[mlp,small_cnn,mlp] sweep.temperatures=[1,4] sweep.alphas=[0.5] "
    "sweep.transfer_sets=[student,both] sweep.losses=[reverse_kl] sweep.targets=[mean] tune.budget_fraction=0.5 "
    "compute.device=cpu compute.num_workers=1"
)


class Finished(NamedTuple):
    """A finished study, alone in its store."""

    root: Path
    config: ExperimentConfig
    trials: Manifest
    improved: Manifest
    table: list[dict[str, Any]]

    def export(self, file: Path, student: int | str, **options: Any) -> list[str]:
        request = ExportRequest(student=student, file=file, **options)
        return list(export_student(str(self.root), request))


def study(root: Path, stage: Any, table_name: str) -> Finished:
    config, store = resolve(JOINTKD, preset="digits", overrides=OVERRIDES), FilesystemStore(root)
    partition = partition_data.partition(config, store, num_processes=0)
    trials = stage.make(config, pretrain_peers.STAGE.make(config, partition, store), store)
    improved = improve_peers.STAGE.make(config, trials, store)
    return Finished(root, config, trials, improved, read_table(store.fetch(trials.key) / table_name).to_pylist())


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return study(tmp_path_factory.mktemp("swept"), distill_pairs.STAGE, distill_pairs.TABLE_NAME)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return study(tmp_path_factory.mktemp("tuned"), tune_pairs.STAGE, tune_pairs.TRIALS_NAME)


def card_of(file: Path) -> ModelCard:
    with safe_open(file, framework="pt") as opened:
        return from_json(opened.metadata()["card"])


def named(row: dict[str, Any]) -> str:
    columns = ("teacher", "transfer_set", "temperature", "alpha", "loss", "target")
    return ",".join(f"{name}={'none' if row[name] is None else row[name]}" for name in columns)


def judged_weights(finished: Finished, rows: list[dict[str, Any]], folder: Path) -> list[Any]:
    """Return the weights of trials that are trained as in a sweep, beside all others."""
    store = FilesystemStore(finished.root)
    peers = references.follow(finished.trials.metadata["inputs"]["peers"], store)
    partition = references.follow(peers.metadata["inputs"]["partition"], store)
    inputs = SweepInputs(
        config=finished.config,
        dataset_folder=store.fetch(partition.metadata["inputs"]["dataset"]["key"]),
        partition_folder=store.fetch(partition.key),
        peers_folder=store.fetch(peers.key),
        device="cpu",
        states_folder=folder,
    )
    runner = SweepRunner(inputs, device=torch.device("cpu"))
    wanted = {Trial.from_record(row): row["epochs"] for row in rows}
    for unit in plan(finished.config.grid, range(3)):
        for num_epochs in {wanted[trial] for trial in unit.trials if trial in wanted}:
            for record in runner.do(EpochRange(unit=unit, first_epoch=0, last_epoch=num_epochs)):
                assert not isinstance(record, EngineChoice)
    return [load_state(state_path(folder, trial, num_epochs=num)).weights for trial, num in wanted.items()]


@pytest.mark.parametrize("name", ["swept", "tuned"])
def test_random_trials_are_written_with_the_bits_that_were_judged(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    finished: Finished = request.getfixturevalue(name)
    others = [row for row in finished.table if (row["loss"], row["target"]) == ("reverse_kl", "mean")]
    rows = [*random.Random(0).sample(finished.table, 3), random.Random(1).choice(others)]
    for number, (row, judged) in enumerate(zip(rows, judged_weights(finished, rows, tmp_path), strict=True)):
        file = tmp_path / f"{number}.safetensors"
        lines = finished.export(file, row["student"], setting=named(row))
        written = load_file(file)
        assert written.keys() == judged.keys()
        assert all(torch.equal(written[tensor], judged[tensor]) for tensor in judged)
        card = card_of(file)
        assert card.is_reproduced is True
        assert card.file == file.name
        for accuracy, value in card.accuracy_after.items():
            assert value == row[f"{accuracy}_after"]
        assert lines[-1].endswith("of the network, bit for bit.")


def test_the_published_network_is_taken_as_it_is(swept: Finished, tmp_path: Path) -> None:
    folder = FilesystemStore(swept.root).fetch(swept.improved.key)
    for student in range(3):
        swept.export(tmp_path / f"{student}.safetensors", student)
        published = load_file(folder / f"student-{student:03d}.safetensors")
        written = load_file(tmp_path / f"{student}.safetensors")
        assert all(torch.equal(written[name], published[name]) for name in published)


def test_an_export_as_json_has_the_card_and_the_check(
    swept: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "student.safetensors"
    export(
        StorePlace(),
        str(swept.root),
        student="1",
        to=file,
        export_format=None,
        teacher=None,
        setting=None,
        study=None,
        as_json=True,
    )
    facts = json.loads(capsys.readouterr().out)
    assert (facts["file"], facts["format"], facts["study"]) == (str(file), "safetensors", swept.improved.key)
    assert from_json(json.dumps(facts["card"])) == card_of(file)
    check = facts["check"]
    assert check["num_images"] == check["num_same_class"] > 0
    assert check["largest_difference"] == 0


def test_a_network_that_is_in_the_store_is_not_trained_again(
    swept: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = FilesystemStore(swept.root).fetch(swept.improved.key)
    cards = [from_json((folder / f"student-{student:03d}.json").read_text()) for student in range(3)]
    card = next(card for card in cards if card.setting is not None)
    assert card.setting is not None
    swept.export(tmp_path / "again.safetensors", card.student, setting=named(asdict(card.setting)))
    assert "training student" not in capsys.readouterr().out
    assert card_of(tmp_path / "again.safetensors").chosen_by == "global accuracy"


def test_with_a_teacher_the_best_setting_of_the_pair_is_taken(swept: Finished, tmp_path: Path) -> None:
    rows = [row for row in swept.table if (row["student"], row["teacher"]) == (0, 1) and row["temperature"] is not None]
    best = max(round(row["validation_global_accuracy_after"], 9) for row in rows)
    swept.export(tmp_path / "best.safetensors", 0, teacher=1)
    card = card_of(tmp_path / "best.safetensors")
    assert card.setting is not None
    assert card.setting.teacher == 1
    assert card.accuracy_after["validation_global_accuracy"] == pytest.approx(best)


def test_in_a_tuned_study_the_teacher_must_be_one_that_it_has_chosen(tuned: Finished, tmp_path: Path) -> None:
    folder = FilesystemStore(tuned.root).fetch(tuned.trials.key)
    table = choices.read_table(folder / tune_pairs.CHOICES_NAME, choices.CHOICES).to_pylist()
    for number, choice in enumerate(table):
        file = tmp_path / f"{number}.safetensors"
        if choice["distillation_weight"] is not None:
            tuned.export(file, choice["student"], teacher=choice["teacher"])
            setting = card_of(file).setting
            assert setting is not None
            names = ("teacher", "transfer_set", "temperature", "alpha")
            assert [getattr(setting, name) for name in names] == [choice[name] for name in names]
        else:
            with pytest.raises(ValueError, match=r"^teacher must be a peer for which the study has chosen a"):
                tuned.export(file, choice["student"], teacher=choice["teacher"])


def images(finished: Finished, student: int) -> tuple[Any, Any]:
    """Return the normalised validation images, and the logits that the published network gives for them."""
    store = FilesystemStore(finished.root)
    (dataset,) = (store.fetch(key) for key in store.keys() if key.startswith("dataset/"))  # noqa: SIM118
    card = from_json((store.fetch(finished.improved.key) / f"student-{student:03d}.json").read_text(encoding="utf-8"))
    pixels = torch.from_numpy(np.load(dataset / "images.npy")[:70].astype(np.float32)) / 255
    return (pixels - card.channel_mean[0]) / card.channel_std[0], card


@pytest.mark.parametrize("student", [0, 1])
def test_a_program_of_torch_classifies_batches_of_any_size(swept: Finished, tmp_path: Path, student: int) -> None:
    lines = swept.export(tmp_path / "student.pt2", student, format_name="torch")
    assert re.search(
        r" are those of the network, bit for bit\.$| differ from those of the network by at most \S+ of the largest "
        r"logit \(0\.0001 is allowed\), and all predicted classes are the same\.$",
        lines[-1],
    )
    files = {"card.json": ""}
    program = torch.export.load(tmp_path / "student.pt2", extra_files=files).module()
    normal, card = images(swept, student)
    assert from_json(files["card.json"]).accuracy_after == card.accuracy_after
    together = program(normal)
    assert together.shape == (70, 10)
    assert torch.allclose(program(normal[3:4]), together[3:4], atol=1e-5)


@pytest.mark.parametrize("student", [0, 1])
def test_an_onnx_file_names_its_input_and_has_the_card(swept: Finished, tmp_path: Path, student: int) -> None:
    swept.export(tmp_path / "student.onnx", student, format_name="onnx")
    model = onnx.load(tmp_path / "student.onnx")
    assert [each.name for each in (*model.graph.input, *model.graph.output)] == ["images", "logits"]
    (text,) = (each.value for each in model.metadata_props if each.key == "card")
    assert from_json(text).student == student


def test_a_file_that_gives_other_logits_is_not_left(
    swept: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(network: Any, *arguments: Any) -> Any:
        read = writers._write_torch(network, *arguments)
        return lambda batch: read(batch) * 1.001

    monkeypatch.setitem(writers._WRITERS, "torch", spoil)
    with pytest.raises(ExportDiffersError, match=r"must give the logits .* got a difference of 0\.001"):
        swept.export(tmp_path / "student.pt2", 0, format_name="torch")
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_an_exporter_refuses_is_named(
    swept: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("data-dependent control flow\nand more")

    monkeypatch.setattr(torch.export, "export", refuse)
    message = "^format must be safetensors for this network, because torch.export raised RuntimeError: data-dependent"
    with pytest.raises(ValueError, match=message):
        swept.export(tmp_path / "student.pt2", 0, format_name="torch")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"student": 3}, "student must be a peer of the study, from 0 to 2, got 3."),
    ({"student": -1}, "student must be a peer of the study, from 0 to 2, got -1."),
    ({"teacher": 7}, "teacher must be a peer of the study, from 0 to 2, got 7."),
    ({"teacher": 0}, "teacher must be another peer than the student, got 0 for both."),
    ({"format_name": "keras"}, "format must be one of safetensors, torch, onnx, got keras."),
    (
        {"student": "x"},
        "student must be the name or the number of a peer of the study, got x (its peers are 0, 1, 2).",
    ),
    ({"name": "student.pt2", "format_name": "onnx"}, "to must end in .onnx, or --format torch be given, got "),
    ({"name": "student.bin", "format_name": "onnx"}, "to must end in .onnx, got "),
    ({"name": "student.bin"}, "to must end in one of .safetensors, .pt2, .onnx, got "),
    ({"name": "."}, "to must be a file, got the folder "),
    ({"name": "taken.safetensors"}, "to must be a file that does not exist yet, got "),
    ({"name": "taken.safetensors/student.safetensors"}, "the folder of to must be a folder that can be written, got "),
    ({"setting": "transfer_set=public"}, "setting must be one that student 0 was trained with, got transfer_set=pub"),
    ({"setting": "teacher=1", "teacher": 2}, "setting must have the teacher of --teacher, 2, got teacher=1."),
    ({"setting": "teacher=7"}, "the teacher of setting must be a peer of the study, from 0 to 2, got 7."),
    ({"setting": "teacher=anna"}, "the teacher of setting must be the name or the number of a peer of the study, got"),
    ({"setting": "teacher=1"}, "setting must fit one trial of student 0, and teacher=1 fits "),
    ({"study": "improve_peers/none"}, "RUN must be a run of the store, got improve_peers/none ("),
]


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED])
def test_a_mistake_is_refused_before_anything_is_trained(
    swept: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str
) -> None:
    (tmp_path / "taken.safetensors").write_text("here")
    monkeypatch.setattr("peerkd.stages.export_student.run_in_processes", None)
    given = {"student": 0, **options}
    name = given.pop("name", "student.safetensors")
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        swept.export(tmp_path / name, **given)
    assert [path.name for path in tmp_path.iterdir()] == ["taken.safetensors"]


def test_a_missing_extra_is_refused_with_the_command(
    swept: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_formats, "find_spec", lambda name: None if name.startswith("onnx") else object())
    message = r"^format onnx needs onnx and onnxscript and onnxruntime, .* pip install 'peerkd\[onnx\]'"
    with pytest.raises(ValueError, match=message):
        swept.export(tmp_path / "student.onnx", 0, format_name="onnx")


def test_a_trial_that_diverged_is_refused(swept: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = swept.table[0]
    monkeypatch.setattr("peerkd.stages.export_student.find_named", lambda *_, **__: {**row, "is_finite": False})
    with pytest.raises(ValueError, match=r"^setting must be one whose training ended in finite numbers"):
        swept.export(tmp_path / "student.safetensors", row["student"], setting=named(row))


@pytest.fixture
def peerkd(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[Any, str, str]]:
    def run(*words: str) -> tuple[Any, str, str]:
        monkeypatch.setattr(sys, "argv", ["peerkd", "export", *words])
        with pytest.raises(SystemExit) as caught:
            main()
        return (caught.value.code, *capsys.readouterr())

    return run


def test_the_command_writes_a_file_and_says_how_it_was_checked(
    swept: Finished, tmp_path: Path, peerkd: Callable[..., tuple[Any, str, str]]
) -> None:
    file = tmp_path / "new folder" / "student.safetensors"
    code, out, err = peerkd(str(swept.root), "--student", "0", "--best", "--to", str(file))
    assert (code, err) == (0, "")
    assert out.startswith("Student 0 of the sweep digits, seed 0. The student ")
    assert f"{file} was written, and read again with torch: its logits for 90 validation images are those" in out
    assert file.is_file()
    code, _, err = peerkd(str(swept.root), "--student", "0", "--best", "--teacher", "1", "--to", str(file))
    refused = "--best must not be given together with --teacher or --setting, which name another network.\n"
    assert (code, err) == (2, f"peerkd: {refused}")
    (tmp_path / "empty").mkdir()
    code, _, err = peerkd(str(tmp_path / "empty"), "--student", "0", "--to", str(tmp_path / "a.safetensors"))
    assert code == 2
    assert err.startswith("peerkd: store must contain a finished run of jointkd or collaborate, got none in ")


def test_the_command_takes_a_run_as_show_does(
    swept: Finished, tmp_path: Path, peerkd: Callable[..., tuple[Any, str, str]]
) -> None:
    for number, words in enumerate((["latest", "--output"], ["digit", "--store"])):
        file = tmp_path / f"{number}.pt2"
        code, out, err = peerkd(*words, str(swept.root), "--student", "0", "--to", str(file))
        assert (code, err) == (0, "")
        assert out.startswith("Student 0 of the sweep digits, seed 0. ")
        assert torch.export.load(file).module()(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    to = ("--student", "0", "--to", str(tmp_path / "student.onnx"))
    code, _, err = peerkd("ltest", "--output", str(swept.root), *to)
    assert (code, err) == (2, "peerkd: RUN must be a run of the store, got ltest (did you mean latest?).\n")
    code, _, err = peerkd("latest", "--output", str(swept.root), *to, "--study", "digits")
    assert (code, err) == (2, "peerkd: --study must not be given together with a run, got digits and latest.\n")


def test_a_run_without_networks_is_refused_with_what_it_lacks(
    tmp_path: Path, peerkd: Callable[..., tuple[Any, str, str]]
) -> None:
    begin(FilesystemStore(tmp_path / "runs"), experiment(), SWEEP)
    words = ("latest", "--output", str(tmp_path / "runs"), "--student", "0", "--to", str(tmp_path / "student.onnx"))
    code, _, err = peerkd(*words)
    assert code == 2
    assert re.match(
        r"peerkd: RUN must be a run that has published its networks, got digits-dirichlet0\.3-\w{4}, which lacks "
        r"pretrain_peers, distill_pairs, improve_peers, build_report\.$",
        err,
    )


def test_a_run_of_an_earlier_version_has_to_be_made_again(tmp_path: Path) -> None:
    store, key = FilesystemStore(tmp_path / "runs"), keys.key(collaborate_peers.NAME, {"seed": 0})
    with store.open_workspace(key):
        store.publish(key, metadata={"inputs": {}})
    for study_key in (None, key):
        request = ExportRequest(student=0, file=tmp_path / "peer.safetensors", study=study_key)
        with pytest.raises(ValueError, match=rf"^study must be .*, got {key} of an earlier version .* run it again\.$"):
            list(export_student(str(tmp_path / "runs"), request))


def test_a_store_with_two_studies_asks_for_the_key(swept: Finished, tuned: Finished, tmp_path: Path) -> None:
    both = tmp_path / "both"
    for finished in (swept, tuned):
        for key in FilesystemStore(finished.root).keys():  # noqa: SIM118
            shutil.copytree(finished.root / key, both / key, dirs_exist_ok=True)
    request = ExportRequest(student=0, file=tmp_path / "student.safetensors")
    with pytest.raises(ValueError, match=r"^study must be the name of a run, or .*, because .* has 2 studies: improve"):
        list(export_student(str(both), request))
    first, *_ = export_student(str(both), request._replace(study=tuned.improved.key))
    assert first.startswith("Student 0 of the tuned study digits, seed 0. ")
