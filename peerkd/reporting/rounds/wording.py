"""Words on rounds that the report and the model cards share."""


def trimmed_mean(fraction: float) -> str:
    """Return what a trimmed mean is, as a noun phrase with its article.

    Args:
        fraction: ``rounds.trimmed_fraction``, above 0.
    """
    return (
        "a trimmed mean: for each sample and class, the lowest and the highest predictions are left out, up to "
        f"{100 * fraction:g} % of the weight at either end"
    )
