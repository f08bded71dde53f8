"""The page on the losses of pair distillation, from their declarations: ``python -m peerkd.losses.describe``."""

import sys
from collections.abc import Iterable, Iterator
from typing import Final

from peerkd.losses.pairs import PAIR_LOSSES
from peerkd.losses.pairs.loss import PairLoss

_INTRODUCTION: Final = r"""<!-- Written by `make docs` from peerkd/losses/pairs/. Edit that. -->

# The losses of pair distillation

A student distils from a teacher by the loss

$$w \cdot T^2 \cdot D + (1 - w) \cdot \mathrm{CE}$$

where CE is the cross entropy on the labels, w is the weight that alpha sets, and T is the temperature. `distill.loss`
chooses D, and [`distill.conventions`](experiment.md#distillconventions) says how D is averaged and whether it is
multiplied by $T^2$. The formulas below are those of one sample, with the student's logits s, the teacher's logits t,
the label y, and

$$p = \mathrm{softmax}(t / T), \qquad q = \mathrm{softmax}(s / T).$$

```sh
.venv/bin/peerkd run jointkd --set distill.loss.kind=reverse_kl
.venv/bin/peerkd run jointkd --set distill.loss.kind=dkd --set distill.loss.nckd_weight=2
```
"""


def page(losses: Iterable[PairLoss] = tuple(PAIR_LOSSES.values())) -> str:
    """Return the page as Markdown."""
    return "\n".join([_INTRODUCTION, *(line for loss in losses for line in _section(loss))])


def _section(loss: PairLoss) -> Iterator[str]:
    yield f"## `{loss.name}`: {loss.title}\n"
    yield f"$$D = {loss.tex}$$\n"
    yield f"In plain text, `D = {loss.formula}`. Source: {loss.source}.\n"
    yield f"{loss.meaning}\n"
    if loss.needs_labels:
        yield "D also depends on the labels, so this loss excludes transfer sets without labels.\n"
    if loss.parameters:
        names = ", ".join(f"`{each.name}`" for each in loss.parameters)
        yield f"Hyper-parameters: {names}; [experiment.md](experiment.md#distillloss) has their defaults and bounds.\n"


if __name__ == "__main__":
    sys.stdout.write(page())
