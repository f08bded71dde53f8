"""The trials of a sweep, and their order: a list of units that can be done anywhere, in any order. No torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from peerkd.config.experiment import ExperimentConfig
from peerkd.config.sweep import DEFAULT_ALPHA, DEFAULT_TEMPERATURE, TransferSet
from peerkd.config.training import ConventionsConfig


class Setting(NamedTuple):
    """What the loss of one trial is made of."""

    temperature: float | None
    """None for a control."""

    alpha: float
    """As configured; see ``ConventionsConfig.alpha_weighs``."""

    distillation_weight: float


class Trial(NamedTuple):
    """One training of one student."""

    student: int
    teacher: int | None
    """For a control, the peer whose data it trains on; None where the student's or the public data serve."""

    transfer_set: TransferSet
    setting: Setting

    @property
    def identity(self) -> tuple[object, ...]:
        """What tells this trial from every other of the sweep; equal to ``record_identity`` of its record."""
        return (self.student, self.teacher, self.transfer_set, self.setting.temperature, self.setting.alpha)


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """Trials that share a transfer set and a teacher: batches and teacher logits are made once for all of them."""

    owners: tuple[int, ...]
    """Peers whose training sets are joined to the transfer set; empty for the public set."""

    teacher: int | None
    """The peer whose logits are needed; None for controls."""

    trials: tuple[Trial, ...]


def record_identity(record: Mapping[str, Any]) -> tuple[object, ...]:
    """Return the identity of the trial that a journal's record or a table's row tells of."""
    return tuple(record[name] for name in ("student", "teacher", "transfer_set", "temperature", "alpha"))


def distillation_weight(alpha: float, conventions: ConventionsConfig) -> float:
    """Return the weight of the divergence that ``alpha`` stands for."""
    return alpha if conventions.alpha_weighs == "distillation" else 1 - alpha


def settings(config: ExperimentConfig, transfer_set: TransferSet) -> tuple[Setting, ...]:
    """Return the settings that a pair tries on one transfer set, the untuned default among them, controls apart.

    Without labels there is no cross entropy, so the weight of the divergence is 1 and only the temperature varies.
    """
    conventions = config.distill.conventions
    grid = [(temperature, alpha) for temperature in config.sweep.temperatures for alpha in config.sweep.alphas]
    grid.append((DEFAULT_TEMPERATURE, DEFAULT_ALPHA))
    if transfer_set == "public_unlabelled":
        alpha_without_labels = 1.0 if conventions.alpha_weighs == "distillation" else 0.0
        grid = [(temperature, alpha_without_labels) for temperature, _ in grid]
    weighed = [Setting(t, alpha, distillation_weight(alpha, conventions)) for t, alpha in dict.fromkeys(grid)]
    # A weight of 0 is the control, which depends on no temperature and is planned once.
    return tuple(sorted(setting for setting in weighed if setting.distillation_weight > 0))


def plan(config: ExperimentConfig) -> list[Unit]:
    """Return every trial of the sweep, each exactly once, as units; the largest come first so that none ends late.

    All ordered pairs of peers, so that every peer is student and teacher to every other. The control of a student
    on a set depends on neither temperature nor teacher, so it is one trial however large the grid.
    """
    peers = range(config.partition.num_peers)
    units: list[Unit] = []
    for transfer_set in config.sweep.transfer_sets:
        grid = settings(config, transfer_set)
        for (owners, teacher), students in _groups(transfer_set, peers):
            trials = tuple(Trial(student, teacher, transfer_set, setting) for student in students for setting in grid)
            units.append(Unit(owners=owners, teacher=teacher, trials=trials))
        units.extend(_controls(config, transfer_set, peers))
    return sorted(units, key=lambda unit: -len(unit.trials) * max(len(unit.owners), 1))


def _groups(transfer_set: TransferSet, peers: Sequence[int]) -> Iterator[tuple[tuple[tuple[int, ...], int], list[int]]]:
    """Yield (owners of the set, teacher) with the students that they serve."""
    groups: dict[tuple[tuple[int, ...], int], list[int]] = {}
    for student in peers:
        for teacher in peers:
            if student != teacher:
                owners = set_owners(transfer_set, student=student, teacher=teacher)
                groups.setdefault((owners, teacher), []).append(student)
    yield from groups.items()


def _controls(config: ExperimentConfig, transfer_set: TransferSet, peers: Sequence[int]) -> Iterator[Unit]:
    if transfer_set == "public_unlabelled":
        return  # plain fine-tuning needs labels
    alpha = 0.0 if config.distill.conventions.alpha_weighs == "distillation" else 1.0
    control = Setting(None, alpha, 0.0)
    if transfer_set in ("student", "public"):
        trials = [Trial(student, None, transfer_set, control) for student in peers]
    else:
        trials = [Trial(s, t, transfer_set, control) for s in peers for t in peers if s != t]
    groups: dict[tuple[int, ...], list[Trial]] = {}
    for trial in trials:
        teacher = trial.student if trial.teacher is None else trial.teacher
        groups.setdefault(set_owners(transfer_set, student=trial.student, teacher=teacher), []).append(trial)
    for owners, members in groups.items():
        yield Unit(owners=owners, teacher=None, trials=tuple(members))


def set_owners(transfer_set: TransferSet, *, student: int, teacher: int) -> tuple[int, ...]:
    """Return the peers whose training sets make a pair's transfer set; none for a public set."""
    match transfer_set:
        case "student":
            return (student,)
        case "teacher":
            return (teacher,)
        case "both":
            return tuple(sorted((student, teacher)))
        case "public" | "public_unlabelled":
            return ()


def without(units: Sequence[Unit], done: set[tuple[object, ...]]) -> list[Unit]:
    """Return the units with the trials that are not among the identities in ``done``."""
    left = (
        Unit(owners=u.owners, teacher=u.teacher, trials=tuple(t for t in u.trials if t.identity not in done))
        for u in units
    )
    return [unit for unit in left if unit.trials]
