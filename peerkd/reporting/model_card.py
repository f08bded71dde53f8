"""The card of a published network: what it is, how it was trained, how accurate it is, and how to load it.

A card is a JSON file for programs, and a page of Markdown with the same content for people. The workers of a stage
write the card, so this module does not need the template engine of the pages.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from peerkd.reporting.wording import number, percent, setting
from peerkd.study.controls import is_control
from peerkd.study.splits import SCOPES, SPLITS
from peerkd.study.student_choice import StudentDecision
from peerkd.study.transfer_sets import TRANSFER_SETS
from peerkd.wording import called, plural

FORMAT: Final = 2
"""The version of the card's JSON format."""

Accuracies = Mapping[str, float | None]
"""Accuracies as fractions, by names such as ``validation_global_accuracy``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CardSetting:
    """The training of the network after its pre-training."""

    teacher: int | None
    """The number of the teacher. In a control, the number of the other peer whose data are used. None if there is no
    other peer."""

    transfer_set: str
    temperature: float | None
    alpha: float
    distillation_weight: float
    learning_rate: float
    epochs: int
    num_transfer_samples: int

    loss: str | None = None
    target: str | None = None
    """The target. None if the study tried only one target. The same rule holds for ``loss``, whose formula is in
    ``ModelCard.loss``."""

    teacher_name: str | None = None
    """What the teacher is called. None: its number."""

    @property
    def _teacher(self) -> str:
        return f"peer {self.teacher}" if self.teacher_name is None else called(self.teacher_name)

    def in_words(self) -> str:
        """Return the setting as a phrase that follows "the student"."""
        trained = f"{plural(self.epochs, 'epoch')}, learning rate {number(self.learning_rate)}"
        if self.temperature is None:
            data = f"transfer set {self.transfer_set}"
            # Fine-tuning reads the samples with labels, which may all be the student's or public ones.
            is_of_peer = self.teacher is not None and "teacher" in TRANSFER_SETS[self.transfer_set].labelled_sources
            owner = f" of {self._teacher}" if is_of_peer else ""
            return f"was fine-tuned without a teacher on {data}{owner}; {trained}"
        words = setting(self.transfer_set, self.temperature, self.alpha, loss=self.loss, target=self.target)
        if is_control(self.distillation_weight, self.target):
            is_of_peer = TRANSFER_SETS[self.transfer_set].depends_on_teacher
            owner = f", data of {self._teacher}" if is_of_peer else ""
            return f"learned from its old self, without a teacher, with {words}{owner}; {trained}"
        return f"learned from {self._teacher} with {words}; {trained}"


@dataclass(frozen=True, kw_only=True, slots=True)
class CardRounds:
    """The rounds in which the network was trained after its pre-training."""

    method: str
    """The title of the method."""

    num_rounds: int
    """The number of rounds that proposed a network to the peer. Rounds in which the peer was absent, or had no partner
    to learn from or with, are not counted."""

    num_accepted: int
    """The number of rounds whose proposal the peer accepted."""

    topology: str
    """The kind of the graph of partners."""

    epochs: int
    """The number of epochs of each training in a round."""

    learning_rate: float
    setting: str
    """What a peer imitates and how, as a phrase that follows "with"; empty if it imitates nothing."""

    def in_words(self) -> str:
        """Return the rounds as a phrase that follows "the peer"."""
        trained = f"{plural(self.epochs, 'epoch')} each, learning rate {number(self.learning_rate)}"
        how = f" with {self.setting}" if self.setting else ""
        return (
            f"took part in {plural(self.num_rounds, 'round')} of {self.method}{how}, topology {self.topology}; "
            f"{trained}; it accepted {self.num_accepted} of them"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCard:
    """The description of one published network. Accuracies are fractions; a fingerprint is a SHA-256 in hex."""

    student: int
    decision: StudentDecision
    setting: CardSetting | None
    """The training after the pre-training. None if the student was left unchanged."""

    is_reproduced: bool | None
    """Whether the training is reproduced. A network is published from a second run of its training, which is reproduced
    if it ends with exactly the values that the study recorded for the first run. None if there is nothing to compare:
    the study did not train this trial to the end, or the student stays unchanged."""

    file: str
    """The name of the file with the weights."""

    architecture: str
    num_parameters: int
    image_shape: tuple[int, int, int]
    """Channels, height and width in pixels."""

    class_names: tuple[str, ...]
    """The classes in the order of the logits."""

    channel_mean: tuple[float, ...]
    channel_std: tuple[float, ...]
    """The standard deviation of each channel for pixels from 0 to 1; ``channel_mean`` has the means."""

    accuracy_before: Accuracies
    accuracy_after: Accuracies
    num_samples: Mapping[str, int]
    """The sizes of the evaluation sets, by names such as ``validation_global``."""

    chosen_by: str | None
    """What the chosen training maximises on validation data, in words. None if there was no choice, because the user
    named the setting or the network comes from rounds."""

    max_own_drop: float | None
    """The limit on the loss of own accuracy that the choice of the training respected, as a fraction. None: no
    limit."""

    loss: str
    """The loss of the distillation as a formula."""

    conventions: tuple[str, ...]
    """Sentences that define the distillation beyond the values of temperature and alpha."""

    seed: int
    fingerprints: Mapping[str, str]
    """The fingerprints of the inputs of the training, by name: data set, partition, peers and trials."""

    trials: str
    """The key of the artifact with the trials among which the training was chosen, or of the artifact with the
    rounds."""

    device: str
    versions: Mapping[str, str]

    student_name: str | None = None
    """What the student is called in reports. None: its number."""

    rounds: CardRounds | None = None
    """The rounds after which the network was published. None for a student of a study on pairs."""

    def to_json(self) -> str:
        """Return the card as JSON."""
        values = asdict(self)
        if self.rounds is None:
            del values["rounds"]
        return json.dumps({"format": FORMAT, **values}, indent=2, allow_nan=False) + "\n"

    def to_markdown(self) -> str:
        """Return the card as a page of Markdown."""
        return "\n".join([*_head(self), *_accuracies(self), *_network(self), *_loading(self), *_origin(self)])


def from_json(text: str) -> ModelCard:
    """Return the card that ``to_json`` wrote.

    Raises:
        ValueError: If the text is not a card, or a card of another version.
    """
    refusal = f"A model card must have format {FORMAT} and all its facts, got another text."
    try:
        values = json.loads(text)
        known = values.pop("format") == FORMAT
        values["setting"] = values["setting"] and CardSetting(**values["setting"])
        values["rounds"] = CardRounds(**values["rounds"]) if "rounds" in values else None
        for name in ("image_shape", "class_names", "channel_mean", "channel_std", "conventions"):
            values[name] = tuple(values[name])
        card = ModelCard(**values)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(refusal) from error
    if not known:
        raise ValueError(refusal)
    return card


def what_was_done(card: ModelCard) -> str:
    """Return a sentence about the training of the network."""
    if card.rounds is not None:
        return f"The peer {card.rounds.in_words()}."
    if card.setting is None:
        return (
            f"The student was left unchanged: on validation no training improved its {card.chosen_by} by more than "
            "the noise, with a teacher or without one."
        )
    text = f"The student {card.setting.in_words()}."
    match card.is_reproduced:
        case True:
            return f"{text} This training was judged by the study, and was repeated for this file to the same bits."
        case False:
            return (
                f"{text} The study had judged this training by other numbers: on this machine the same training ends "
                "in other bits, and the accuracies below are those of this file."
            )
        case None:
            return f"{text} The study had not trained this trial as far; it was trained and judged for this file."


def how_it_was_chosen(card: ModelCard) -> str:
    """Return a sentence about the choice of the training."""
    if card.rounds is not None:
        drop = card.max_own_drop
        limit = "if it was finite"
        if drop is not None:
            limit = f"if its own accuracy on validation was at most {100 * drop:g} points below that before the rounds"
        return (
            f"It is the network after the last round. The peer accepted a round {limit}; test data took no part in it."
        )
    if card.chosen_by is None:
        return "A person has named this training; the study may have preferred another one."
    drop = card.max_own_drop
    limit = "" if drop is None else f", under the limit that its own accuracy drops by at most {100 * drop:g} points"
    return f"The choice was made by the student's {card.chosen_by} on validation{limit}; test data took no part in it."


def _head(card: ModelCard) -> list[str]:
    noun = "Student" if card.rounds is None else "Peer"
    has_name = card.student_name is not None and not card.student_name.isdigit()
    name = f": {card.student_name}" if has_name else ""
    return [f"# {noun} {card.student}{name}", "", what_was_done(card), how_it_was_chosen(card), ""]


def _accuracies(card: ModelCard) -> list[str]:
    lines = ["| Evaluation set | Samples | Before | After |", "|---|---:|---:|---:|"]
    for split in SPLITS:
        for scope in SCOPES:
            name = f"{split}_{scope}_accuracy"
            before, after = (_percent(each[name]) for each in (card.accuracy_before, card.accuracy_after))
            lines.append(f"| {scope} {split} | {card.num_samples[f'{split}_{scope}']:,} | {before} | {after} |")
    return [
        *lines,
        "",
        "Global is the evaluation set of the whole data set, and own has the class distribution of the student.",
        "",
    ]


def _network(card: ModelCard) -> list[str]:
    channels, height, width = card.image_shape
    return [
        "## Network",
        "",
        f"- Architecture: {card.architecture}, {card.num_parameters:,} parameters, float32.",
        f"- Input: batches of {channels} x {height} x {width}, `(pixels / 255 - mean) / deviation`, with the mean "
        f"{list(card.channel_mean)} and the deviation {list(card.channel_std)} of each channel.",
        f"- Output: one logit for each class, in this order: {', '.join(card.class_names)}.",
        "",
    ]


def _loading(card: ModelCard) -> list[str]:
    return [
        "## Loading",
        "",
        f"`{card.file}` contains the tensors of the network's `state_dict()`:",
        "",
        "```python",
        "from safetensors.torch import load_file",
        "",
        f'network.load_state_dict(load_file("{card.file}"))',
        "network.eval()",
        "```",
        "",
    ]


def _origin(card: ModelCard) -> list[str]:
    noun = "Trials" if card.rounds is None else "Rounds"
    lines = ["## Origin", "", f"- {noun}: {card.trials}, seed {card.seed}, trained on {card.device}."]
    lines += [f"- SHA-256 of the {name}: {value}" for name, value in card.fingerprints.items()]
    lines.append(f"- Versions: {', '.join(f'{name} {value}' for name, value in card.versions.items())}.")
    if (card.setting is not None and card.setting.temperature is not None) or (card.rounds and card.rounds.setting):
        lines += ["", "The loss, and what temperature and alpha leave open:", "", "```text", card.loss, "```", ""]
        lines += [f"- {sentence}" for sentence in card.conventions]
    return [*lines, ""]


def _percent(fraction: float | None) -> str:
    return "none" if fraction is None else percent(fraction)
