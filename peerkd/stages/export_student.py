"""The export of one student's network from a finished study to a file for other programs: ``peerkd export``."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from peerkd.artifacts import references
from peerkd.artifacts.filesystem import check_writable
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.architectures import network_modules
from peerkd.config.collaborate import CollaborateConfig
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.given_peers import PeerNetwork
from peerkd.config.peer_experiment import ComputeConfig
from peerkd.data.streamed import open_dataset
from peerkd.excerpt import plain, plain_path
from peerkd.metrics.progress import print_line
from peerkd.reporting.model_card import ModelCard, from_json, how_it_was_chosen, what_was_done
from peerkd.reporting.wording import percent
from peerkd.results import choices
from peerkd.results.named_trials import Value, find_named, read_setting
from peerkd.results.schema import IS_FINITE, LEARNING_RATE, LOSS, TARGET
from peerkd.results.table import Record
from peerkd.stages import collaborate_peers, exported_study, machine, pretrain_peers, tune_pairs
from peerkd.stages.division import evaluation_sets
from peerkd.stages.opened_store import open_stage_store
from peerkd.stages.peer_names import find_peer, peer_names
from peerkd.stages.work.improving.candidates import best_with_teacher
from peerkd.stages.work.improving.cards import build_card, card_setting, weights_name
from peerkd.stages.work.improving.judged import JudgedStudy, is_reproduced, judged_study
from peerkd.study.trials import Trial
from peerkd.training.export_formats import FORMATS, ExportFormat, find_format, format_of
from peerkd.training.inputs import ExportInputs, ImproveInputs, StudentTask, student_name
from peerkd.training.process_pool import run_in_processes
from peerkd.wording import called

NAME: Final = "export"


class ExportRequest(NamedTuple):
    """The network that a user requests, and the file to which it is written."""

    student: int | str
    """The number of the student, or its name or number as text."""

    file: Path
    format_name: str | None = None
    """The name of the format. None: the ending of the file's name selects the format."""

    teacher: int | str | None = None
    """The number of the teacher in the training whose network is exported, or its name or number as text. None means
    that ``setting`` alone names the training.

    If ``setting`` is None and a teacher is given, the best setting with this teacher is taken."""

    setting: str | None = None
    """The setting of the training, in the form that ``peerkd.results.named_trials`` reads.

    If neither ``setting`` nor ``teacher`` is given, the published network of the student is exported.
    """

    study: str | None = None
    """The study: a run as ``peerkd show`` reads it, or the key of the artifact with its networks. None means the only
    study in the store."""


class Exported(NamedTuple):
    """A network that was written to a file, and how the file was checked."""

    file: Path
    format_name: str
    published: Manifest
    """The artifact from which the network comes: the better peers of a study, or the peers after their rounds."""

    card: ModelCard
    compared: Any
    """The comparison of the logits, as ``peerkd.training.export`` returns it."""

    def lines(self) -> Iterator[str]:
        """Yield lines for the terminal."""
        card = self.card
        noun = "Student" if card.rounds is None else "Peer"
        name = card.student_name or str(card.student)
        study = exported_study.describe(self.published)
        yield f"{noun} {name} of {study}. {what_was_done(card)} {how_it_was_chosen(card)}"
        before, after = (each["test_global_accuracy"] for each in (card.accuracy_before, card.accuracy_after))
        if before is not None and after is not None:
            yield f"Accuracy on the global test set: {percent(before)} before, {percent(after)} after."
        yield _in_words(self.file, find_format(self.format_name), self.compared)

    def to_json(self) -> dict[str, Any]:
        """Return the files, the network and the check of the file as JSON values."""
        compared = self.compared
        return {
            "file": str(self.file.absolute()),
            "format": self.format_name,
            "study": self.published.key,
            "card": json.loads(self.card.to_json()),
            "check": {
                "num_images": int(compared.num_images),
                "num_same_class": int(compared.num_same_class),
                "largest_difference": float(compared.largest_difference),
            },
        }


def export_student(address: str, request: ExportRequest) -> Iterator[str]:
    """Write the network of a student to a file, and yield lines about the file for the terminal.

    The arguments and the errors are those of ``export_network``.
    """
    yield from export_network(address, request).lines()


