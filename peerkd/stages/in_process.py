"""A whole pipeline in the calling process, for a debugger, a profiler or a notebook.

The same stages run as in the compiled pipeline, and publish the same artifacts. A run that one of the two started can
therefore be finished by the other.
"""

from peerkd.config.collaborate import CollaborateConfig
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.pcl import PclConfig
from peerkd.config.pipelines import pipeline_of
from peerkd.config.strict import StrictConfig
from peerkd.launch.exit_codes import exiting_on_sigterm
from peerkd.stages import partition_data, split_data, train_and_report
from peerkd.stages.opened_store import open_stage_store
from peerkd.stages.run_record import find_route


def run_in_process(config: StrictConfig, store: str, *, strategy: str | None = None) -> str:
    """Run every stage of an experiment or a study, and return the key of its report.

    Args:
        config: An experiment on pairs, an experiment with rounds, or a study of PCL.
        store: The address of the artifact store.
        strategy: ``sweep`` or ``tune``. None means ``sweep``.

    Raises:
        ValueError: If the user can fix the cause.
        PeerKDError: If a stage fails for another reason.
    """
    opened = open_stage_store("run", store)
    with exiting_on_sigterm():
        match config:
            case PclConfig():
                divisions = [split_data.split(study, opened) for study in config.studies]
            case ExperimentConfig() | CollaborateConfig():
                divisions = [
                    partition_data.partition(study, opened, strategy=strategy or "sweep", num_processes=0)
                    for study in config.studies
                ]
            case _:
                raise AssertionError(type(config))
        is_jointkd = isinstance(config, ExperimentConfig)
        route = find_route(pipeline_of(config).name, (strategy or "sweep") if is_jointkd else None)
        return train_and_report.make(config, divisions, lambda _: opened, route=route).key
