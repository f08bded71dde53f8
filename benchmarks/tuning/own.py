"""The tuner of peerkd, in the form in which the benchmark builds all tuners."""

from collections.abc import Sequence

from peerkd.tuning.experience import Experience, shipped_for
from peerkd.tuning.pair_tuner import PairTuner
from peerkd.tuning.protocol import EarlierSweep, Suggestion
from peerkd.tuning.space import Space


def with_experience(
    space: Space, *, seed: int, earlier: Sequence[EarlierSweep], experience: Experience | None = None
) -> PairTuner:
    """Return the tuner of a tuned study. It is deterministic.

    Args:
        space: See ``tuners.build``.
        seed: Ignored.
        earlier: See ``tuners.build``.
        experience: Experience that the tuner starts from. None: the shipped one that covers the space, if any.
    """
    del seed
    return PairTuner(space, earlier_sweeps=earlier, experience=experience or shipped_for(space))


def from_nothing(space: Space, *, seed: int, earlier: Sequence[EarlierSweep]) -> PairTuner:
    """Return the tuner without the shipped experience. The comparison with ``with_experience`` shows its benefit."""
    del seed
    return PairTuner(space, earlier_sweeps=earlier)


class _Untried(PairTuner):
    """The tuner of peerkd, which never runs a trial. Its choices are those before its first trial."""

    def ask(self, num: int) -> Sequence[Suggestion]:
        """Suggest nothing."""
        del num
        return ()


def zero_shot(
    space: Space, *, seed: int, earlier: Sequence[EarlierSweep], experience: Experience | None = None
) -> PairTuner:
    """Return a tuner that runs no trial and chooses the settings that its experience predicts to be best.

    The arguments are those of ``with_experience``.
    """
    del seed
    return _Untried(space, earlier_sweeps=earlier, experience=experience or shipped_for(space))
