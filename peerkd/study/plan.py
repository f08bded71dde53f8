"""The plan of a sweep: every trial exactly once, in units that any worker can do in any order."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import overload

from peerkd.study.grid import Grid, control_settings, settings
from peerkd.study.pairs import Pairs
from peerkd.study.transfer_sets import (
    TRANSFER_SETS,
    TransferSet,
    grouped_by_samples,
    set_owners,
    unlabelled_owners,
)
from peerkd.study.trials import Setting, Trial, Unit


class Plan(Sequence[Unit]):
    """A sequence of units that are created on access, so that a large plan takes no memory. A slice is a plan too."""

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
        """Return one unit, or a slice of the plan."""
        if isinstance(index, slice):
            return Plan(self._blocks, self._places[index])
        place = self._places[index]
        number = bisect_right(self._ends, place)
        block = self._blocks[number]
        return block.unit(place - self._ends[number] + block.num_units)

    @property
    def num_trials(self) -> int:
        """The number of trials, computed without creating the units."""
        if self._places.step != 1:
            return sum(len(unit.trials) for unit in self)
        first = self._places.start
        stop = max(self._places.stop, first)
        num = 0
        for block, end in zip(self._blocks, self._ends, strict=True):
            begin = end - block.num_units
            low, high = (min(max(place - begin, 0), block.num_units) for place in (first, stop))
            num += block.num_trials_before(high) - block.num_trials_before(low)
        return num


@dataclass(frozen=True, kw_only=True, slots=True)
class _Block:
    """Units with the same settings on transfer sets with the same samples.

    Either all units of a block have a teacher, or none has.
    """

    num_units: int
    num_owners: int
    num_trials: int
    """The largest number of trials of a unit."""

    unit: Callable[[int], Unit]
    """A function that creates one unit of the block, given the unit's number from 0 to ``num_units`` - 1."""

    num_trials_before: Callable[[int], int]
    """A function that returns the number of trials of the first units of the block, given the number of these units."""


def plan(grid: Grid, peers: Pairs | Sequence[int], *, without: Grid | None = None) -> Plan:
    """Return every trial of the sweep, each exactly once, as units.

    Each ordered pair of peers tries every setting. Fine-tuning has no temperature and uses no teacher's logits, so the
    number of its trials grows only with the number of learning rates. Kinds of transfer sets with the same samples
    share their units, because they share the teacher's logits. The largest units come first, so that no large one is
    still running when all others are done.

    Args:
        grid: The values of the hyper-parameters that the sweep tries.
        peers: The pairs, or the peers that take part, ascending, if each of them is a student and a teacher of all
            others.
        without: A grid with fewer values whose trials are omitted. None: no trial is omitted.
    """
    pairs = peers if isinstance(peers, Pairs) else Pairs(peers)
    earlier_controls = control_settings(without) if without else ()
    controls = tuple(each for each in control_settings(grid) if each not in earlier_controls)
    blocks: list[_Block] = []
    for transfer_sets in grouped_by_samples(grid.transfer_sets):
        tried = [(name, setting) for name in transfer_sets for setting in _new_settings(grid, name, without)]
        blocks += [_distillations(transfer_sets[0], tried, pairs)] * bool(tried)
        with_controls = [name for name in transfer_sets if TRANSFER_SETS[name].uses_labels and controls]
        blocks += [_controls(name, controls, pairs) for name in with_controls]
    blocks.sort(key=lambda block: -block.num_trials * max(block.num_owners, 1))
    return Plan(blocks, range(sum(block.num_units for block in blocks)))


def _new_settings(grid: Grid, transfer_set: TransferSet, without: Grid | None) -> list[Setting]:
    earlier = {*settings(without, transfer_set)} if without else ()
    return [setting for setting in settings(grid, transfer_set) if setting not in earlier]


