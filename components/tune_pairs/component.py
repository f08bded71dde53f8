"""Component: a tuner chooses what every ordered pair distils under, for a share of what trying everything costs."""

from kfp import dsl

from components.images import CONTROL_IMAGE
from components.launched import PASSTHROUGHS


@dsl.component(base_image=CONTROL_IMAGE, install_kfp_package=False, task_config_passthroughs=PASSTHROUGHS)
def tune_pairs(
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
    peers: dsl.Input[dsl.Model],
    study: dsl.Output[dsl.Dataset],
):
    """Choose by a tuner what every ordered pair distils under, for a share of what trying everything costs.

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
        peers: Reference to the weights of every peer.
        study: Reference to the choices, with the trials that they rest on.
    """
    from peerkd.stages import tune_pairs as stage

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
        peers_path=peers.path,
        study_path=study.path,
    )
