"""Component: say who should teach whom and with what, on one page and as numbers."""

from kfp import dsl

from components.decorators import component


@component
def report_choices(
    config_json: str,
    store: str,
    study: dsl.Input[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
    plan: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Say who should teach whom and with what, on one page and as numbers.

    Args:
        config_json: The whole experiment as JSON.
        store: Address of the artifact store.
        study: Reference to the choices, with the trials that they rest on.
        report: The page.
        plan: One line of CSV for every two peers one of whom should learn from the other.
        metrics: The headline numbers.

    Returns:
        Key of the report in the store.
    """
    from peerkd.stages.report_choices import STAGE

    return STAGE.run(
        config_json=config_json,
        store=store,
        input_path=study.path,
        report_path=report.path,
        table_path=plan.path,
        log_metric=metrics.log_metric,
    )
