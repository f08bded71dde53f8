"""Numbers and settings as text, identical in all forms of the report."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, assert_never

from peerkd.config.experiment import ExperimentConfig
from peerkd.config.targets import TargetConfig
from peerkd.config.training import DistillConfig
from peerkd.losses.pairs import sets_temperature
from peerkd.losses.pairs.loss import PairLoss
from peerkd.results.advice import COVERAGE
from peerkd.results.divergence import Divergence
from peerkd.results.grid_edges import Dimension, GridEdge
from peerkd.results.intervals import MIN_PEERS, Estimate
from peerkd.results.pair_advice import Predictions
from peerkd.results.selection import SingleSetting
from peerkd.study.controls import TARGETS_WITHOUT_TEACHER
from peerkd.study.defaults import DEFAULT_ALPHA, DEFAULT_TEMPERATURE, UntunedDefault
from peerkd.study.grid import omissions
from peerkd.study.transfer_sets import TRANSFER_SETS, names_without_labels
from peerkd.wording import plural

DIVERGENCE_ALONE: Final = "divergence alone"
"""The text in place of an alpha if the transfer set has no labels."""

OWN_TEMPERATURE: Final = "own T"
"""The text in place of a temperature if the loss sets its temperature itself."""

DISTANCE_LABELS: Final = {
    "jensen_shannon": "Jensen-Shannon distance",
    "hellinger": "Hellinger distance",
    "earth_movers": "earth mover's distance",
}

_DIMENSIONS: Final[Mapping[Dimension, str]] = {
    "temperatures": "temperature",
    "alphas": "alpha",
    "learning_rates": "learning rate",
}

NO_INTERVALS: Final = (
    f"With fewer than {MIN_PEERS} peers, no interval can be given, so no difference of means over pairs can be "
    "distinguished from noise."
)


BOTH_CONTROLS: Final = "both controls, the unchanged student and the best training without a teacher,"


def points(fraction: float) -> str:
    """Return a difference of accuracies in percentage points with its sign: 0.0123 is +1.2."""
    if math.isnan(fraction):
        return "n/a"
    rounded = _tenths(fraction)
    return f"{rounded:+.1f}" if rounded else "0.0"


def magnitude(fraction: float) -> str:
    """Return a difference that cannot be negative in points without a sign: 0.0123 is 1.2."""
    return "n/a" if math.isnan(fraction) else f"{_tenths(fraction):.1f}"


def _tenths(fraction: float) -> float:
    """Return a fraction in points with one decimal.

    Floating-point error can move the difference of two accuracies to either side of a tie between two decimals.
    Rounding to 5 decimals first removes this error. The script of a page rounds its 32-bit floats in the same way. The
    value is converted to a Python float, because NumPy floats round less exactly.
    """
    return round(round(100 * float(fraction), 5), 1)


def percent(fraction: float) -> str:
    """Return a share or an accuracy in percent: 0.123 is 12.3 %."""
    return "n/a" if math.isnan(fraction) else f"{100 * fraction:.1f} %"


def interval(estimate: Estimate) -> str:
    """Return the 95 % interval of a difference in points, or ``no interval``."""
    if not estimate.has_interval:
        return "no interval"
    return f"{points(estimate.low)} to {points(estimate.high)}"


def points_with_interval(estimate: Estimate) -> str:
    """Return a difference in points, followed by its 95 % interval in parentheses if it has one."""
    return f"{points(estimate.value)} points" + (f" ({interval(estimate)})" if estimate.has_interval else "")


def prediction(predictions: Predictions, pair: tuple[int, int]) -> str:
    """Return the predicted gain of a pair in points, followed by its interval in parentheses."""
    bounds = f"{points(predictions.low[pair])} to {points(predictions.high[pair])}"
    return f"{points(predictions.value[pair])} points ({100 * COVERAGE:g} % interval {bounds})"


def at_edges(edges: Iterable[GridEdge]) -> str:
    """Return a sentence for each edge of the grid that many pairs choose, with the value to add."""
    return " ".join(
        f"{edge.num_pairs:,} of {plural(edge.num_all, 'pair')}{_of_loss_and_target(edge)} "
        f"{'chooses' if edge.num_pairs == 1 else 'choose'} {_DIMENSIONS[edge.dimension]} "
        f"{number(edge.value)}, the {'smallest' if edge.is_smallest else 'largest'} that was tried: add "
        f"{number(edge.next_value)} to sweep.{edge.dimension}."
        for edge in edges
    )


def added_values(added: Mapping[str, Sequence[float]]) -> str:
    """Return a sentence on the values that were added to the grid. The text is empty if none were."""
    parts = [
        f"{plural(len(values), noun).partition(' ')[2]} {', '.join(map(number, values))}"
        for dimension, noun in _DIMENSIONS.items()
        if (values := added.get(dimension, ()))
    ]
    if not parts:
        return ""
    return f"Many pairs chose an edge of the grid, so values beyond it were tried too: {'; '.join(parts)}."


def _of_loss_and_target(edge: GridEdge) -> str:
    names = {"loss": edge.loss, "target": edge.target}
    chosen = " and ".join(f"{noun} {name}" for noun, name in names.items() if name is not None)
    return f" with {chosen}" if chosen else ""


def share_of(estimate: Estimate) -> str:
    """Return a share of pairs as a count: 23 of 90."""
    return f"{round(estimate.value * estimate.num)} of {estimate.num}" if estimate.num else "n/a"


def number(value: float) -> str:
    """Return a parameter in its shortest form: 4.0 is 4."""
    return f"{value:g}"


def value(value: object) -> str:
    """Return a value of a setting: a number in its shortest form, or a name."""
    return number(value) if isinstance(value, float) else str(value)


def setting(
    transfer_set: str,
    temperature: float,
    alpha: float,
    learning_rate: float | None = None,
    loss: str | None = None,
    target: str | None = None,
) -> str:
    """Return a setting in words. Omit values that are None, and alpha if the transfer set has no labels.

    If the loss sets its temperature itself, the text has no number for T.
    """
    weight = f"alpha={number(alpha)}" if TRANSFER_SETS[transfer_set].uses_labels else DIVERGENCE_ALONE
    others = _dimensions(UntunedDefault(None, learning_rate, loss, target))
    return f"transfer set {transfer_set}, {_temperature(temperature, loss)}, {weight}{others}"


def _temperature(temperature: float, loss: str | None) -> str:
    return OWN_TEMPERATURE if sets_temperature(loss) else f"T={number(temperature)}"


def default_setting(default: UntunedDefault) -> str:
    """Return the untuned default in words."""
    assert default.transfer_set is not None, "the default of an experiment has a transfer set"
    values = default.learning_rate, default.loss, default.target
    return setting(default.transfer_set, DEFAULT_TEMPERATURE, DEFAULT_ALPHA, *values)


def default_recipe(transfer_sets: Iterable[str], default: UntunedDefault) -> str:
    """Return the untuned default in words without its transfer set. The words apply to all given transfer sets."""
    names = tuple(transfer_sets)
    without_labels = names_without_labels(names)
    weight = DIVERGENCE_ALONE
    if len(without_labels) < len(names):
        weight = f"alpha={number(DEFAULT_ALPHA)}" + (f" (without labels, {DIVERGENCE_ALONE})" if without_labels else "")
    return f"{_temperature(DEFAULT_TEMPERATURE, default.loss)}, {weight}{_dimensions(default)}"


def without_labels(transfer_sets: Iterable[str]) -> str:
    """Return a sentence on the transfer sets without labels. The text is empty if all have labels."""
    if not (named := _sets_without_labels(transfer_sets)):
        return ""
    return f"{named} no labels, so the loss is the divergence alone (w = 1), and alpha has no effect."


def without_control(transfer_sets: Iterable[str]) -> str:
    """Return a sentence on the transfer sets that allow no fine-tuning. The text is empty if all sets have labels."""
    if not (named := _sets_without_labels(transfer_sets)):
        return ""
    return f"{named} no labels, so no fine-tuning without a teacher exists there."


def _sets_without_labels(transfer_sets: Iterable[str]) -> str:
    names = names_without_labels(transfer_sets)
    if not names:
        return ""
    return f"Transfer set {names[0]} has" if len(names) == 1 else f"Transfer sets {' and '.join(names)} have"


def single_setting(single: SingleSetting | None) -> str:
    """Return in words the one setting that is best for all pairs, or that none could be chosen."""
    if single is None:
        return "none: every setting diverged for some pair"
    return setting(
        single.transfer_set,
        single.temperature,
        single.alpha,
        single.learning_rate,
        single.loss,
        single.target,
    )


def diverged(divergence: Divergence, names: Sequence[str]) -> str:
    """Return in a few sentences which trainings diverged. The text is empty if none did.

    ``names`` has what each peer is called.
    """
    sentences = []
    if divergence.peers:
        named = ", ".join(names[peer] for peer in divergence.peers)
        sentences.append(
            f"In pre-training, {plural(len(divergence.peers), 'peer')} diverged ({named}): "
            f"{plural(divergence.num_pairs_left_out, 'ordered pair')} with a peer that diverged were not tried."
        )
    if divergence.num_trials_diverged:
        verb = "is" if divergence.num_controls == 1 else "are"
        named = plural(divergence.num_controls, "control")
        controls = f" Among them {verb} {named} without a teacher." if divergence.num_controls else ""
        sentences.append(
            f"{divergence.num_trials_diverged:,} of {plural(divergence.num_trials, 'trial')} diverged, that is, did "
            f"not end in finite numbers. None of these is chosen or part of a mean.{controls}"
        )
    return " ".join(sentences)


def _split_terms(transfer_sets: Iterable[str]) -> str:
    """Return in words which samples CE and D use on transfer sets with separate samples for these two terms.

    The text is empty if there is no such transfer set.
    """
    names = [name for name in transfer_sets if TRANSFER_SETS[name].is_split]
    if not names:
        return ""
    return (
        f"On {' and '.join(names)} each batch contains a batch of samples with labels and a batch of samples without. "
        "CE is the mean over the former, and D is the mean over the latter. An epoch is one pass over the set with "
        "more batches, while the other set is passed through repeatedly."
    )


def _target_in_words(target: TargetConfig) -> Iterator[str]:
    if target.is_teacher:
        yield "p = softmax(teacher logits / T) and q = softmax(student logits / T); no gradient flows into the teacher."
        return
    yield "q = softmax(student logits / T), and p is the target, a constant."
    yield from _made(target)


def _made(target: TargetConfig) -> Iterator[str]:
    declared = target.pair_target
    yield f"The target is {declared.title}: p = {declared.formula} ({declared.source}). {declared.meaning}"
    if target.prior_adjusted:
        yield "Before that, log(1 + number of its training samples of the class) is subtracted from a peer's logits."


def true_minus(text: str) -> str:
    """Return the text with a true minus before negative numbers. It is as wide as a plus, so that columns align."""
    return re.sub(r"(?<!\w)-(?=\d)", "\N{MINUS SIGN}", text)


def tuned_names(dimensions: Iterable[str], *others: str) -> str:
    """Return the names of the parameters that are chosen, separated by commas and "and".

    Args:
        dimensions: The names among ``learning_rate``, ``loss`` and ``target`` that the experiment tunes.
        others: Further names.
    """
    *names, last = "temperature", "alpha", *(name.replace("_", " ") for name in dimensions), *others
    return f"{', '.join(names)} and {last}"


def _dimensions(default: UntunedDefault) -> str:
    return "".join(f", {name.replace('_', ' ')} {value(getattr(default, name))}" for name in default.dimensions)


def loss_formula(distill: DistillConfig) -> str:
    """Return the loss of every distillation as a formula, followed by the formula of T if the loss sets T itself."""
    term = distill.term
    rule = term.loss.temperature_rule
    own = f"\n   {rule.formula}" if rule else ""
    scale = "T^2 * " if term.scale_by_temperature_squared else ""
    return f"loss = w * {scale}D + (1 - w) * CE(label, softmax(student logits))\n   D = {term.loss.formula}{own}"


def loss_in_words(distill: DistillConfig) -> str:
    """Return the loss with its hyper-parameters and conventions on one line."""
    term, conventions = distill.term, distill.conventions
    scaled = "times T^2" if term.scale_by_temperature_squared else "not times T^2"
    weighed = conventions.alpha_weighs.replace("_", " ")
    target = "" if distill.target.is_teacher else f", target: {distill.target.title}"
    return (
        f"{term.loss.title}{_in_brackets(term.parameters)}, reduction {term.reduction}, {scaled}, teacher in "
        f"{conventions.teacher_mode} mode, alpha weighs {weighed}{target}"
    )


def tried_losses_in_words(config: ExperimentConfig) -> str:
    """Return one line with the loss of the untuned default, and the names of the losses and targets that are tried."""
    text = loss_in_words(config.distill)
    for noun, names in (("loss", config.sweep.losses), ("target", config.sweep.targets)):
        text += f"; tried for each pair: {noun} {', '.join(names)}" if names else ""
    return text


def grid_in_words(config: ExperimentConfig) -> str:
    """Return the values of the grid, separated by semicolons."""
    sweep = config.sweep
    values: Mapping[str, Iterable[object]] = {
        "temperature": sweep.temperatures,
        "alpha": sweep.alphas,
        "learning rate": sweep.learning_rates,
        "loss": sweep.losses,
        "target": sweep.targets,
        "transfer set": sweep.tried_transfer_sets,
    }
    return "; ".join(f"{name} {', '.join(map(value, tried))}" for name, tried in values.items() if tried)


def alternatives_in_words(config: ExperimentConfig) -> Iterator[str]:
    """Yield sentences on further losses and targets that a sweep tries, and on the parts of the grid that it omits."""
    for name, loss in config.tried_losses.items():
        if loss is not config.distill.loss:
            declared, values = loss.pair_loss, _hyper_parameters(loss.pair_loss, loss.parameters)
            rule = declared.temperature_rule
            own, values = f" {rule.formula}." if rule else "", f" {values}" if values else ""
            yield f"With loss {name}, D = {declared.formula} ({declared.source}).{own}{values}"
    for label, target in config.tried_targets.items():
        if target != config.distill.target:
            control = " Its trials are controls." if label in TARGETS_WITHOUT_TEACHER else ""
            yield f"With target {label}, p is made otherwise. {' '.join(_made(target))}{control}"
    yield from omissions(config.grid)


def _hyper_parameters(loss: PairLoss, parameters: Mapping[str, float]) -> str:
    values = " and ".join(f"{name} = {number(value)}" for name, value in parameters.items())
    owner = "The rule of T" if loss.sets_temperature else "D"
    return f"{owner} has hyper-parameters of its own: {values}." if values else ""


def _in_brackets(parameters: Mapping[str, float]) -> str:
    values = ", ".join(f"{name} = {number(value)}" for name, value in parameters.items())
    return f" ({values})" if values else ""


def conventions_in_words(distill: DistillConfig, transfer_sets: Iterable[str] = ()) -> list[str]:
    """Return sentences that define a distillation beyond the values of T and alpha: its target, loss and conventions.

    Args:
        distill: The config of the distillations.
        transfer_sets: The transfer sets of the experiment.
    """
    conventions, term = distill.conventions, distill.term
    match conventions.alpha_weighs:
        case "distillation":
            weight = "Alpha is the weight of D: w = alpha."
        case "cross_entropy":
            weight = "Alpha is the weight of the cross entropy: w = 1 - alpha."
        case _:
            assert_never(conventions.alpha_weighs)
    match term.reduction:
        case "batchmean":
            reduction = "D is averaged over the batch"
        case "mean":
            reduction = (
                "D is averaged over classes and over the batch, so it is smaller by a factor of the number of classes"
            )
        case _:
            assert_never(term.reduction)
    match conventions.teacher_mode:
        case "eval":
            statistics = "its running statistics (eval mode)"
        case "train":
            statistics = "the statistics of the batch (train mode)"
        case _:
            assert_never(conventions.teacher_mode)
    scaled = "multiplied by T^2" if term.scale_by_temperature_squared else "not multiplied by T^2"
    values = _hyper_parameters(term.loss, term.parameters)
    own = "The loss sets T itself, after every step; the T of a setting has no effect on it."
    return [
        *_target_in_words(distill.target),
        f"{term.loss.capitalized_title} ({term.loss.source}): {term.loss.meaning}",
        *([own] if term.loss.sets_temperature else []),
        *([values] if values else []),
        " ".join(filter(None, [weight, without_labels(transfer_sets), _split_terms(transfer_sets)])),
        f"{reduction}, and {scaled}.",
        f"The teacher's batch normalisation uses {statistics}.",
        "Fine-tuning, a control, has w = 0: the same student, data, epochs and recipe, without a teacher.",
    ]
