"""The term D of a pair's loss over a batch: a pair loss with its hyper-parameters, its reduction and its factor T^2.

Shape suffixes: B = samples, K = classes.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, assert_never

from peerkd.losses.pairs import kl
from peerkd.losses.pairs.loss import PairLoss

if TYPE_CHECKING:
    from torch import Tensor

Reduction = Literal["batchmean", "mean"]
"""How a batch is reduced. batchmean: the sum over samples is divided by B. mean: it is divided by B * K, as in
``torch.nn.KLDivLoss`` by default."""


class DistillationTerm(NamedTuple):
    """The term D of a pair's loss: a pair loss, its hyper-parameters, and how it is reduced and scaled over a batch."""

    loss: PairLoss

    parameters: Mapping[str, float]
    """A value for each of the loss's hyper-parameters."""

    reduction: Reduction = "batchmean"

    scale_by_temperature_squared: bool = True
    """Whether D is multiplied by T^2. Without the factor, the gradient of D falls as 1 / T^2. With it, a weight has
    about the same effect at every temperature (Hinton et al. 2015, arXiv:1503.02531, section 2)."""

    def per_sample(
        self,
        student_logits_BK: "Tensor",
        teacher_logits_BK: "Tensor",
        *,
        labels_B: "Tensor | None",
        temperature: "float | Tensor",
    ) -> "Tensor":
        """Return the loss of each sample, with shape (B,), neither reduced nor multiplied by T^2.

        Args:
            student_logits_BK: Unnormalised scores of the network that is trained.
            teacher_logits_BK: Unnormalised scores of the teacher, which the student imitates. No gradient flows into
                them.
            labels_B: The classes, or None if the samples have no labels.
            temperature: T, above 0: a number, or a tensor that broadcasts to ``B1``. A tensor is not checked, because
                reading it would wait for its device.

        Raises:
            ValueError: If ``temperature`` is a number not above 0, or the loss needs labels and ``labels_B`` is None.
        """
        if isinstance(temperature, float | int) and temperature <= 0:
            raise ValueError(f"temperature must be above 0, got {temperature}.")
        return self.loss.per_sample(
            student_logits_BK, teacher_logits_BK.detach(), temperature=temperature, **self.arguments(labels_B)
        )

    def arguments(self, labels_B: "Tensor | None") -> dict[str, Any]:
        """Return the keyword arguments of D: its hyper-parameters, and the labels if it needs them.

        The hyper-parameters of a loss that sets its temperature itself are those of its rule, and not of D.

        Raises:
            ValueError: If the loss needs labels and ``labels_B`` is None.
        """
        parameters = {} if self.loss.sets_temperature else self.parameters
        if not self.loss.needs_labels:
            return dict(parameters)
        if labels_B is None:
            raise ValueError(f"labels_B is required by the loss {self.loss.name}, got None.")
        return {"labels_B": labels_B, **parameters}

    def reduced(
        self,
        student_logits_BK: "Tensor",
        teacher_logits_BK: "Tensor",
        *,
        labels_B: "Tensor | None",
        temperature: "float | Tensor",
    ) -> "Tensor":
        """Return D for a batch, a scalar: reduced and, if ``scale_by_temperature_squared``, multiplied by T^2.

        The arguments and errors are those of ``per_sample``: logits of shape (B, K), labels of shape (B,) or None, and
        the temperature T.
        """
        losses_B = self.per_sample(student_logits_BK, teacher_logits_BK, labels_B=labels_B, temperature=temperature)
        reduced = losses_B.sum() / len(losses_B)
        match self.reduction:
            case "batchmean":
                pass
            case "mean":
                reduced = reduced / student_logits_BK.shape[-1]
            case _:
                assert_never(self.reduction)
        return temperature**2 * reduced if self.scale_by_temperature_squared else reduced


def distillation_term(loss: PairLoss, **parameters: float) -> DistillationTerm:
    """Return the term D of a loss with these hyper-parameters, and with the loss's defaults for all others."""
    defaults = {each.name: each.default for each in loss.parameters}
    return DistillationTerm(loss, defaults | parameters)


HINTON: Final = distillation_term(kl.LOSS)
"""``T^2 * mean_B KL(p || q)``, the term of Hinton et al. 2015. p is the softmax of the teacher's logits divided by T, q
the softmax of the student's logits divided by T, and mean_B the mean over the batch."""
