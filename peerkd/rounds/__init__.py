"""The methods of rounds: one file for each method, and the list of all. At run time this package needs no torch.

In a round, every peer receives something from its partners, trains, and proposes new weights. A file here contains one
method with its declaration, formula and source. Configs, training, reports and docs take the methods from
``ROUND_METHODS``. Configs are also read where torch is not installed. The files in this package therefore import torch
only under ``TYPE_CHECKING``, and compute only with the operations that tensors have themselves. A
``peerkd.rounds.method.Round`` does everything that needs networks and samples, such as training.
"""

from collections.abc import Mapping
from typing import Final

from peerkd.rounds import alone, def_kt, dfml, ds_fl, fedavg, feddf, fedmd, fedprox, idkd, pairwise, pooled, predictions
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
        pairwise.METHOD,
        pooled.METHOD,
        idkd.METHOD,
        dfml.METHOD,
    )
}
"""Every method by its name."""
