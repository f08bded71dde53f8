"""Stage: train each peer on its own data."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from peerkd.artifacts import keys, references
from peerkd.artifacts.store import Manifest
from peerkd.config.experiment import ExperimentConfig
from peerkd.launch.edge import stage_edge
from peerkd.stages.launched import LaunchOptions, obtain
from peerkd.stages.opened_store import open_stage_store

NAME: Final = "pretrain_peers"


def run(
    *,
    config_json: str,
    store: str,
    partition_path: str,
    peers_path: str,
    backend: str = "auto",
    num_workers: str = "",
    gpus: str = "",
    cluster: str = "",
    run_id: str = "",
    task_id: str = "",
    task_config: Any = None,
) -> None:
    """Have the weights of every peer published.

    Args:
        config_json: The whole experiment as JSON.
        store: Address of the artifact store.
        partition_path: File with the reference to the partition.
        peers_path: File that takes the reference to the peers.
        backend: What carries out the work: ``auto``, ``local`` or ``kubernetes``.
        num_workers: A whole number as text; empty, where the cluster's defaults say it.
        gpus: GPUs of each worker, likewise.
        cluster: ``key=value`` pairs for the workers; see ``peerkd.config.cluster``.
        run_id: Tells one run from another.
        task_id: Tells one task of a run from another.
        task_config: What a pipeline's author has set on the task.
    """
    with stage_edge(NAME):
        opened = open_stage_store(NAME, store)
        partition = references.follow_file(partition_path, opened)
        manifest = obtain(
            key(ExperimentConfig.from_json(config_json), partition),
            stage=NAME,
            config_json=config_json,
            address=store,
            store=opened,
            inputs={"partition": partition},
            summary=summary,
            options=LaunchOptions(
                backend=backend,
                num_workers=num_workers,
                gpus=gpus,
                cluster=cluster,
                run_id=run_id,
                task_id=task_id,
                task_config=task_config,
            ),
        )
        references.write(peers_path, manifest)


def key(config: ExperimentConfig, partition: Manifest) -> str:
    """Return the key of the peers that follow from a config and a partition."""
    differences = keys.differences(
        config,
        fields=("seed", "augmentation", "peers", "pretrain"),
        without=("pretrain.collaboration",) if config.pretrain.method == "cross_entropy" else (),
    )
    return keys.key(NAME, {"partition": partition.fingerprint, "config": differences})


def finite_peers(records: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
    """Return the peers whose training ended finite, ascending: only they have weights and take part in a sweep."""
    return tuple(sorted(int(record["peer"]) for record in _finite(records)))


def check_enough_finite(records: Sequence[Mapping[str, Any]], *, learning_rate: float) -> None:
    """Refuse peers of which fewer than two are left to distil.

    Raises:
        ValueError: If fewer than two peers are finite.
    """
    num_peers, num_finite = len(records), len(finite_peers(records))
    if num_finite < 2:
        left = "All" if num_finite == 0 else f"All but {num_finite} of the"
        raise ValueError(
            f"{left} {num_peers} peers diverged in pre-training, where at least 2 must end in finite numbers: lower "
            f"pretrain.learning_rate, which is {learning_rate:g}."
        )


def summary(metadata: Mapping[str, Any]) -> str:
    """Return in a few words what there is."""
    finite = _finite(metadata["peers"])
    accuracies = [record["test_global_accuracy"] for record in finite]
    reached = f", test accuracy {min(accuracies):.1%} to {max(accuracies):.1%}" if accuracies else ""
    num_diverged = len(metadata["peers"]) - len(finite)
    diverged = f"; {num_diverged} diverged and took no part" if num_diverged else ""
    return f"{len(metadata['peers'])} peers{reached}{diverged}"


def _finite(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    # An older version recorded nothing of it, and kept the weights of every peer.
    return [record for record in records if record.get("is_finite", True)]
