"""Component: train each peer on its own data."""

from kfp import dsl

from components.images import CONTROL_IMAGE
from components.launched import PASSTHROUGHS


@dsl.component(base_image=CONTROL_IMAGE, install_kfp_package=False, task_config_passthroughs=PASSTHROUGHS)
def pretrain_peers(
    config_json: str,
    store: str,
    backend: str,
    num_workers: str,
    gpus: str,
    cluster: str,
    run_id: str,
    task_name: str,
    task_id: str,
    task_config: dsl.TaskConfig,
    partition: dsl.Input[dsl.Dataset],
    peers: dsl.Output[dsl.Model],
):
    """Train each peer on its own data.

    Args:
        config_json: The whole experiment as JSON.
        store: Address of the artifact store.
        backend: Where the work is done: auto, local or kubernetes.
        num_workers: Pods of the job that does it.
        gpus: GPUs of each of them.
        cluster: key=value pairs for the job, as in "memory_per_worker=16Gi queue=research".
        run_id: What tells this run from all others.
        task_name: What tells this task from others of the run.
        task_id: What tells an iteration of a loop around the task from the others.
        task_config: What the pipeline's author set on the task: it is for the workers.
        partition: Reference to the partition in the store.
        peers: Reference to the weights of every peer.
    """
    from peerkd.stages import pretrain_peers as stage

    stage.run(
        config_json=config_json,
        store=store,
        backend=backend,
        num_workers=num_workers,
        gpus=gpus,
        cluster=cluster,
        run_id=run_id,
        task_id=f"{task_name}/{task_id}",
        task_config=task_config,
        partition_path=partition.path,
        peers_path=peers.path,
    )