def export_network(address: str, request: ExportRequest) -> Exported:
    """Write the network of a student to a file.

    Everything that the user may have to correct is checked before any network is trained.

    Args:
        address: The address of the store.
        request: The requested network, and the file.

    Raises:
        ValueError: If the store does not have the requested training, or the format cannot represent the network.
        ExportDiffersError: If the file gives other logits than the network.
    """
    format_name = _check_file(request.file, request.format_name)
    store = open_stage_store(NAME, address)
    improved = exported_study.find_study(store, address, request.study)
    if improved.key.startswith(f"{collaborate_peers.NAME}/"):
        return _export_of_rounds(improved, store, request, format_name=format_name)
    trials = references.follow(improved.metadata["inputs"]["trials"], store)
    study = judged_study(ExperimentConfig.from_mapping(improved.metadata["config"]), trials, store)
    names = peer_names(study.config, study.partition)
    student = _find_student("student", request.student, study.students, names)
    teacher = None if request.teacher is None else _find_student("teacher", request.teacher, study.students, names)
    if teacher == student:
        raise ValueError(f"teacher must be another peer than the student, got {plain(str(request.teacher))} for both.")
    task = _task(study, store, names, student=student, teacher=teacher, setting=request.setting)
    chosen_by = None
    if teacher is not None and request.setting is None:
        chosen_by = f"{study.objective.accuracy_in_words} with {called(names[teacher])} as its teacher"
    folder = store.fetch(improved.key)
    card = from_json((folder / f"{student_name(student)}.json").read_text(encoding="utf-8"))
    weights = folder / card.file
    request.file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="peerkd-") as scratch:
        if task is not None and not _is_published(study, task, card):
            weights = Path(scratch) / weights_name(student)
            card = _train(study, task, store, Path(scratch), chosen_by=chosen_by)
        network = study.config.networks[student]
        return _write(request.file, format_name, improved, card, weights, network, study.partition, store)


def _export_of_rounds(rounds: Manifest, store: ArtifactStore, request: ExportRequest, *, format_name: str) -> Exported:
    """Write the network of a peer after its rounds."""
    config = CollaborateConfig.from_mapping(rounds.metadata["config"])
    for field, value in (("setting", request.setting), ("teacher", request.teacher)):
        if value is not None:
            raise ValueError(
                f"{field} must not be given for a run of collaborate, which has one network of each peer, got "
                f"{plain(str(value))}."
            )
    peers = references.follow(rounds.metadata["inputs"]["peers"], store)
    partition = references.follow(peers.metadata["inputs"]["partition"], store)
    taking_part = pretrain_peers.finite_peers(peers.metadata["peers"])
    student = _find_student("student", request.student, taking_part, peer_names(config, partition))
    folder = store.fetch(rounds.key)
    card = from_json((folder / f"{student_name(student)}.json").read_text(encoding="utf-8"))
    request.file.parent.mkdir(parents=True, exist_ok=True)
    network = config.networks[student]
    return _write(request.file, format_name, rounds, card, folder / card.file, network, partition, store)


def _write(
    file: Path,
    format_name: str,
    published: Manifest,
    card: ModelCard,
    weights: Path,
    network: PeerNetwork,
    partition: Manifest,
    store: ArtifactStore,
) -> Exported:
    """Write the file of a network with its card, and compare its logits with those of the network."""
    inputs = ExportInputs(
        network=network,
        weights=weights,
        dataset_folder=store.fetch(references.follow(partition.metadata["inputs"]["dataset"], store).key),
        partition_folder=store.fetch(partition.key),
        file=file,
        format_name=format_name,
    )
    card = replace(card, file=file.name)
    ((_, compared),) = run_in_processes(
        "peerkd.training.export:start", (inputs,), [(NAME, card.to_json())], num_processes=0
    )
    return Exported(file, format_name, published, card, compared)


def _in_words(file: Path, export_format: ExportFormat, compared: Any) -> str:
    images = f"{compared.num_images:,} validation image{'s' * (compared.num_images != 1)}"
    written = f"{plain_path(file)} was written, and read again with {export_format.reader}: its logits for"
    if compared.largest_difference == 0:
        return f"{written} {images} are those of the network, bit for bit."
    classes = "all" if compared.num_same_class == compared.num_images else f"{compared.num_same_class:,}"
    return (
        f"{written} {images} differ from those of the network by at most {compared.largest_difference:.1g} of the "
        f"largest logit ({export_format.tolerance:g} is allowed), and {classes} predicted classes are the same."
    )


def _check_file(file: Path, format_name: str | None) -> str:
    """Check that a new file can be written, and return the name of its format.

    Raises:
        ValueError: If the path exists, does not have the ending of the format, or is in a folder that cannot be
            written.
    """
    if file.is_dir():
        raise ValueError(f"to must be a file, got the folder {plain_path(file)}.")
    format_name = format_name or format_of(file)
    export_format = find_format(format_name)
    if file.suffix != export_format.suffix:
        formats = [name for name, each in FORMATS.items() if each.suffix == file.suffix]
        meant = f", or --format {formats[0]} be given" if formats else ""
        raise ValueError(f"to must end in {export_format.suffix}{meant}, got {plain_path(file)}.")
    if file.exists():
        raise ValueError(f"to must be a file that does not exist yet, got {plain_path(file)}.")
    check_writable(file.absolute().parent, field="the folder of to")
    return format_name


def _find_student(field: str, peer: int | str, taking_part: Sequence[int], names: Sequence[str]) -> int:
    """Return the number of a peer that a user names.

    Raises:
        ValueError: If the study has no such peer, or its pre-training diverged.
    """
    number = find_peer(field, peer, names)
    if number in taking_part:
        return number
    if not 0 <= number < len(names):
        raise ValueError(f"{field} must be a peer of the study, from 0 to {len(names) - 1}, got {number}.")
    raise ValueError(f"{field} must be a peer whose pre-training did not diverge, got {plain(str(peer))}.")


