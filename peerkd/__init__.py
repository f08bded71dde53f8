"""Distillation between peers: the public interface. Importing this package loads neither torch nor kfp.

Each name is imported from its module when it is first used. Whatever is not listed in ``__all__`` may change in any
version; see ``docs/python.md``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from peerkd.version import __version__

if TYPE_CHECKING:
    from peerkd.api.comparisons import Comparison, compare
    from peerkd.api.experiments import load, plan, run
    from peerkd.api.progress import RunProgress
    from peerkd.api.runs import Run, open_run
    from peerkd.api.runs import list_stored_runs as list_runs
    from peerkd.errors import PeerKDError
    from peerkd.losses.pairs.loss import PairLoss, Parameter

__all__ = [
    "Comparison",
    "PairLoss",
    "Parameter",
    "PeerKDError",
    "Run",
    "RunProgress",
    "__version__",
    "compare",
    "list_runs",
    "load",
    "open_run",
    "plan",
    "run",
]

_PLACES: Final = {
    "Comparison": "peerkd.api.comparisons:Comparison",
    "PairLoss": "peerkd.losses.pairs.loss:PairLoss",
    "Parameter": "peerkd.losses.pairs.loss:Parameter",
    "PeerKDError": "peerkd.errors:PeerKDError",
    "Run": "peerkd.api.runs:Run",
    "RunProgress": "peerkd.api.progress:RunProgress",
    "compare": "peerkd.api.comparisons:compare",
    "list_runs": "peerkd.api.runs:list_stored_runs",
    "load": "peerkd.api.experiments:load",
    "open_run": "peerkd.api.runs:open_run",
    "plan": "peerkd.api.experiments:plan",
    "run": "peerkd.api.experiments:run",
}
"""The module that defines each public name, and its name in that module."""


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
