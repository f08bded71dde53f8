"""Component: report who should teach whom under which setting, as a page and as tables."""

from kfp import dsl

from components.decorators import component


@component
def report_choices(
    config_json: str,
    store: str,
    improved: dsl.Input[dsl.Model],
    report: dsl.Output[dsl.HTML],
    plan: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Report who should teach whom under which setting, as a page and as tables.

    Args:
        config_json: The whole experiment as JSON.
        store: Address of the artifact store.
        improved: Reference to the better peers, which names all artifacts before them.
        report: The HTML page.
        plan: A CSV table with one row for each pair that should distil.
        metrics: The headline numbers.

    Returns:
        The key of the report in the store.
    """
    from peerkd.stages.report_choices import STAGE

    return STAGE.run(
        config_json=config_json,
        store=store,
        input_path=improved.path,
        report_path=report.path,
        table_path=plan.path,
        log_metric=metrics.log_metric,
    )
