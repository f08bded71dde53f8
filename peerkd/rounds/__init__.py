"""The methods of rounds: one file for each method, and the list of all. At run time this package needs no torch.

In a round, every peer receives something from its partners, trains, and proposes new weights. A file here contains one
method with its declaration, formula and source. Configs, training, reports and docs take the methods from
``ROUND_METHODS``. Configs are also read where torch is not installed. A method therefore uses only methods of its
tensors and imports torch only under ``TYPE_CHECKING``; whatever it does with networks and samples, it asks of a
``peerkd.rounds.method.Round``.
"""

from collections.abc import Mapping
from typing import Final

from peerkd.rounds import alone, def_kt, ds_fl, fedavg, feddf, fedmd, fedprox, predictions
from peerkd.rounds.method import RoundMethod

ROUND_METHODS: Final[Mapping[str, RoundMethod]] = {
    each.name: each
    for each in (
        predictions.METHOD,
        alone.METHOD,
        fedavg.METHOD,
        fedprox.METHOD,
        fedmd.METHOD,
        ds_fl.METHOD,
        feddf.METHOD,
        def_kt.METHOD,
    )
}
"""Every method by its name."""
