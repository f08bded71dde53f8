"""The plan of a sweep: every trial exactly once, in units that any worker can do in any order."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import overload

from peerkd.study.grid import Grid, control_settings, settings
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
        first, stop = self._places.start, self._places.stop
        return sum(
            block.num_trials * max(min(end, stop) - max(end - block.num_units, first), 0)
            for block, end in zip(self._blocks, self._ends, strict=True)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Block:
    """Units with equally many trials on transfer sets with the same samples.

    Either all units of a block have a teacher, or none has.
    """

    num_units: int
    num_owners: int
    num_trials: int
    """The number of trials of each unit."""

    unit: Callable[[int], Unit]
    """A function that creates one unit of the block, given the unit's number from 0 to ``num_units`` - 1."""


def plan(grid: Grid, peers: Sequence[int], *, without: Grid | None = None) -> Plan:
    """Return every trial of the sweep, each exactly once, as units.

    Each ordered pair of peers tries every setting, so every peer is a student of all other peers, and a teacher of all
    other peers. Fine-tuning has no temperature and uses no teacher's logits, so the number of its trials grows only
    with the number of learning rates. Kinds of transfer sets with the same samples share their units, because they
    share the teacher's logits. The largest units come first, so that no large one is still running when all others are
    done.

    Args:
        grid: The values of the hyper-parameters that the sweep tries.
        peers: The peers that take part, ascending.
        without: A grid with fewer values whose trials are omitted. None: no trial is omitted.
    """
    earlier_controls = control_settings(without) if without else ()
    controls = tuple(each for each in control_settings(grid) if each not in earlier_controls)
    blocks: list[_Block] = []
    for transfer_sets in grouped_by_samples(grid.transfer_sets):
        tried = [(name, setting) for name in transfer_sets for setting in _new_settings(grid, name, without)]
        blocks += [_distillations(transfer_sets[0], tried, peers)] * bool(tried)
        with_controls = [name for name in transfer_sets if TRANSFER_SETS[name].uses_labels and controls]
        blocks += [_controls(name, controls, peers) for name in with_controls]
    blocks.sort(key=lambda block: -block.num_trials * max(block.num_owners, 1))
    return Plan(blocks, range(sum(block.num_units for block in blocks)))


def _new_settings(grid: Grid, transfer_set: TransferSet, without: Grid | None) -> list[Setting]:
    earlier = {*settings(without, transfer_set)} if without else ()
    return [setting for setting in settings(grid, transfer_set) if setting not in earlier]


def _distillations(
    transfer_set: TransferSet, tried: Sequence[tuple[TransferSet, Setting]], peers: Sequence[int]
) -> _Block:
    """Return the units with a teacher on kinds of transfer sets with the same samples.

    There is one unit for each teacher if the samples are the same for all students, because the teacher's logits then
    serve all of them. Otherwise there is one unit for each pair.

    Args:
        transfer_set: One of these kinds. Any of them can be given, because all have the same samples.
        tried: The trials of each pair, as kinds of transfer sets and settings.
        peers: The peers that take part.
    """
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
            unlabelled_owners=unlabelled_owners(transfer_set, student=students[0], teacher=teacher),
            teacher=teacher,
            trials=tuple(Trial(student, teacher, name, setting) for student in students for name, setting in tried),
        )

    serves_all = not TRANSFER_SETS[transfer_set].depends_on_student
    return _Block(
        num_units=num_peers if serves_all else num_peers * (num_peers - 1),
        num_owners=_num_owners(transfer_set),
        num_trials=len(tried) * (num_peers - 1 if serves_all else 1),
        unit=of_teacher if serves_all else of_pair,
    )


def _controls(transfer_set: TransferSet, controls: tuple[Setting, ...], peers: Sequence[int]) -> _Block:
    """Return the units without a teacher: one for each set of samples."""
    facts, num_peers = TRANSFER_SETS[transfer_set], len(peers)

    def unit(pairs: Iterable[tuple[int, int | None]], *, student: int, teacher: int) -> Unit:
        trials = tuple(Trial(*pair, transfer_set, control) for pair in pairs for control in controls)
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
        teacher = peers[(number + 1) % num_peers]
        pairs = ((student, teacher) for student in peers if student != teacher)
        return unit(pairs, student=teacher, teacher=teacher)

    def of_both(number: int) -> Unit:
        # Unordered pairs in order, those of the first peer first.
        first = bisect_right(range(num_peers), number, key=num_pairs_before) - 1
        pair = peers[first], peers[number - num_pairs_before(first) + first + 1]
        return unit((pair, pair[::-1]), student=pair[0], teacher=pair[1])

    def num_pairs_before(peer: int) -> int:
        return peer * (2 * num_peers - peer - 1) // 2

    def block(num_units: int, *, num_pairs: int, unit: Callable[[int], Unit]) -> _Block:
        num_trials = num_pairs * len(controls)
        return _Block(num_units=num_units, num_owners=_num_owners(transfer_set), num_trials=num_trials, unit=unit)

    def of_pair(number: int) -> Unit:
        student, place = divmod(number, num_peers - 1)
        pair = peers[student], peers[place + (place >= student)]
        return unit([pair], student=pair[0], teacher=pair[1])

    if facts.depends_on_student and facts.depends_on_teacher:
        if not any({"student", "teacher"} <= part for part in facts.samples):
            # The two are in different parts of a batch, so exchanging them gives other samples.
            return block(num_peers * (num_peers - 1), num_pairs=1, unit=of_pair)
        return block(num_peers * (num_peers - 1) // 2, num_pairs=2, unit=of_both)
    if facts.depends_on_student:
        return block(num_peers, num_pairs=1, unit=of_student)
    if facts.depends_on_teacher:
        return block(num_peers, num_pairs=num_peers - 1, unit=of_teachers_data)
    return block(1, num_pairs=num_peers, unit=of_public)


def _num_owners(transfer_set: TransferSet) -> int:
    pair = {"student": 0, "teacher": 1}
    return len(set_owners(transfer_set, **pair)) + len(unlabelled_owners(transfer_set, **pair))
