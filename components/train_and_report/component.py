"""Component: train networks in jobs, stage by stage, and report the results."""

from kfp import dsl

from components.decorators import launched_component


@launched_component
def train_and_report(
    pipeline: str,
    strategy: str,
    config_json: str,
    store: str,
    launch: str,
    run_id: str,
    task_config: dsl.TaskConfig,
    division: dsl.Input[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
    table: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Train networks in jobs, stage by stage, and report the results.

    Args:
        pipeline: Name of the pipeline whose last task this is: jointkd, pcl or collaborate.
        strategy: How settings are chosen: sweep or tune. Empty for a pipeline without this choice.
        config_json: The whole experiment or study as JSON.
        store: Address of the artifact store.
        launch: The launch description as JSON.
        run_id: The id of the run.
        task_config: The task's settings for Kubernetes, which are passed on to the workers.
        division: Reference to the partition or the split of the data set.
        report: The HTML page.
        table: The table of the report as CSV, which the server shows under the name of its file, such as plan.csv.
        metrics: The headline numbers.

    Returns:
        The key of the report in the store.
    """
    from peerkd.stages import train_and_report as stage

    return stage.run(
        pipeline=pipeline,
        strategy=strategy,
        config_json=config_json,
        store=store,
        launch=launch,
        run_id=run_id,
        task_config=task_config,
        division_path=division.path,
        report_path=report.path,
        table_path=table.path,
        describe_table=table.metadata.update,
        log_metric=metrics.log_metric,
    )
