"""Component: report the results of a sweep, as a page and as tables."""

from kfp import dsl

from components.decorators import component


@component
def build_report(
    config_json: str,
    store: str,
    improved: dsl.Input[dsl.Model],
    report: dsl.Output[dsl.HTML],
    pairs: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Report the results of a sweep, as a page and as tables.

    Args:
        config_json: The whole experiment as JSON.
        store: Address of the artifact store.
        improved: Reference to the better peers, which names all artifacts before them.
        report: The HTML page.
        pairs: A CSV table with one row for each ordered pair.
        metrics: The headline numbers.

    Returns:
        The key of the report in the store.
    """
    from peerkd.stages.build_report import STAGE

    return STAGE.run(
        config_json=config_json,
        store=store,
        input_path=improved.path,
        report_path=report.path,
        table_path=pairs.path,
        log_metric=metrics.log_metric,
    )
