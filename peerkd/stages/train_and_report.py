"""Stage: train networks in jobs, stage by stage, and report the results.

On Kubeflow Pipelines, these stages are one task, because each task of a run takes about 20 seconds in addition to its
work. Kubeflow Pipelines never replaces the task by a result from its cache. The task itself looks for the artifact of
each stage in the store, and makes the missing ones.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

from peerkd.artifacts import references
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.launch import LaunchConfig
from peerkd.config.pipelines import find_pipeline
from peerkd.config.strict import StrictConfig
from peerkd.launch.exit_codes import exiting_on_errors
from peerkd.metrics.progress import print_line, study_line
from peerkd.stages.command import find_stage
from peerkd.stages.opened_store import open_stage_store
from peerkd.stages.report_stage import ReportStage
from peerkd.stages.run_record import Route, find_route

NAME: Final = "train_and_report"


def run(
    *,
    pipeline: str,
    strategy: str,
    config_json: str,
    store: str,
    launch: str,
    run_id: str,
    division_path: str,
    report_path: str,
    table_path: str,
    describe_table: Callable[[Mapping[str, str]], None],
    log_metric: Callable[[str, float], None],
    task_config: Any = None,
) -> str:
    """Do the last task of a pipeline: train, publish the report, copy it to the outputs, and return its key.

    If the config has several studies, a report on each of them is published, and a last report on all of them together.
    The outputs are those of the last report.

    Args:
        pipeline: The name of the pipeline.
        strategy: ``sweep`` or ``tune``; empty for a pipeline without this choice.
        config_json: The whole experiment or study as JSON.
        store: The address of the artifact store.
        launch: A ``LaunchConfig`` as JSON.
        run_id: The id of the run of the pipeline, which becomes a part of the names of jobs. If it is empty, it is
            derived from each order, so that a repeated order finds its job.
        division_path: The file with the reference to the partition or the split of each study.
        report_path: The file to which the page is copied.
        table_path: The file to which the table is copied.
        describe_table: Called with the metadata of the table: ``display_name``, the name of its file in the store.
        log_metric: Called with the name and the value of each headline number.
        task_config: The task's settings for Kubernetes: a mapping, or Kubeflow's ``dsl.TaskConfig``.
    """
    begun = [NAME]
    # An error is reported under the name of the stage in which it occurred.
    with exiting_on_errors(lambda: begun[-1]):
        config = find_pipeline(pipeline).config.from_json(config_json)
        opened = open_stage_store(NAME, store)
        divisions = references.follow_file(division_path, opened, num=len(config.studies))
        route = find_route(pipeline, strategy or None)
        report = make(
            config,
            divisions,
            lambda stage: open_stage_store(stage, store),
            route=route,
            begin=begun.append,
            launch=LaunchConfig.from_json(launch),
            address=store,
            run_id=run_id,
            task_config=task_config,
        )
        _report_stage(route).copy(
            report,
            opened,
            report_path=report_path,
            table_path=table_path,
            describe_table=describe_table,
            log_metric=log_metric,
        )
    return report.key


def make(
    config: StrictConfig,
    divisions: Sequence[Manifest],
    open_store: Callable[[str], ArtifactStore],
    *,
    route: Route,
    begin: Callable[[str], None] = lambda _: None,
    **launched: Any,
) -> Manifest:
    """Run the stages of a route that follow the division of the data, and return the manifest of the report.

    Args:
        config: The whole experiment or study.
        divisions: The partition or the split of each study of the config.
        open_store: A function that returns the artifact store for the stage with a name.
        route: The stages.
        begin: Called with the name of each stage before the stage begins.
        launched: The arguments of ``LaunchedStage.make`` that say who does the work; by default the calling process.
    """
    _, *trainings, reporting = route.stages
    sources = list(divisions)
    for name in trainings:
        begin(name)
        stage, store = find_stage(name), open_store(name)
        made = []
        for number, (study, source) in enumerate(zip(config.studies, sources, strict=True), start=1):
            if len(sources) > 1:
                print_line(name, study_line(number, len(sources)))
            made.append(stage.make(study, source, store, **launched))
        sources = made
    begin(reporting)
    return _report_stage(route).make_all(config, sources, open_store(reporting))


def _report_stage(route: Route) -> ReportStage:
    stage: ReportStage = import_module(f"peerkd.stages.{route.stages[-1]}").STAGE
    return stage
