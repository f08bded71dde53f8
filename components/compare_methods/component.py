"""Component: conclude which method is better, on one page and as numbers."""

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
    """Conclude which method is better, on one page and as numbers.

    Args:
        config_json: The whole study as JSON.
        store: Address of the artifact store.
        runs: Reference to the runs, with their curves.
        report: The page.
        methods: One line of CSV for each architecture, method and kind of accuracy.
        metrics: The headline numbers.

    Returns:
        Key of the comparison in the store.
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
