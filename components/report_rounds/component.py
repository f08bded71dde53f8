"""Component: report the rounds of every method, as a page and as a table."""

from kfp import dsl

from components.decorators import component


@component
def report_rounds(
    config_json: str,
    store: str,
    rounds: dsl.Input[dsl.Model],
    report: dsl.Output[dsl.HTML],
    methods: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Report the rounds of every method, as a page and as a table.

    Args:
        config_json: The whole experiment as JSON.
        store: Address of the artifact store.
        rounds: Reference to the rounds of every method.
        report: The HTML page.
        methods: A CSV table with one row for each method and round.
        metrics: The headline numbers.

    Returns:
        The key of the report in the store.
    """
    from peerkd.stages.report_rounds import STAGE

    return STAGE.run(
        config_json=config_json,
        store=store,
        input_path=rounds.path,
        report_path=report.path,
        table_path=methods.path,
        log_metric=metrics.log_metric,
    )
