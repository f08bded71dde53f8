"""Several complete studies side by side: what differs between their settings, and what differs between their results.

Studies whose settings are equal differ by their seed alone. They form one group, whose mean is a mean over seeds. The
groups are compared with the first one:

- If two groups have at least two seeds in common, their difference is paired by seed: for each common seed, the mean
  of one study is subtracted from that of the other. The interval is that of Student (1908) and covers other seeds. It
  assumes nothing about how the two studies of one seed are correlated.
- If they have one seed in common and both studies start from the same peers, the difference is paired by peers, or by
  pairs of peers, with the interval of ``intervals.mean_over_pairs``. It covers other peers, but not other seeds.
- Otherwise, the difference of the two means is given without an interval.

Gains and accuracies are fractions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np

from peerkd.arrays import FloatArray
from peerkd.excerpt import plain
from peerkd.results.intervals import MIN_PEERS, Estimate, mean_over_pairs
from peerkd.results.seeds import MIN_SEEDS, mean_with_interval

Basis: TypeAlias = Literal["seeds", "peers", "none"]

BASES: Final[Mapping[Basis, str]] = {
    "seeds": "paired by seed",
    "peers": "paired by peers, one seed",
    "none": "not paired",
}
"""The ways in which a difference between groups is found, in words."""


_UNITS: Final = ("run", "peer", "pair")
"""The nouns for what one value of a quantity belongs to. The position of a noun is the number of axes of the array of
values."""


class Quantity(NamedTuple):
    """A number that a study measures on test data, for each pair, for each peer, or once."""

    title: str
    is_accuracy: bool
    """Whether the quantity is an accuracy, which is written in percent. Otherwise it is a gain, which is written in
    points."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MeasuredStudy:
    """One complete study with one seed."""

    run: str
    """The name of the run, as it is shown to readers."""

    seed: int
    settings: Mapping[str, str]
    """The settings as text, by the dotted name of the field. The seed is not among them."""

    peers: str
    """A fingerprint of the peers that the study starts from. Empty for a study without peers."""

    values: Mapping[Quantity, FloatArray]
    """The values of each quantity: (num_peers, num_peers) for pairs, (num_peers,) for peers, or a single number. A
    missing value is NaN."""

    def mean(self, quantity: Quantity) -> float:
        """Return the mean of a quantity over its pairs or peers, without missing values; NaN if all are missing."""
        return _mean_of_known(self.values[quantity])


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Group:
    """Studies with equal settings, in the order of their seeds."""

    settings: Mapping[str, str]
    """The settings in which the groups differ. The text of a field that the config of the group does not have is
    empty."""

    studies: tuple[MeasuredStudy, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the studies."""
        return tuple(study.seed for study in self.studies)

    @property
    def label(self) -> str:
        """The settings as text. If the groups do not differ, the text says that all studies have the same settings."""
        return ", ".join(f"{name}={value}" for name, value in self.settings.items()) or "all studies"

    def by_seed(self, quantity: Quantity) -> dict[int, float]:
        """Return the mean of a quantity in each study, keyed by seed.

        A study in which all values of the quantity are missing is left out.
        """
        means = {study.seed: study.mean(quantity) for study in self.studies}
        return {seed: mean for seed, mean in means.items() if not np.isnan(mean)}

    def unit(self, quantity: Quantity) -> str:
        """Return what the mean of a quantity is taken over: ``seed``, ``pair``, ``peer``, or ``run`` for one value."""
        return "seed" if len(self.studies) > 1 else _UNITS[self.studies[0].values[quantity].ndim]

    def estimate(self, quantity: Quantity) -> Estimate:
        """Return the mean over seeds with its interval; with one seed, the mean over pairs or peers."""
        if len(self.studies) == 1:
            return _over_units(self.studies[0].values[quantity])
        return mean_with_interval([*self.by_seed(quantity).values()])


class Difference(NamedTuple):
    """The mean of a group minus that of the first group, and how it was found."""

    estimate: Estimate
    basis: Basis


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StudyComparison:
    """Groups of studies with the quantities that all of them measure."""

    groups: tuple[Group, ...]
    quantities: tuple[Quantity, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """The dotted names of the fields in which the groups differ."""
        return tuple(self.groups[0].settings)

    @property
    def studies(self) -> tuple[MeasuredStudy, ...]:
        """All studies, by group and seed."""
        return tuple(study for group in self.groups for study in group.studies)

    @property
    def seeds(self) -> tuple[int, ...]:
        """All seeds, ascending."""
        return tuple(sorted({study.seed for study in self.studies}))

    def difference(self, place: int, quantity: Quantity) -> Difference:
        """Return the mean of a quantity in the group at index ``place`` minus its mean in the first group."""
        return _difference(self.groups[place], self.groups[0], quantity)


def compare_studies(studies: Sequence[MeasuredStudy]) -> StudyComparison:
    """Group studies with equal settings, and find the quantities that all of them measure.

    The order of the groups is that of their first studies in ``studies``.

    Raises:
        ValueError: If two studies have the same settings and seed, or no quantity is measured by all studies.
    """
    names = dict.fromkeys(name for study in studies for name in study.settings)
    fields = [name for name in names if len({study.settings.get(name, "") for study in studies}) > 1]
    found: dict[tuple[str, ...], dict[int, MeasuredStudy]] = {}
    for study in studies:
        group = found.setdefault(tuple(study.settings.get(name, "") for name in fields), {})
        other = group.setdefault(study.seed, study)
        if other is not study:
            raise ValueError(
                f"RUN must name runs that differ in their settings or seed, got {other.run} and {study.run}, which "
                f"are equal in both (seed {study.seed})."
            )
    quantities = [each for each in studies[0].values if all(each in study.values for study in studies)]
    if not quantities:
        measured = "; ".join(
            f"{study.run}: {', '.join(each.title for each in study.values)}"
            for study in {study.run: study for study in studies}.values()
        )
        raise ValueError(f"RUN must name runs that measure a common quantity, got none ({plain(measured)}).")
    return StudyComparison(
        groups=tuple(
            Group(
                settings=dict(zip(fields, values, strict=True)),
                studies=tuple(group[seed] for seed in sorted(group)),
            )
            for values, group in found.items()
        ),
        quantities=tuple(quantities),
    )


def _difference(group: Group, first: Group, quantity: Quantity) -> Difference:
    ours, theirs = ({study.seed: study for study in each.studies} for each in (group, first))
    common = [
        seed
        for seed in sorted(ours.keys() & theirs.keys())
        if not np.isnan(ours[seed].mean(quantity) + theirs[seed].mean(quantity))
    ]
    if len(common) >= MIN_SEEDS:
        differences = [_mean_of_known(_paired(ours[seed], theirs[seed], quantity)) for seed in common]
        return Difference(mean_with_interval(differences), "seeds")
    if common and _have_same_peers(ours[common[0]], theirs[common[0]], quantity):
        return Difference(_over_units(_paired(ours[common[0]], theirs[common[0]], quantity)), "peers")
    value = group.estimate(quantity).value - first.estimate(quantity).value
    return Difference(Estimate(value, np.nan, np.nan, min(len(ours), len(theirs))), "none")


def _paired(study: MeasuredStudy, other: MeasuredStudy, quantity: Quantity) -> FloatArray:
    """Return the differences of a quantity between two studies.

    There is a difference for each peer or pair if both studies start from the same peers. Otherwise the only difference
    is that of the two means.
    """
    if _have_same_peers(study, other, quantity):
        differences: FloatArray = study.values[quantity] - other.values[quantity]
        if not np.isnan(differences).all():
            return differences
    return np.array(study.mean(quantity) - other.mean(quantity))


def _have_same_peers(study: MeasuredStudy, other: MeasuredStudy, quantity: Quantity) -> bool:
    return study.peers == other.peers != "" and study.values[quantity].ndim > 0


def _over_units(values: FloatArray) -> Estimate:
    """Return the mean over pairs or peers, with an interval if there are enough of them."""
    if values.ndim == 2:
        return mean_over_pairs(values)
    known = values[~np.isnan(values)]
    if values.ndim == 1 and len(known) >= MIN_PEERS:
        return mean_with_interval(known.tolist())
    return Estimate(_mean_of_known(values), np.nan, np.nan, len(known) if values.ndim else 1)


def _mean_of_known(values: FloatArray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else np.nan
