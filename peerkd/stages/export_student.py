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
from peerkd.stages import collaborate_peers, improve_peers, machine, pretrain_peers, tune_pairs
from peerkd.stages.division import evaluation_sets
from peerkd.stages.opened_store import open_stage_store
from peerkd.stages.work.improving.candidates import best_with_teacher
from peerkd.stages.work.improving.cards import build_card, card_setting, weights_name
from peerkd.stages.work.improving.judged import JudgedStudy, is_reproduced, judged_study
from peerkd.study.trials import Trial
from peerkd.training.export_formats import FORMATS, ExportFormat, find_format
from peerkd.training.inputs import ExportInputs, ImproveInputs, StudentTask, student_name
from peerkd.training.process_pool import run_in_processes

NAME: Final = "export"

_NUM_LISTED: Final = 5
"""The maximum number of studies that a message lists."""


class ExportRequest(NamedTuple):
    """The network that a user requests, and the file to which it is written."""

    student: int
    format_name: str
    file: Path

    teacher: int | None = None
    """The teacher in the training whose network is exported. None means that ``setting`` alone names the training.

    If ``setting`` is None and a teacher is given, the best setting with this teacher is taken."""

    setting: str | None = None
    """The setting of the training, in the form that ``peerkd.results.named_trials`` reads.

    If neither ``setting`` nor ``teacher`` is given, the published network of the student is exported.
    """

    study: str | None = None
    """The key of the artifact with the better peers of a study. None means the only such artifact in the store."""


class Exported(NamedTuple):
    """A network that was written to a file, and how the file was checked."""

    request: ExportRequest
    published: Manifest
    """The artifact that contains the network: the better peers of a study, or the peers after their rounds."""

    card: ModelCard
    compared: Any
    """The comparison of the logits, as ``peerkd.training.export`` returns it."""

    def lines(self) -> Iterator[str]:
        """Yield lines for the terminal."""
        card = self.card
        noun = "Student" if card.rounds is None else "Peer"
        yield f"{noun} {card.student} of {_describe(self.published)}. {what_was_done(card)} {how_it_was_chosen(card)}"
        before, after = (each["test_global_accuracy"] for each in (card.accuracy_before, card.accuracy_after))
        if before is not None and after is not None:
            yield f"Accuracy on the global test set: {percent(before)} before, {percent(after)} after."
        yield _in_words(self.request, find_format(self.request.format_name), self.compared)

    def to_json(self) -> dict[str, Any]:
        """Return the facts as JSON values."""
        compared = self.compared
        return {
            "file": str(self.request.file.absolute()),
            "format": self.request.format_name,
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
    export_format = find_format(request.format_name)
    _check_file(request.file, export_format)
    store = open_stage_store(NAME, address)
    improved = _find_improved(store, address, request.study)
    if improved.key.startswith(f"{collaborate_peers.NAME}/"):
        return _export_of_rounds(improved, store, request)
    trials = references.follow(improved.metadata["inputs"]["trials"], store)
    study = judged_study(ExperimentConfig.from_mapping(improved.metadata["config"]), trials, store)
    for field, peer in (("student", request.student), ("teacher", request.teacher)):
        _check_peer(study, field, peer)
    if request.teacher == request.student:
        raise ValueError(f"teacher must be another peer than the student, got {request.teacher} for both.")
    task = _task(study, store, request)
    folder = store.fetch(improved.key)
    card = from_json((folder / f"{student_name(request.student)}.json").read_text(encoding="utf-8"))
    weights = folder / card.file
    request.file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="peerkd-") as scratch:
        if task is not None and not _is_published(study, task, card):
            weights = Path(scratch) / weights_name(request.student)
            card = _train(study, task, store, Path(scratch), request)
        network = study.config.networks[request.student]
        return _write(request, improved, card, weights, network, study.partition, store)


def _export_of_rounds(rounds: Manifest, store: ArtifactStore, request: ExportRequest) -> Exported:
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
    _check_student("student", request.student, taking_part, config.partition.num_peers)
    folder = store.fetch(rounds.key)
    card = from_json((folder / f"{student_name(request.student)}.json").read_text(encoding="utf-8"))
    request.file.parent.mkdir(parents=True, exist_ok=True)
    network = config.networks[request.student]
    return _write(request, rounds, card, folder / card.file, network, partition, store)


def _write(
    request: ExportRequest,
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
        file=request.file,
        format_name=request.format_name,
    )
    card = replace(card, file=request.file.name)
    ((_, compared),) = run_in_processes(
        "peerkd.training.export:start", (inputs,), [(NAME, card.to_json())], num_processes=0
    )
    return Exported(request, published, card, compared)


def _in_words(request: ExportRequest, export_format: ExportFormat, compared: Any) -> str:
    images = f"{compared.num_images:,} validation image{'s' * (compared.num_images != 1)}"
    written = f"{plain_path(request.file)} was written, and read again with {export_format.reader}: its logits for"
    if compared.largest_difference == 0:
        return f"{written} {images} are those of the network, bit for bit."
    classes = "all" if compared.num_same_class == compared.num_images else f"{compared.num_same_class:,}"
    return (
        f"{written} {images} differ from those of the network by at most {compared.largest_difference:.1g} of the "
        f"largest logit ({export_format.tolerance:g} is allowed), and {classes} predicted classes are the same."
    )


def _check_file(file: Path, export_format: ExportFormat) -> None:
    """Check that a new file can be written.

    Raises:
        ValueError: If the path exists, does not have the ending of the format, or is in a folder that cannot be
            written.
    """
    if file.is_dir():
        raise ValueError(f"to must be a file, got the folder {plain_path(file)}.")
    if file.suffix != export_format.suffix:
        formats = [name for name, each in FORMATS.items() if each.suffix == file.suffix]
        meant = f", or --format {formats[0]} be given" if formats else ""
        raise ValueError(f"to must end in {export_format.suffix}{meant}, got {plain_path(file)}.")
    if file.exists():
        raise ValueError(f"to must be a file that does not exist yet, got {plain_path(file)}.")
    check_writable(file.absolute().parent, field="the folder of to")