def _distillations(transfer_set: TransferSet, tried: Sequence[tuple[TransferSet, Setting]], pairs: Pairs) -> _Block:
    """Return the units with a teacher on kinds of transfer sets with the same samples.

    There is one unit for each teacher if the samples are the same for all students, because the teacher's logits then
    serve all of them. Otherwise there is one unit for each pair.

    Args:
        transfer_set: One of these kinds. Any of them can be given, because all have the same samples.
        tried: The trials of each pair, as kinds of transfer sets and settings.
        pairs: The pairs.
    """

    def of_teacher(number: int) -> Unit:
        teacher = pairs.teachers[number]
        return unit(teacher, pairs.partners(teacher))

    def of_pair(number: int) -> Unit:
        student, teacher = pairs.pair(number)
        return unit(teacher, [student])

    def unit(teacher: int, students: Sequence[int]) -> Unit:
        return Unit(
            owners=set_owners(transfer_set, student=students[0], teacher=teacher),
            unlabelled_owners=unlabelled_owners(transfer_set, student=students[0], teacher=teacher),
            teacher=teacher,
            trials=tuple(Trial(student, teacher, name, setting) for student in students for name, setting in tried),
        )

    if TRANSFER_SETS[transfer_set].depends_on_student:
        return _equal_units(transfer_set, pairs.num_pairs, num_trials=len(tried), unit=of_pair)
    return _units_of_teachers(transfer_set, pairs, num_trials=len(tried), unit=of_teacher)


def _controls(transfer_set: TransferSet, controls: tuple[Setting, ...], pairs: Pairs) -> _Block:
    """Return the units without a teacher: one for each set of samples."""
    facts, peers = TRANSFER_SETS[transfer_set], pairs.peers

    def unit(of: Iterable[tuple[int, int | None]], *, student: int, teacher: int) -> Unit:
        trials = tuple(Trial(*pair, transfer_set, control) for pair in of for control in controls)
        return Unit(
            owners=set_owners(transfer_set, student=student, teacher=teacher),
            unlabelled_owners=unlabelled_owners(transfer_set, student=student, teacher=teacher),
            teacher=None,
            trials=trials,
        )

    # A set that does not depend on the student has the same samples for every student, so any peer can be named as one.
    # The same holds for the teacher.
    def of_student(number: int) -> Unit:
        student = peers[number]
        return unit([(student, None)], student=student, teacher=student)

    def of_public(_: int) -> Unit:
        return unit(((student, None) for student in peers), student=peers[0], teacher=peers[0])

    def of_teachers_data(number: int) -> Unit:
        teacher = pairs.teachers[number]
        return unit(((student, teacher) for student in pairs.partners(teacher)), student=teacher, teacher=teacher)

    def of_both(number: int) -> Unit:
        first, second = pairs.edge(number)
        return unit(((first, second), (second, first)), student=first, teacher=second)

    def of_pair(number: int) -> Unit:
        student, teacher = pairs.pair(number)
        return unit([(student, teacher)], student=student, teacher=teacher)

    num = len(controls)
    if facts.depends_on_student and facts.depends_on_teacher:
        if not any({"student", "teacher"} <= part for part in facts.samples):
            # The two are in different parts of a batch, so exchanging them gives other samples.
            return _equal_units(transfer_set, pairs.num_pairs, num_trials=num, unit=of_pair)
        return _equal_units(transfer_set, pairs.num_edges, num_trials=2 * num, unit=of_both)
    if facts.depends_on_student:
        return _equal_units(transfer_set, len(peers), num_trials=num, unit=of_student)
    if facts.depends_on_teacher:
        return _units_of_teachers(transfer_set, pairs, num_trials=num, unit=of_teachers_data)
    return _equal_units(transfer_set, 1, num_trials=num * len(peers), unit=of_public)


def _equal_units(transfer_set: TransferSet, num_units: int, *, num_trials: int, unit: Callable[[int], Unit]) -> _Block:
    """Return a block whose units all have ``num_trials`` trials."""
    return _Block(
        num_units=num_units,
        num_owners=_num_owners(transfer_set),
        num_trials=num_trials,
        unit=unit,
        num_trials_before=lambda num: num * num_trials,
    )


def _units_of_teachers(
    transfer_set: TransferSet, pairs: Pairs, *, num_trials: int, unit: Callable[[int], Unit]
) -> _Block:
    """Return a block with a unit for each teacher, which has ``num_trials`` trials for each of its students."""
    return _Block(
        num_units=len(pairs.teachers),
        num_owners=_num_owners(transfer_set),
        num_trials=num_trials * max((len(pairs.partners(each)) for each in pairs.teachers), default=0),
        unit=unit,
        num_trials_before=lambda num: num_trials * pairs.num_pairs_of_teachers(num),
    )


def _num_owners(transfer_set: TransferSet) -> int:
    pair = {"student": 0, "teacher": 1}
    return len(set_owners(transfer_set, **pair)) + len(unlabelled_owners(transfer_set, **pair))
