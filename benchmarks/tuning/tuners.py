"""The tuners that are compared, by name. A tuner is imported when it is built: Optuna takes a second."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Final, NamedTuple

from peerkd.tuning.experience import Experience
from peerkd.tuning.protocol import EarlierSweep, Tuner
from peerkd.tuning.space import Space


class TunerEntry(NamedTuple):
    """The function that builds one tuner, and the properties of the tuner that the comparison uses."""

    builder: str
    """``module:function``. The function has the signature ``(space, *, seed, earlier)`` and returns a ``Tuner``."""

    is_random: bool = True
    """Whether another seed may lead to other choices."""

    uses_features: bool = False
    """Whether the tuner uses features of pairs, and pays for them."""

    uses_experience: bool = False
    """Whether ``builder`` also takes an ``experience`` to start from in place of the shipped one."""


TUNERS: Final[Mapping[str, TunerEntry]] = {
    "peerkd": TunerEntry(
        "benchmarks.tuning.own:with_experience", is_random=False, uses_features=True, uses_experience=True
    ),
    "peerkd_from_nothing": TunerEntry("benchmarks.tuning.own:from_nothing", is_random=False, uses_features=True),
    "zero_shot": TunerEntry(
        "benchmarks.tuning.own:zero_shot", is_random=False, uses_features=True, uses_experience=True
    ),
    "multitask": TunerEntry("benchmarks.tuning.rivals.multitask:build", uses_features=True),
    "masks": TunerEntry("benchmarks.tuning.rivals.masks:build", is_random=False),
    "default": TunerEntry("benchmarks.tuning.rivals.default:build", is_random=False),
    "best_single": TunerEntry("benchmarks.tuning.rivals.best_single:build"),
    "portfolio": TunerEntry("benchmarks.tuning.rivals.portfolio:build"),
    "random": TunerEntry("benchmarks.tuning.rivals.random:build"),
    "tpe": TunerEntry("benchmarks.tuning.rivals.tpe:build"),
    "first_epoch": TunerEntry("benchmarks.tuning.rivals.first_epoch:build"),
    "successive_halving": TunerEntry("benchmarks.tuning.rivals.successive_halving:build"),
    "hyperband": TunerEntry("benchmarks.tuning.rivals.hyperband:build"),
}


def find(name: str) -> TunerEntry:
    """Return the tuner of a name.

    Raises:
        ValueError: If there is no such tuner.
    """
    if name not in TUNERS:
        raise ValueError(f"tuner must be one of {', '.join(TUNERS)}, got {name}.")
    return TUNERS[name]


def build(
    name: str,
    space: Space,
    *,
    seed: int,
    earlier: Sequence[EarlierSweep],
    experience: Experience | None = None,
) -> Tuner:
    """Return a fresh tuner.

    Args:
        name: One of ``TUNERS``.
        space: Pairs and settings that the tuner may try.
        seed: Seed of all random draws.
        earlier: Experiments that the tuner may start from.
        experience: Experience that a tuner that uses some starts from. None: the shipped one.

    Raises:
        ValueError: If there is no tuner of that name, or a package that it needs is not installed.
    """
    entry = find(name)
    module_name, _, function_name = entry.builder.partition(":")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith(("peerkd", "benchmarks")):
            raise
        raise ValueError(f"tuner {name} must have {error.name} installed, which peerkd[bench] brings.") from error
    known = {"experience": experience} if entry.uses_experience else {}
    tuner: Tuner = getattr(module, function_name)(space, seed=seed, earlier=earlier, **known)
    return tuner
