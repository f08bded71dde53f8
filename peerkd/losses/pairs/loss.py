"""The declaration of a loss of pair distillation.

Shape suffixes: B = samples, K = classes.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from peerkd.losses.pairs.temperature_rule import TemperatureRule

if TYPE_CHECKING:
    from torch import Tensor


MISSING_CLASS_LOGIT: Final = -1e6
"""The logit of a class that a network does not know. Even divided by ``MAX_TEMPERATURE``, it is so low that the class
has the probability 0 in float32, which rounds exp(-104) to 0. Losses that allow missing classes stay finite."""

MAX_TEMPERATURE: Final = 1_000.0
"""The highest temperature that a config may have if some peer does not know every class."""


class Parameter(NamedTuple):
    """A hyper-parameter of a loss: a number with a default and bounds."""

    name: str
    """The argument of the loss's function, and the field of the config."""

    default: float
    meaning: str
    """The meaning of the hyper-parameter in one or two sentences, for the reference page."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None


class PairLoss(NamedTuple):
    """A loss D of pair distillation, as a function and in words.

    A formula may use the following names without defining them: p is ``softmax(teacher logits / T)``, q is
    ``softmax(student logits / T)``, and y is the label.
    """

    name: str
    """The ``kind`` of ``distill.loss`` in a config."""

    title: str
    """The name of the loss in texts: a noun phrase without an article, in lower case except for proper names."""

    per_sample: "Callable[..., Tensor]"
    """``per_sample(student_logits_BK, reference_logits_BK, *, temperature, ...)`` returns a tensor of shape (B,): the
    loss of each sample.

    - The reference logits are those that the student is compared with: the teacher's, or a mixture of several
      networks'. They are not called targets, because the target of DKD is the labelled class. Engines treat them as
      constants and compute no gradient for them.
    - The temperature is a number, or a tensor that broadcasts to ``B1``: an engine may give each sample its own.
    - Each hyper-parameter is a keyword-only argument without a default, because its ``Parameter`` contains the default.
      If D needs labels, there is one more keyword-only argument, ``labels_B``: the int64 classes of shape ``B``. If the
      loss has a ``temperature_rule``, the hyper-parameters are those of the rule, and this function has none.
    - No sample's loss may depend on another sample, so that an engine can put students side by side as more samples of
      one batch.
    - Losses and gradients must be finite for all finite logits, equal ones among them. Fill with 0 before you multiply:
      0 * -inf is NaN.
    - No shape may depend on values, as it does in ``logits_BK[mask_BK]``: a GPU could not capture such a step and would
      train one student at a time. Use ``gather`` and ``masked_fill``. A one-hot mask is
      ``logits_BK.new_zeros(logits_BK.shape).scatter(-1, labels_B[:, None], 1.0)``.
    - The function reduces nothing over samples and does not multiply by T^2: ``DistillationTerm`` does both.
    """

    meaning: str
    """What D measures, in one or two sentences with D as their subject, for the report and the reference page."""

    formula: str
    """D of one sample as a line of plain text."""

    tex: str
    """The formula of D in TeX."""

    source: str
    """The paper, section and equation that D is taken from."""

    needs_labels: bool = False
    """Whether D also depends on the labels. If so, the loss excludes transfer sets without labels."""

    temperature_rule: TemperatureRule | None = None
    """The rule by which the loss sets its temperature itself. None: the setting of a trial gives T. With a rule, all
    settings have the nominal temperature ``DEFAULT_TEMPERATURE``. Only the computation of the target uses this nominal
    temperature."""

    parameters: tuple[Parameter, ...] = ()

    allows_missing_classes: bool = False
    """Whether D is defined if the target gives the probability 0 to some classes. This happens for classes that the
    teacher or the student does not know."""

    same_at_temperature_1: str | None = None
    """The name of another loss that is equal to D at T = 1. A study that tries both omits one of them at T = 1."""

    check: Callable[..., None] | None = None
    """A function that takes the hyper-parameters as keyword arguments, and raises a ``ValueError`` if they do not fit
    together. Its sentence begins with the name of a hyper-parameter."""

    @property
    def sets_temperature(self) -> bool:
        """Whether the loss sets its temperature itself, so that a study does not try several temperatures with it."""
        return self.temperature_rule is not None

    @property
    def excludes_unlabelled(self) -> bool:
        """Whether transfer sets without labels are excluded, because D or the rule of its temperature needs labels."""
        return self.needs_labels or (self.temperature_rule is not None and self.temperature_rule.needs_gap)

    @property
    def capitalized_title(self) -> str:
        """The title with a capital letter, for the beginning of a sentence."""
        return self.title[0].upper() + self.title[1:]
