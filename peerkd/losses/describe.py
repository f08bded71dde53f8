"""The pages on the losses and targets of pair distillation: ``python -m peerkd.losses.describe [targets]``."""

import sys
from collections.abc import Iterable, Iterator
from typing import Final

from peerkd.losses.pairs import PAIR_LOSSES
from peerkd.losses.pairs.loss import PairLoss
from peerkd.losses.targets import PAIR_TARGETS
from peerkd.losses.targets.target import PairTarget

_INTRODUCTION: Final = r"""<!-- Written by `make docs` from peerkd/losses/pairs/. Edit that. -->

# The losses of pair distillation

A student distils from a teacher with the loss

$$w \cdot T^2 \cdot D + (1 - w) \cdot \mathrm{CE}$$

where CE is the cross entropy on the labels, w is the weight that alpha sets, and T is the temperature. `distill.loss`
chooses D, and [`distill.conventions`](experiment.md#distillconventions) says how D is averaged and whether it is
multiplied by $T^2$. The formulas below are those of one sample, with the student's logits s, the teacher's logits t,
the label y, and

$$p = \mathrm{softmax}(t / T), \qquad q = \mathrm{softmax}(s / T).$$

With another `distill.target`, p is that [target](targets.md).

```sh
.venv/bin/peerkd run jointkd --set distill.loss.kind=reverse_kl
.venv/bin/peerkd run jointkd --set distill.loss.kind=dkd --set distill.loss.nckd_weight=2
```

`sweep.losses` [tries several losses](sweep.md) for each pair.
"""

_TARGETS_INTRODUCTION: Final = r"""<!-- Written by `make docs` from peerkd/losses/targets/. Edit that. -->

# The targets of pair distillation

The target is the distribution that a student imitates: p in the formulas of the [losses](losses.md). `distill.target`
selects it. By default, it is the prediction of the teacher. The *old self* of a student is the pre-trained student
before the distillation. The other targets use its predictions, alone or together with those of the teacher. They let
the student keep what it knew and the teacher did not. The formulas use the logits t of the teacher, the logits s of the
old self, and the predictions

$$p_t = \mathrm{softmax}(t / T), \qquad p_s = \mathrm{softmax}(s / T).$$

In sums over the teacher and the old self, $z_i$ stands for t or s. H is the entropy, and Z is the constant that makes
the sum of p over the classes 1.

With `distill.target.prior_adjusted`, the logits are first corrected by the numbers of training samples: n_t(k) and
n_s(k) are the numbers of samples of class k on which teacher and student were trained, and

$$t_k \leftarrow t_k - \log(1 + n_t(k)), \qquad s_k \leftarrow s_k - \log(1 + n_s(k)).$$

A softmax estimates the probability of a class among the samples that its network was trained on. The subtraction
therefore divides this probability by the share of the class among these samples (Menon et al. 2021, arXiv:2007.07314,
section 4), so that peers with different data become comparable, and none favours the classes of which it has many
samples.

```sh
.venv/bin/peerkd run jointkd --set distill.target.kind=class_counts --set distill.target.prior_adjusted=true \
  --set "sweep.transfer_sets=[student_and_public]" --set partition.public_fraction=0.1
```

`sweep.targets` [tries several targets](sweep.md) for each pair, each named by its kind, with or without
`+prior_adjusted`.
"""


def page(losses: Iterable[PairLoss] = tuple(PAIR_LOSSES.values())) -> str:
    """Return the reference page of the given losses as Markdown. ``docs/losses.md`` is the page of all losses."""
    return "\n".join([_INTRODUCTION, *(line for loss in losses for line in _section(loss))])


def _section(loss: PairLoss) -> Iterator[str]:
    yield f"## `{loss.name}`: {loss.title}\n"
    yield f"$$D = {loss.tex}$$\n"
    yield f"In plain text, `D = {loss.formula}`. Source: {loss.source}.\n"
    yield f"{loss.meaning}\n"
    if loss.temperature_rule is not None:
        yield f"This loss sets its temperature itself:\n\n$${loss.temperature_rule.tex}$$\n"
        yield (
            f"In plain text, `{loss.temperature_rule.formula}`. Progress is the share of the training that has been "
            "done. `sweep.temperatures` has no effect on this loss, and tables list its trials with T = 1.\n"
        )
    if loss.excludes_unlabelled:
        what = "D also" if loss.needs_labels else "The temperature"
        yield f"{what} depends on the labels, so this loss excludes transfer sets without labels.\n"
    if loss.parameters:
        names = ", ".join(f"`{each.name}`" for each in loss.parameters)
        yield f"Hyper-parameters: {names}; [experiment.md](experiment.md#distillloss) has their defaults and bounds.\n"


def targets_page(targets: Iterable[PairTarget] = tuple(PAIR_TARGETS.values())) -> str:
    """Return the reference page of the given targets as Markdown. ``docs/targets.md`` is the page of all targets."""
    return "\n".join([_TARGETS_INTRODUCTION, *(line for target in targets for line in _target_section(target))])


def _target_section(target: PairTarget) -> Iterator[str]:
    yield f"## `{target.name}`: {target.title}\n"
    yield f"$$p = {target.tex}$$\n"
    yield f"In plain text, `p = {target.formula}`. Source: {target.source}.\n"
    yield f"{target.meaning}\n"


if __name__ == "__main__":
    sys.stdout.write(targets_page() if sys.argv[1:] == ["targets"] else page())
