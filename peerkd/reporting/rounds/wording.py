"""Words on rounds that the report and the model cards share."""

from peerkd.config.collaborate import RoundsConfig
from peerkd.wording import plural


def defences(rounds: RoundsConfig) -> list[str]:
    """Return the names of the defences of joint distillation against peers that lie."""
    alignment = ["distribution alignment"] if rounds.distribution_alignment else []
    return alignment + ([f"a trimmed mean of {_percent(rounds)}"] if rounds.trimmed_fraction else [])


def joining_in_words(rounds: RoundsConfig) -> list[str]:
    """Return sentences on how joint distillation joins predictions, apart from the weights of its target."""
    said = []
    if rounds.distribution_alignment:
        said.append(
            "Before predictions are joined, those of each peer are divided by their mean over the public set and "
            "renormalised (distribution alignment)."
        )
    if rounds.trimmed_fraction:
        said.append(
            "Predictions are joined by a trimmed mean: for each sample and class, the lowest and the highest are left "
            f"out, up to {_percent(rounds)} of the weight at either end."
        )
    if rounds.sharpening_temperature < 1:
        unless = ", unless a setting that the peer tries says otherwise" if rounds.tune.enabled else ""
        said.append(
            f"The joined prediction is sharpened with the temperature {rounds.sharpening_temperature:g}{unless}."
        )
    if rounds.tune.enabled:
        said.append(
            f"In each round, each peer tried one of {plural(len(rounds.tune.portfolio), 'setting')}, chosen by the "
            "gains of earlier rounds, and kept its network if the accuracy that it estimates fell."
        )
    return said


def unless_tuned(rounds: RoundsConfig) -> str:
    """Return the end of a sentence about a number that the settings of tuned rounds may change, if rounds are tuned."""
    return ", unless the setting that a peer tries has another value" if rounds.tune.enabled else ""


def _percent(rounds: RoundsConfig) -> str:
    return f"{100 * rounds.trimmed_fraction:g} %"
