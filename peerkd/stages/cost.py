"""The cost of the launched stages of a run: the accounts of their jobs, and the prices that an operator has set."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from peerkd.artifacts.store import ArtifactStore
from peerkd.config.cluster import resolve_cluster
from peerkd.config.prices import Prices
from peerkd.results.cost import Account, RunCost, run_cost, seconds_of_pairs
from peerkd.stages.launched_stage import find_accounts

if TYPE_CHECKING:
    # A report that exists already is found without this import.
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True, slots=True)
class Accounts:
    """The accounts and prices from which a run's cost is computed."""

    accounts: tuple[Account, ...]
    prices: Prices

    @property
    def causes(self) -> dict[str, Any]:
        """The accounts and the prices as JSON values. They are part of the key of a report that states the cost."""
        return asdict(self)

    def cost(self, *, sweep: str = "", trials: "pa.Table | None" = None) -> RunCost | None:
        """Return the cost of a run; None if there are no accounts.

        Args:
            sweep: The name of the stage whose cost is divided among the pairs. If it is empty, no cost is divided.
            trials: The table of trials, whose durations determine each pair's share of the cost. None means that no
                cost is divided.
        """
        if not self.accounts:
            return None
        seconds = None if trials is None else seconds_of_pairs(trials)
        return run_cost(self.accounts, prices=self.prices, sweep=sweep, trial_seconds=seconds)


def gather_accounts(keys_of_steps: Mapping[str, str], store: ArtifactStore) -> Accounts:
    """Return the accounts of the jobs that computed the given artifacts, and the prices that the operator has set.

    Args:
        keys_of_steps: The key of each artifact, by the name of the stage that computed it.
        store: The artifact store.

    Raises:
        ValueError: If the operator's settings of the cluster, which contain the prices, break a rule.
    """
    settings = resolve_cluster()
    return Accounts(
        accounts=tuple(
            Account(
                step=step,
                seconds=job.seconds,
                num_workers=job.num_workers,
                gpus_per_worker=job.gpus_per_worker,
            )
            for step, key in keys_of_steps.items()
            for job in find_accounts(key, store)
        ),
        prices=settings.prices,
    )
