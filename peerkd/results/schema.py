"""The columns of the table of trials, one row for each training of one student under one setting.

All accuracies and shares are fractions between 0 and 1, and all gains are differences of accuracies. ``global`` is the
evaluation set of the whole data set, and ``own`` has the student's own class distribution. Choices are made on
``validation``; ``test`` serves only for reporting.
"""

from collections.abc import Iterator
from typing import Final

import pyarrow as pa

from peerkd.results.arrow import field
from peerkd.study.splits import SCOPES, SPLITS

IS_FINITE: Final = "is_finite"
"""The column that says whether a training ended in finite numbers, that is, did not diverge."""

BY_EPOCH_COLUMNS: Final = {(split, scope): f"{split}_{scope}_accuracy_by_epoch" for split in SPLITS for scope in SCOPES}
"""The columns of the accuracies after each epoch, keyed by split and scope. They have values if
``sweep.validate_every_epoch`` or ``tune.chooses_epochs`` is set."""

CORRECT_BITS: Final = {split: f"{split}_correct_bits" for split in SPLITS}
"""The columns that record on which samples a student is right after a trial, keyed by split. With them, two trials can
be compared sample by sample."""

LEARNING_RATE: Final = "learning_rate"
"""The column of the learning rate at the start of a trial, for experiments that try several learning rates."""

LOSS: Final = "loss"
"""The column of the loss of a trial, for experiments that try several losses."""

TARGET: Final = "target"
"""The column of the target of a trial, for experiments that try several targets."""

_BEFORE_AFTER: Final = {
    "before": "Accuracy of the pre-trained student on {samples}, before any distillation",
    "after": "Accuracy of the student on {samples} after this trial; null if it diverged",
}
_GAIN_PARTS: Final = {
    "gain": "Accuracy after minus accuracy before, on {samples}; null if the trial diverged",
    "gain_from_data": "Gain, on {samples}, of fine-tuning the same student on the same transfer set without a teacher; "
    "null if that trial diverged",
    "gain_from_teacher": "Gain minus the gain from data, on {samples}: the teacher's part of the gain",
}


def _identity_fields() -> Iterator[pa.Field]:
    yield field("student", pa.int32(), "Peer that is trained", nullable=False)
    yield field(
        "teacher",
        pa.int32(),
        "Peer that teaches; for fine-tuning, the peer whose data the student trains on; null if no second peer takes "
        "part",
    )
    yield field("transfer_set", pa.string(), "Kind of the transfer set, such as student or both", nullable=False)
    yield field("temperature", pa.float64(), "Temperature T, by which logits are divided; null for fine-tuning")
    yield field(
        "alpha", pa.float64(), "Weight of the term of the loss that conventions.alpha_weighs names", nullable=False
    )
    yield field(
        "distillation_weight", pa.float64(), "Weight of the divergence in the loss; 0 for fine-tuning", nullable=False
    )
    yield field(
        LEARNING_RATE,
        pa.float64(),
        "Learning rate of the first step; null if only distill.learning_rate is tried",
    )
    yield field(LOSS, pa.string(), "Loss of the distillation; null for fine-tuning, or if only distill.loss is tried")
    yield field(
        TARGET,
        pa.string(),
        "Distribution that the student imitates; null for fine-tuning, or if only distill.target is tried",
    )
    yield field("seed", pa.int64(), "Seed of the experiment", nullable=False)
    yield field("num_transfer_samples", pa.int64(), "Samples of the transfer set", nullable=False)
    yield field("epochs", pa.int64(), "Passes over the transfer set", nullable=False)


def _outcome_fields() -> Iterator[pa.Field]:
    yield field(
        IS_FINITE,
        pa.bool_(),
        "Whether the trial ended in finite numbers: false if it diverged",
        nullable=False,
    )
    for split in SPLITS:
        for scope in SCOPES:
            for moment, meaning in _BEFORE_AFTER.items():
                name = f"{split}_{scope}_accuracy_{moment}"
                meaning = meaning.format(samples=f"the {scope} {split} set")
                yield field(name, pa.float64(), meaning, nullable=moment == "after")
            for part, meaning in _GAIN_PARTS.items():
                name = f"{split}_{scope}_{part}"
                yield field(name, pa.float64(), meaning.format(samples=f"the {scope} {split} set"))
        for moment, meaning in _BEFORE_AFTER.items():
            name = f"{split}_class_accuracy_{moment}"
            yield field(name, pa.list_(pa.float64()), meaning.format(samples=f"each class of the {split} set"))
        yield field(
            f"{split}_forgetting",
            pa.float64(),
            "Mean over classes of the lost accuracy; a class that improved counts as 0",
        )
        yield field(
            f"{split}_learning",
            pa.float64(),
            "Mean over classes of the gained accuracy; a class that became worse counts as 0",
        )
        yield field(
            f"{split}_positive_flips",
            pa.float64(),
            "Share of samples that are classified wrongly before the trial and correctly after it",
        )
        yield field(
            f"{split}_negative_flips",
            pa.float64(),
            "Share of samples that are classified correctly before the trial and wrongly after it",
        )
    for split, name in CORRECT_BITS.items():
        yield field(
            name,
            pa.binary(),
            f"One bit for each global {split} sample, in the order of numpy.packbits: 1 if the sample is classified "
            "correctly after the trial",
        )


def _by_epoch_fields() -> Iterator[pa.Field]:
    for (split, scope), name in BY_EPOCH_COLUMNS.items():
        meaning = (
            f"Accuracy on the {scope} {split} set after each epoch of this trial; null if not measured; "
            "an item is null if the network was not finite after that epoch"
        )
        yield field(name, pa.list_(pa.float64()), meaning)


def _circumstance_fields() -> Iterator[pa.Field]:
    yield field("seconds", pa.float64(), "Wall time of the trial, the only column that may differ between two runs")


TRIALS_SCHEMA: Final = pa.schema(
    [*_identity_fields(), *_outcome_fields(), *_by_epoch_fields(), *_circumstance_fields()]
)
"""Every column with its type and, as metadata, its meaning."""