def _find_improved(store: ArtifactStore, address: str, key: str | None) -> Manifest:
    """Return the artifact with the better peers of a study, or with the peers after rounds.

    Raises:
        ValueError: If the store has no such artifact, if none has the given key, or if there are several and no key is
            given.
    """
    kinds = tuple(f"{name}/" for name in (improve_peers.NAME, collaborate_peers.NAME))
    keys = [each for each in store.keys() if each.startswith(kinds)]  # noqa: SIM118
    finished = [each for each in map(store.find, keys) if each is not None]
    # An artifact of an earlier version has no config.
    found = [each for each in finished if "config" in each.metadata]
    earlier = [each.key for each in finished if key in (None, each.key) and "config" not in each.metadata]
    if earlier and (key or not found):
        raise ValueError(
            f"study must be a run whose artifact contains its config, got {plain(earlier[0])} of an earlier version "
            f"of peerkd in {plain_path(address)}; delete this run with peerkd clean, then run it again."
        )
    if not found:
        raise ValueError(
            f"store must contain a finished run of jointkd or collaborate, got none in {plain_path(address)}; run "
            "peerkd run jointkd first."
        )
    chosen = [each for each in found if key in (None, each.key)]
    if len(chosen) == 1:
        return chosen[0]
    listed = "; ".join(f"{each.key} ({_describe(each)})" for each in found[:_NUM_LISTED])
    more = f" and {len(found) - _NUM_LISTED:,} more" if len(found) > _NUM_LISTED else ""
    problem = f"got {plain(key)}" if key else f"because {plain_path(address)} has {len(found):,} studies"
    raise ValueError(f"study must be the key of a study in the store, {problem}: {listed}{more}.")


def _describe(improved: Manifest) -> str:
    """Describe a study in a few words, given the artifact with its better peers."""
    config = improved.metadata["config"]
    if improved.key.startswith(f"{collaborate_peers.NAME}/"):
        return f"the rounds {config['name']}, seed {config['seed']}"
    kind = "tuned study" if improved.metadata["inputs"]["trials"]["key"].startswith(tune_pairs.NAME) else "sweep"
    return f"the {kind} {config['name']}, seed {config['seed']}"


def _check_peer(study: JudgedStudy, field: str, peer: int | None) -> None:
    _check_student(field, peer, study.students, study.config.partition.num_peers)


def _check_student(field: str, peer: int | None, taking_part: Sequence[int], num_peers: int) -> None:
    if peer is None or peer in taking_part:
        return
    if not 0 <= peer < num_peers:
        raise ValueError(f"{field} must be a peer of the study, from 0 to {num_peers - 1}, got {peer}.")
    raise ValueError(f"{field} must be a peer whose pre-training did not diverge, got {peer}.")


def _task(study: JudgedStudy, store: ArtifactStore, request: ExportRequest) -> StudentTask | None:
    """Return the training that a user requests. None means that the user requests the published network."""
    if request.setting is None and request.teacher is None:
        return None
    if request.setting is None:
        assert request.teacher is not None
        return _task_of_teacher(study, store, student=request.student, teacher=request.teacher)
    setting = read_setting(request.setting)
    if request.teacher is not None and setting.setdefault("teacher", request.teacher) != request.teacher:
        raise ValueError(f"setting must have the teacher of --teacher, {request.teacher}, got {setting['teacher']}.")
    distill = study.config.distill
    defaults: dict[str, Value] = {
        LEARNING_RATE: distill.learning_rate,
        LOSS: distill.loss.kind,
        TARGET: distill.target.label,
    }
    with study.open_table(store) as table:
        row = find_named(table, student=request.student, setting=setting, defaults=defaults)
    if not row[IS_FINITE]:
        raise ValueError(f"setting must be one whose training ended in finite numbers, got {plain(request.setting)}.")
    return _single_task(row)


def _task_of_teacher(study: JudgedStudy, store: ArtifactStore, *, student: int, teacher: int) -> StudentTask:
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
                f"teacher must be a peer for which the study has chosen a setting, got {teacher} for student "
                f"{student}; name one of its trials with --setting."
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
            f"teacher must be a peer with a training that ended in finite numbers, got {teacher} for student {student}."
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
    study: JudgedStudy, task: StudentTask, store: ArtifactStore, scratch: Path, request: ExportRequest
) -> ModelCard:
    """Train a trial again, write its network to the folder ``scratch``, and return the model card."""
    # The bits depend on the kind of device.
    on_cpu = study.trials.metadata["device"] == "cpu"
    device = "cpu" if on_cpu else machine.choose_device(ComputeConfig(), is_in_process=True)[0]
    print_line(NAME, f"training student {task.student} again, for {task.num_epochs:,} epochs on {device}")
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
            f"student {task.student} must end in finite numbers, got NaN or infinite numbers on this machine, which is "
            "not the one of the study."
        )
    with study.open_table(store) as table:
        reproduced = is_reproduced(record, table, stage=NAME)
    chosen_by = None
    if request.setting is None:
        chosen_by = f"{study.objective.accuracy_in_words} with peer {request.teacher} as its teacher"
    return build_card(
        study,
        record,
        is_reproduced=reproduced,
        dataset=open_dataset(store.fetch(study.dataset.key)),
        machine={"device": device, "versions": machine.software_versions()},
        chosen_by=chosen_by,
    )
