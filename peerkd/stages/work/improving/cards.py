"""The model cards of the students, made from the records of their trainings and the artifacts of the study."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from peerkd.config.experiment import ExperimentConfig
from peerkd.config.given_peers import PeerNetwork
from peerkd.data.dataset import ImageDataset
from peerkd.reporting.model_card import CardSetting, ModelCard
from peerkd.reporting.wording import conventions_in_words, loss_formula
from peerkd.results.schema import LOSS, TARGET
from peerkd.stages.journals import Record
from peerkd.stages.peer_names import peer_names
from peerkd.stages.work.improving.judged import JudgedStudy
from peerkd.training.inputs import student_name


def build_card(
    study: JudgedStudy,
    record: Record,
    *,
    is_reproduced: bool | None,
    dataset: ImageDataset,
    machine: Mapping[str, Any],
    chosen_by: str | None,
) -> ModelCard:
    """Return the card of a student.

    Args:
        study: The study of the student.
        record: The record that ``peerkd.training.improve.improve`` returned for the student.
        is_reproduced: Whether the training has ended with the same values as in the study. None if the study has no
            result to compare with.
        dataset: The data set.
        machine: The ``device`` and the ``versions`` of the training.
        chosen_by: A description of what the choice maximised on validation data. None if a user has named the trial.
    """
    config = study.config
    student = record["student"]
    (peer,) = [each for each in study.peers.metadata["peers"] if each["peer"] == student]
    sizes = study.partition.metadata
    trial = record["trial"] or {}
    recipe = config.distill.changed(loss=trial.get(LOSS), target=trial.get(TARGET))
    names = peer_names(config, study.partition)
    return ModelCard(
        student=student,
        student_name=names[student],
        decision=record["decision"],
        setting=_named(card_setting(config, record["trial"]), names),
        is_reproduced=is_reproduced,
        file=weights_name(student),
        architecture=peer["architecture"],
        num_parameters=peer["num_parameters"],
        **interface(config.networks[student], dataset)._asdict(),
        accuracy_before=record["before"],
        accuracy_after=record["after"],
        num_samples=num_evaluated(sizes, student),
        chosen_by=chosen_by,
        max_own_drop=None if chosen_by is None else study.objective.max_own_drop,
        loss=loss_formula(recipe),
        conventions=tuple(conventions_in_words(recipe)),
        seed=config.seed,
        fingerprints={
            "data set": dataset.fingerprint,
            "partition": sizes["fingerprint"],
            "peers": study.peers.fingerprint,
            "trials": study.trials.metadata["fingerprint"],
        },
        trials=study.trials.key,
        device=machine["device"],
        versions=machine["versions"],
    )


def num_evaluated(partition: Mapping[str, Any], peer: int) -> dict[str, int]:
    """Return the sizes of the evaluation sets of a peer by name, given the metadata of the partition."""
    return {
        "validation_global": partition["num_validation"],
        "validation_own": partition["num_own_validation"][peer],
        "test_global": partition["num_test"],
        "test_own": partition["num_own_test"][peer],
    }


class Interface(NamedTuple):
    """The description of the input and the output of a published network."""

    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    channel_mean: tuple[float, ...]
    channel_std: tuple[float, ...]


def interface(network: PeerNetwork, dataset: ImageDataset) -> Interface:
    """Return the interface of a peer's network without its adapter, because published files do not contain the adapter.

    Parts of the interface that the user does not describe are taken from the data set, such as the mean of the pixels.
    """
    mean = dataset.channel_mean if network.mean is None else network.mean
    std = dataset.channel_std if network.std is None else network.std
    _, height, width = dataset.image_shape
    size = network.image_size_pixels
    return Interface(
        image_shape=(len(mean), size or height, size or width),
        class_names=network.classes or dataset.class_names,
        channel_mean=mean,
        channel_std=std,
    )


def card_setting(config: ExperimentConfig, trial: Mapping[str, Any] | None) -> CardSetting | None:
    """Return the setting of a trial for its model card, given the trial's record or its row in the table of trials."""
    if trial is None:
        return None
    return CardSetting(
        teacher=trial["teacher"],
        transfer_set=trial["transfer_set"],
        temperature=trial["temperature"],
        alpha=trial["alpha"],
        distillation_weight=trial["distillation_weight"],
        learning_rate=trial["learning_rate"] or config.distill.learning_rate,
        loss=trial.get(LOSS),
        target=trial.get(TARGET),
        epochs=trial["epochs"],
        num_transfer_samples=trial["num_transfer_samples"],
    )


def _named(setting: CardSetting | None, names: Sequence[str]) -> CardSetting | None:
    if setting is None or setting.teacher is None:
        return setting
    return replace(setting, teacher_name=names[setting.teacher])


def weights_name(student: int) -> str:
    """Return the name of the file with a student's network."""
    return f"{student_name(student)}.safetensors"


def write_card(card: ModelCard, folder: Path) -> None:
    """Write a model card to a folder in both of its formats, JSON and Markdown."""
    stem = student_name(card.student)
    (folder / f"{stem}.json").write_text(card.to_json(), encoding="utf-8")
    (folder / f"{stem}.md").write_text(card.to_markdown(), encoding="utf-8")
