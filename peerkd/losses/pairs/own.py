"""Pair losses of a user's own modules, which a config names as ``module:NAME``."""

from functools import cache

from peerkd.losses.pairs.loss import PairLoss
from peerkd.own_code import find_object


class PairLosses(dict[str, PairLoss]):
    """The losses of the program by name. Looking up ``module:NAME`` imports a loss of a user's module.

    Iteration, ``len`` and ``in`` cover only the losses of the program.
    """

    def __missing__(self, name: str) -> PairLoss:
        """Return a user's own loss.

        Raises:
            KeyError: If no loss of the program has this name, and the name is not of the form ``module:NAME``.
            ValueError: If the path does not lead to a loss. The sentence begins with ``kind``.
        """
        if ":" not in name:
            raise KeyError(name)
        return own_loss(name)


@cache
def own_loss(path: str) -> PairLoss:
    """Return a loss of a user's module. Its name is its path with the digest of the module's file.

    Args:
        path: ``module:NAME``, the dotted name of a module and the name of a ``PairLoss`` in it. ``@`` and a digest may
            follow.

    Raises:
        ValueError: If the path does not lead to a loss, or the file of the module does not have the digest in the path.
    """
    found = find_object(path, field="kind", noun="PairLoss")
    if not isinstance(found.value, PairLoss):
        # A ValueError, not a TypeError: the mistake is in the user's module, not in a caller's argument.
        raise ValueError(f"kind must name a PairLoss, got {type(found.value).__name__} from {path}.")  # noqa: TRY004
    return found.value._replace(name=found.path)