def _task(
    study: JudgedStudy,
    store: ArtifactStore,
    names: Sequence[str],
    *,
    student: int,
    teacher: int | None,
    setting: str | None,
) -> StudentTask | None:
    """Return the training that a user requests. None means that the user requests the published network."""
    if setting is None:
        return None if teacher is None else _task_of_teacher(study, store, names, student=student, teacher=teacher)
    wanted = read_setting(
        setting, find_teacher=lambda text: _find_student("the teacher of setting", text, study.students, names)
    )
    if teacher is not None and wanted.setdefault("teacher", teacher) != teacher:
        raise ValueError(f"setting must have the teacher of --teacher, {plain(names[teacher])}, got {plain(setting)}.")
    distill = study.config.distill
    defaults: dict[str, Value] = {
        LEARNING_RATE: distill.learning_rate,
        LOSS: distill.loss.kind,
        TARGET: distill.target.label,
    }
    with study.open_table(store) as table:
        row = find_named(table, student=student, setting=wanted, defaults=defaults, peers=names)
    if not row[IS_FINITE]:
        raise ValueError(f"setting must be one whose training ended in finite numbers, got {plain(setting)}.")
    return _single_task(row)


def _task_of_teacher(
    study: JudgedStudy, store: ArtifactStore, names: Sequence[str], *, student: int, teacher: int
) -> StudentTask:
    """Return the training of a pair under its best setting.

    After a tuned study, this is the setting in the table of choices. After a full sweep, it is the setting of the
    pair's best distillation on validation data.

    Raises:
        ValueError: If the study has chosen no setting for the pair, or every trial of the pair has diverged.
    """
    if study.is_tuned:
        table = choices.read_table(store.fetch(study.trials.key) / tune_pairs.CHOICES_NAME, choices.CHOICES)
        (choice,) = (row for row in table.to_pylist() if (row["student"], row["teacher"]) == (student, teacher))
        if choice["distillation_weight"] is None:
            raise ValueError(
                f"teacher must be a peer for which the study has chosen a setting, got {plain(names[teacher])} for "
                f"student {plain(names[student])}; name one of its trials with --setting."
            )
        stops_early = study.config.tune.chooses_epochs and choice["epochs"]
        return StudentTask(
            student=student,
            candidates=(Trial.from_record(choice),),
            num_epochs=choice["epochs"] if stops_early else study.config.distill.epochs,
        )
    with study.open_table(store) as trials:
        sets = evaluation_sets(study.partition.metadata)[student]
        row = best_with_teacher(study.config, trials, student=student, teacher=teacher, sets=sets)
    if row is None:
        raise ValueError(
            f"teacher must be a peer with a training that ended in finite numbers, got {plain(names[teacher])} for "
            f"student {plain(names[student])}."
        )
    return _single_task(row)


def _single_task(row: Record) -> StudentTask:
    return StudentTask(student=row["student"], candidates=(Trial.from_record(row),), num_epochs=row["epochs"])


def _is_published(study: JudgedStudy, task: StudentTask, card: ModelCard) -> bool:
    """Return whether the model card of the student's published network describes the given training."""
    (trial,) = task.candidates
    published = card.setting
    if published is None or published.epochs != task.num_epochs:
        return False
    samples = {"num_transfer_samples": published.num_transfer_samples, "epochs": task.num_epochs}
    return card_setting(study.config, {**trial.to_record(), **samples}) == replace(published, teacher_name=None)


def _train(
    study: JudgedStudy, task: StudentTask, store: ArtifactStore, scratch: Path, *, chosen_by: str | None
) -> ModelCard:
    """Train the trial of ``task``, write its network to the folder ``scratch``, and return the model card."""
    # The bits depend on the kind of device.
    on_cpu = study.trials.metadata["device"] == "cpu"
    device = "cpu" if on_cpu else machine.choose_device(ComputeConfig(), is_in_process=True)[0]
    name = peer_names(study.config, study.partition)[task.student]
    print_line(NAME, f"training student {name} again, for {task.num_epochs:,} epochs on {device}")
    inputs = ImproveInputs(
        sweep=study.sweep_inputs(store, device=device, states_folder=scratch / "states"),
        objective=study.objective,
        weights_folder=scratch,
    )
    ((_, record),) = run_in_processes(
        "peerkd.training.improve:start",
        (inputs,),
        [(NAME, task)],
        num_processes=0,
        preload=network_modules(study.config.architectures),
    )
    if record["trial"] is None:
        raise ValueError(
            f"student {name} must end in finite numbers, got NaN or infinite numbers on this machine, which is "
            "not the one of the study."
        )
    with study.open_table(store) as table:
        reproduced = is_reproduced(record, table, name=name, stage=NAME)
    return build_card(
        study,
        record,
        is_reproduced=reproduced,
        dataset=open_dataset(store.fetch(study.dataset.key)),
        machine={"device": device, "versions": machine.software_versions()},
        chosen_by=chosen_by,
    )
