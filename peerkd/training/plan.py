"""The trials of a sweep, and their order: a list of units that can be done anywhere, in any order. No torch."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple, overload

from peerkd.config.experiment import ExperimentConfig
from peerkd.config.training import ConventionsConfig
from peerkd.study.defaults import DEFAULT_ALPHA, DEFAULT_TEMPERATURE
from peerkd.study.transfer_sets import TRANSFER_SETS, TransferSet, set_owners


class Setting(NamedTuple):
    """What the loss of one trial is made of."""

    temperature: float | None
    """None for a control."""

    alpha: float
    """As configured; see ``ConventionsConfig.alpha_weighs``."""

    distillation_weight: float

    learning_rate: float | None = None
    """Of the first step. None: that of the recipe, where no other is tried."""


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
        setting = self.setting
        return _identity(
            (self.student, self.teacher, self.transfer_set, setting.temperature, setting.alpha), setting.learning_rate
        )


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
    names = ("student", "teacher", "transfer_set", "temperature", "alpha")
    return _identity(tuple(record[name] for name in names), record.get("learning_rate"))


def _identity(common: tuple[object, ...], learning_rate: float | None) -> tuple[object, ...]:
    return common if learning_rate is None else (*common, learning_rate)


def distillation_weight(alpha: float, conventions: ConventionsConfig) -> float:
    """Return the weight of the divergence that ``alpha`` stands for."""
    return alpha if conventions.alpha_weighs == "distillation" else 1 - alpha


def settings(config: ExperimentConfig, transfer_set: TransferSet) -> tuple[Setting, ...]:
    """Return the settings that a pair tries on one transfer set, the untuned default among them, controls apart.

    Without labels there is no cross entropy, so the weight of the divergence is 1 and only the temperature varies.
    Settings of one learning rate are neighbours: students side by side then mostly have the same.
    """
    conventions = config.distill.conventions
    grid = [
        (rate, temperature, alpha)
        for rate in config.sweep.learning_rates or (None,)
        for temperature in config.sweep.temperatures
        for alpha in config.sweep.alphas
    ]
    grid.append((default_learning_rate(config), DEFAULT_TEMPERATURE, DEFAULT_ALPHA))
    if not TRANSFER_SETS[transfer_set].uses_labels:
        alpha_without_labels = 1.0 if conventions.alpha_weighs == "distillation" else 0.0
        grid = [(rate, temperature, alpha_without_labels) for rate, temperature, _ in grid]
    weighed = [
        Setting(temperature, alpha, distillation_weight(alpha, conventions), rate)
        for rate, temperature, alpha in dict.fromkeys(grid)
    ]
    # A weight of 0 is the control, which depends on no temperature and is planned once.
    return tuple(sorted((each for each in weighed if each.distillation_weight > 0), key=_by_rate))


def default_learning_rate(config: ExperimentConfig) -> float | None:
    """Return the rate of the untuned default; None where it is that of every trial."""
    return config.distill.learning_rate if config.sweep.learning_rates else None


def control_settings(config: ExperimentConfig) -> tuple[Setting, ...]:
    """Return the settings of the controls: at every learning rate, as a tuned rate is no gain of distillation."""
    alpha = 0.0 if config.distill.conventions.alpha_weighs == "distillation" else 1.0
    rates = {*config.sweep.learning_rates, default_learning_rate(config)}
    return tuple(sorted((Setting(None, alpha, 0.0, rate) for rate in rates), key=_by_rate))


def _by_rate(setting: Setting) -> tuple[float, ...]:
    return (setting.learning_rate or 0.0, setting.temperature or 0.0, setting.alpha)


class Plan(Sequence[Unit]):
    """Units that are made when they are asked for, so that a plan of millions takes no memory. Slices are plans too."""

    def __init__(self, blocks: Sequence["_Block"], places: range) -> None:
        self._blocks, self._places = blocks, places
        self._ends = list(accumulate(block.num_units for block in blocks))

    def __len__(self) -> int:
        """Return the number of units."""
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Unit: ...

    @overload
    def __getitem__(self, index: slice) -> "Plan": ...

    def __getitem__(self, index: int | slice) -> "Unit | Plan":
        """Return a unit, or the plan of some."""
        if isinstance(index, slice):
            return Plan(self._blocks, self._places[index])
        place = self._places[index]
        number = bisect_right(self._ends, place)
        block = self._blocks[number]
        return block.unit(place - self._ends[number] + block.num_units)

    @property
    def num_trials(self) -> int:
        """The number of trials, which no unit is made for."""
        if self._places.step != 1:
            return sum(len(unit.trials) for unit in self)
        first, stop = self._places.start, self._places.stop
        return sum(
            block.num_trials * max(min(end, stop) - max(end - block.num_units, first), 0)
            for block, end in zip(self._blocks, self._ends, strict=True)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Block:
    """Units of one kind on one transfer set, all equally large."""

    num_units: int
    num_owners: int
    num_trials: int
    """Of each unit."""

    unit: Callable[[int], Unit]
    """Makes one by its number."""


def plan(config: ExperimentConfig, *, peers: Sequence[int] | None = None) -> Plan:
    """Return every trial of the sweep, each exactly once, as units; the largest come first so that none ends late.

    All ordered pairs of peers, so that every peer is student and teacher to every other. The control of a student
    on a set depends on neither temperature nor teacher, so it is one trial a learning rate however large the grid.

    Args:
        config: The experiment.
        peers: The peers that take part, ascending. None: all.
    """
    peers = range(config.partition.num_peers) if peers is None else peers
    blocks: list[_Block] = []
    for transfer_set in config.sweep.transfer_sets:
        blocks.append(_distillations(transfer_set, settings(config, transfer_set), peers))
        blocks.extend(_controls(config, transfer_set, peers))
    blocks.sort(key=lambda block: -block.num_trials * max(block.num_owners, 1))
    return Plan(blocks, range(sum(block.num_units for block in blocks)))


def _distillations(transfer_set: TransferSet, grid: tuple[Setting, ...], peers: Sequence[int]) -> _Block:
    """Return the units with a teacher: one a teacher where it serves all students on one set, else one a pair."""
    num_peers = len(peers)

    def of_teacher(number: int) -> Unit:
        teacher = peers[(number + 1) % num_peers]
        return unit(teacher, [student for student in peers if student != teacher])

    def of_pair(number: int) -> Unit:
        # Students in order, and for each of them the teachers.
        student, place = divmod(number, num_peers - 1)
        return unit(peers[place + (place >= student)], [peers[student]])

    def unit(teacher: int, students: Sequence[int]) -> Unit:
        return Unit(
            owners=set_owners(transfer_set, student=students[0], teacher=teacher),
            teacher=teacher,
            trials=tuple(Trial(student, teacher, transfer_set, setting) for student in students for setting in grid),
        )

    serves_all = not TRANSFER_SETS[transfer_set].depends_on_student
    return _Block(
        num_units=num_peers if serves_all else num_peers * (num_peers - 1),
        num_owners=len(set_owners(transfer_set, student=0, teacher=1)),
        num_trials=len(grid) * (num_peers - 1 if serves_all else 1),
        unit=of_teacher if serves_all else of_pair,
    )


def _controls(config: ExperimentConfig, transfer_set: TransferSet, peers: Sequence[int]) -> Iterator[_Block]:
    facts = TRANSFER_SETS[transfer_set]
    num_peers, controls = len(peers), control_settings(config)

    def unit(owners: tuple[int, ...], pairs: Iterable[tuple[int, int | None]]) -> Unit:
        trials = tuple(
            Trial(student, teacher, transfer_set, control) for student, teacher in pairs for control in controls
        )
        return Unit(owners=owners, teacher=None, trials=trials)

    def of_student(number: int) -> Unit:
        return unit((peers[number],), [(peers[number], None)])

    def of_public(_: int) -> Unit:
        return unit((), ((student, None) for student in peers))

    def of_teachers_data(number: int) -> Unit:
        teacher = peers[(number + 1) % num_peers]
        return unit((teacher,), ((student, teacher) for student in peers if student != teacher))

    def of_both(number: int) -> Unit:
        # Unordered pairs in order, those of the first peer first.
        first = bisect_right(range(num_peers), number, key=num_pairs_before) - 1
        pair = peers[first], peers[number - num_pairs_before(first) + first + 1]
        return unit(pair, (pair, pair[::-1]))

    def num_pairs_before(peer: int) -> int:
        return peer * (2 * num_peers - peer - 1) // 2

    def block(num_units: int, *, num_owners: int, num_pairs: int, unit: Callable[[int], Unit]) -> _Block:
        num_trials = num_pairs * len(controls)
        return _Block(num_units=num_units, num_owners=num_owners, num_trials=num_trials, unit=unit)

    if not facts.uses_labels:
        return
    match facts.depends_on_student, facts.depends_on_teacher:
        case True, False:
            yield block(num_peers, num_owners=1, num_pairs=1, unit=of_student)
        case False, True:
            yield block(num_peers, num_owners=1, num_pairs=num_peers - 1, unit=of_teachers_data)
        case True, True:
            yield block(num_peers * (num_peers - 1) // 2, num_owners=2, num_pairs=2, unit=of_both)
        case False, False:
            yield block(1, num_owners=0, num_pairs=num_peers, unit=of_public)


def without(units: Iterable[Unit], done: set[tuple[object, ...]]) -> Iterator[Unit]:
    """Yield the units with the trials that are not among the identities in ``done``."""
    for unit in units:
        left = tuple(trial for trial in unit.trials if trial.identity not in done) if done else unit.trials
        if left:
            yield Unit(owners=unit.owners, teacher=unit.teacher, trials=left)
