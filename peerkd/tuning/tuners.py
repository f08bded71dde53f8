"""The tuners by name. Each is imported when it is built: not every machine has what the rivals need."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Final, NamedTuple

from peerkd.tuning.protocol import Earlier, Tuner
from peerkd.tuning.space import Space


class Entry(NamedTuple):
    """One tuner."""

    module: str
    """Has ``build(space, *, seed, earlier)``."""

    is_random: bool = True
    """Whether another seed may give other choices."""

    uses_features: bool = False
    """Whether it looks at features of pairs, and pays for them."""


TUNERS: Final[Mapping[str, Entry]] = {
    "peerkd": Entry("peerkd.tuning.pair_tuner", is_random=False, uses_features=True),
    "peerkd_from_nothing": Entry("peerkd.tuning.from_nothing", is_random=False, uses_features=True),
    "default": Entry("peerkd.tuning.baselines.default", is_random=False),
    "best_single": Entry("peerkd.tuning.baselines.best_single"),
    "portfolio": Entry("peerkd.tuning.baselines.portfolio"),
    "random": Entry("peerkd.tuning.baselines.random"),
    "tpe": Entry("peerkd.tuning.baselines.tpe"),
    "first_epoch": Entry("peerkd.tuning.baselines.first_epoch"),
    "successive_halving": Entry("peerkd.tuning.baselines.successive_halving"),
    "hyperband": Entry("peerkd.tuning.baselines.hyperband"),
}


def find(name: str) -> Entry:
    """Return the tuner of that name.

    Raises:
        ValueError: If there is none.
    """
    if name not in TUNERS:
        raise ValueError(f"tuner must be one of {', '.join(TUNERS)}, got {name}.")
    return TUNERS[name]


def build(name: str, space: Space, *, seed: int, earlier: Sequence[Earlier]) -> Tuner:
    """Return a fresh tuner.

    Args:
        name: One of ``TUNERS``.
        space: What it may try.
        seed: All that it draws follows from it.
        earlier: Experiments that it may start from.

    Raises:
        ValueError: If there is no tuner of that name.
    """
    entry = find(name)
    try:
        module = import_module(entry.module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("peerkd"):
            raise
        raise ValueError(f"tuner {name} must have {error.name} installed, which peerkd[tune] brings.") from error
    tuner: Tuner = module.build(space, seed=seed, earlier=earlier)
    return tuner
