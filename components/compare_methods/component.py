"""Component: compare the methods, as a page and as tables."""

from kfp import dsl

from components.decorators import component


@component
def compare_methods(
    config_json: str,
    store: str,
    runs: dsl.Input[dsl.Model],
    report: dsl.Output[dsl.HTML],
    methods: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Compare the methods, as a page and as tables.

    Args:
        config_json: The whole study as JSON.
        store: Address of the artifact store.
        runs: Reference to the runs, with their curves.
        report: The HTML page.
        methods: A CSV table with one row for each architecture, method and kind of accuracy.
        metrics: The headline numbers.

    Returns:
        The key of the comparison in the store.
    """
    from peerkd.stages.compare_methods import STAGE

    return STAGE.run(
        config_json=config_json,
        store=store,
        input_path=runs.path,
        report_path=report.path,
        table_path=methods.path,
        log_metric=metrics.log_metric,
    )
