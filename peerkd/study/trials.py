"""The trials of a sweep, each of which trains one student once, and the units in which trials are done.

The identity of a trial distinguishes the trial from all other trials of the experiment. Journals, tables and saved
training states refer to trials by identity.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from peerkd.study.transfer_sets import TransferSet, table_position

LATER_COLUMNS: Final = ("loss", "target")
"""Columns that older records and tables lack, because they were added later. A missing column is read as None."""

_FIRST_COLUMNS: Final = ("student", "teacher", "transfer_set", "temperature", "alpha", "learning_rate")

IDENTITY_COLUMNS: Final = (*_FIRST_COLUMNS, *LATER_COLUMNS)
"""The columns of a record or a table that together identify a trial inside an experiment."""


class Setting(NamedTuple):
    """The hyper-parameters of the loss of one trial, and its learning rate."""

    temperature: float | None
    """The temperature T. None for fine-tuning, whose loss has no divergence."""

    alpha: float
    """The alpha as configured: the weight of the term that ``ConventionsConfig.alpha_weighs`` names."""

    distillation_weight: float
    """The weight of the divergence in the loss; 0 for fine-tuning."""

    learning_rate: float | None = None
    """The learning rate of the first step. None: the experiment tries only ``distill.learning_rate``."""

    loss: str | None = None
    """The name of the loss in ``PAIR_LOSSES``. None for fine-tuning, or if the experiment tries only one loss."""

    target: str | None = None
    """The label of the target in ``TARGET_LABELS``. None for fine-tuning, or if an experiment tries only one target."""


class Trial(NamedTuple):
    """One training of one student: on which transfer set, under which setting, and with which teacher, if any."""

    student: int
    teacher: int | None
    """The teacher of a distillation. Fine-tuning has no teacher: if it uses the training set of another peer, this
    field is the other peer, and if it uses only the student's own data or the public set, this field is None."""

    transfer_set: TransferSet
    setting: Setting

    @property
    def identity(self) -> tuple[object, ...]:
        """The values that distinguish this trial from all others of the sweep, as ``record_identity`` returns them."""
        temperature, alpha, _, rate, loss, target = self.setting
        return self.student, self.teacher, self.transfer_set, temperature, alpha, rate, loss, target

    def to_record(self) -> dict[str, Any]:
        """Return the values that describe the trial in a record, keyed by column.

        ``from_record`` restores the trial from them.
        """
        temperature, alpha, weight, rate, loss, target = self.setting
        return {
            "student": self.student,
            "teacher": self.teacher,
            "transfer_set": self.transfer_set,
            "temperature": temperature,
            "alpha": alpha,
            "distillation_weight": weight,
            "learning_rate": rate,
            "loss": loss,
            "target": target,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Trial":
        """Return the trial that a journal's record or a table's row describes."""
        setting = Setting(
            record["temperature"],
            record["alpha"],
            record["distillation_weight"],
            record["learning_rate"],
            *map(record.get, LATER_COLUMNS),
        )
        return cls(record["student"], record["teacher"], record["transfer_set"], setting)


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """Trials that share their samples and their teacher: batches and teacher logits are made once for all of them.

    Their kinds of transfer sets may differ in the use of labels.
    """

    owners: tuple[int, ...]
    """The owners of the samples, as ``set_owners`` returns them: the peers whose training sets are joined, and
    ``PUBLIC`` if the public set is joined to them. Empty if the public set is the whole transfer set."""

    teacher: int | None
    """The peer whose logits are needed; None for units of fine-tuning."""

    trials: tuple[Trial, ...]

    unlabelled_owners: tuple[int, ...] = ()
    """The owners of the samples that only the divergence uses, as the function ``unlabelled_owners`` returns them. The
    labels of these samples are not used. Empty if the divergence uses the samples of the cross entropy."""

    @property
    def samples(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Both kinds of owners, ``owners`` and ``unlabelled_owners``. Units with equal owners have equal batches."""
        return self.owners, self.unlabelled_owners


def record_identity(record: Mapping[str, Any]) -> tuple[object, ...]:
    """Return the identity of the trial that a journal's record or a table's row describes."""
    return (*(record[name] for name in _FIRST_COLUMNS), *map(record.get, LATER_COLUMNS))


def setting_order(
    transfer_set: str,
    temperature: float | None,
    alpha: float,
    distillation_weight: float,
    learning_rate: float | None,
    loss: str | None,
    target: str | None,
) -> tuple[float | str, ...]:
    """Return a sort key for a setting or a control of a pair. Its order is the order in the table of trials."""
    return (
        table_position(transfer_set),
        distillation_weight,
        0.0 if temperature is None else temperature,
        alpha,
        learning_rate or 0.0,
        loss or "",
        target or "",
    )


def without(units: Iterable[Unit], done: set[tuple[object, ...]]) -> Iterator[Unit]:
    """Yield the units without the trials whose identities are in ``done``. Units that become empty are omitted."""
    for unit in units:
        left = tuple(trial for trial in unit.trials if trial.identity not in done) if done else unit.trials
        if left:
            yield replace(unit, trials=left)
