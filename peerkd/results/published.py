"""Published accuracies, and the rule that decides which experiments are comparable with them.

The paper of PCL (Wu and Gong 2021) was not available in full. Its numbers come from the README of a public
reimplementation (shaoeric/Peer-Collaborative-Learning-for-Online-Knowledge-Distillation, 6afb473), which copies them.
The other numbers come from winycg/MCL-OKD (5de042a), measured with the same definitions of the networks. All are top-1
errors in percent on the 10,000 test images.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from peerkd.config.methods import Method


class Published(NamedTuple):
    """One published result, as fractions. A number that the source does not report is None."""

    source: str
    accuracy: float
    standard_deviation: float | None
    ensemble_accuracy: float | None


WU_AND_GONG: Final = "Wu and Gong 2021, as copied in a public reimplementation's README"
MCL_OKD: Final = "README of MCL-OKD"

SOURCES: Final[Mapping[str, str]] = {
    WU_AND_GONG: "300 epochs, batches of 128 and three branches, if the paper has the settings of the "
    "reimplementation. The numbers are means and standard deviations over runs; the copy reports neither the number "
    "of runs nor the epoch. It has no column for plain training.",
    MCL_OKD: "Four branches, with separate numbers for the single network and the ensemble. For DML, its code reports "
    "the best of all networks and their ensemble at the best epoch on test, so this number is too optimistic.",
}
"""What is known about how the numbers of each source were measured."""

_WU_AND_GONG_METHODS: Final[tuple[Method, ...]] = ("dml", "cl_ilr", "one", "ffl_s", "okddip", "kdcl", "pcl")
_MCL_OKD_METHODS: Final[tuple[Method, ...]] = ("dml", "cl_ilr", "one", "okddip")

_WU_AND_GONG_ERRORS_PCT: Final = {
    ("cifar100", "resnet32"): (
        (26.32, 0.14),
        (27.67, 0.46),
        (26.21, 0.41),
        (27.82, 0.11),
        (26.75, 0.38),
        (26.24, 0.34),
        (25.86, 0.16),
    ),
    ("cifar100", "resnet110"): (
        (22.14, 0.50),
        (21.17, 0.58),
        (21.60, 0.36),
        (22.78, 0.41),
        (21.46, 0.26),
        (21.72, 0.32),
        (20.02, 0.55),
    ),
    ("cifar100", "vgg16"): (
        (24.48, 0.10),
        (25.67, 0.08),
        (25.63, 0.39),
        (29.13, 0.99),
        (25.32, 0.05),
        (24.33, 0.22),
        (23.11, 0.25),
    ),
    ("cifar100", "densenet40_12"): (
        (26.94, 0.31),
        (28.55, 0.34),
        (28.40, 0.38),
        (28.75, 0.35),
        (28.77, 0.14),
        (27.48, 0.42),
        (26.91, 0.16),
    ),
    ("cifar100", "wrn20_8"): (
        (20.23, 0.07),
        (20.60, 0.12),
        (20.90, 0.39),
        (21.78, 0.14),
        (21.17, 0.06),
        (20.63, 0.30),
        (19.49, 0.49),
    ),
    ("cifar10", "resnet32"): (
        (6.06, 0.07),
        (5.98, 0.28),
        (5.80, 0.12),
        (5.99, 0.11),
        (5.83, 0.15),
        (5.99, 0.08),
        (5.67, 0.12),
    ),
    ("cifar10", "resnet110"): (
        (5.47, 0.25),
        (4.81, 0.11),
        (4.84, 0.30),
        (5.28, 0.06),
        (4.86, 0.10),
        (4.89, 0.16),
        (4.47, 0.16),
    ),
    ("cifar10", "vgg16"): (
        (5.87, 0.07),
        (5.86, 0.15),
        (5.86, 0.23),
        (6.78, 0.08),
        (6.02, 0.06),
        (5.91, 0.12),
        (5.26, 0.02),
    ),
    ("cifar10", "densenet40_12"): (
        (6.41, 0.26),
        (6.95, 0.25),
        (6.92, 0.21),
        (6.72, 0.16),
        (7.36, 0.22),
        (6.13, 0.08),
        (5.87, 0.13),
    ),
    ("cifar10", "wrn20_8"): (
        (4.80, 0.13),
        (5.41, 0.08),
        (5.30, 0.14),
        (5.28, 0.13),
        (5.17, 0.15),
        (4.73, 0.16),
        (4.58, 0.04),
    ),
}
"""The mean and the standard deviation of the error of each method in ``_WU_AND_GONG_METHODS``, keyed by data set and
architecture."""

_MCL_OKD_PLAIN_ERRORS_PCT: Final = {"resnet32": 28.91, "resnet110": 23.62, "vgg16": 25.18, "densenet40_12": 29.17}
_MCL_OKD_ERRORS_PCT: Final = {
    "resnet32": ((24.92, 22.97), (25.40, 24.03), (25.74, 24.03), (25.76, 23.73)),
    "resnet110": ((21.51, 19.12), (21.16, 18.66), (22.19, 20.23), (21.05, 19.40)),
    "vgg16": ((24.14, 23.27), (23.58, 22.96), (25.22, 25.12), (24.86, 24.52)),
    "densenet40_12": ((27.34, 26.02), (27.38, 26.19), (29.01, 28.67), (28.75, 27.51)),
}
"""The errors of the single network and of the ensemble on CIFAR-100 for each method in ``_MCL_OKD_METHODS``, keyed by
architecture."""

_CIFAR10_CLASSES: Final = frozenset(
    ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
)


def find_published(data_set: str | None, architecture: str, method: Method) -> tuple[Published, ...]:
    """Return the published results for a data set (``cifar10`` or ``cifar100``), architecture and method."""
    found = []
    errors = _WU_AND_GONG_ERRORS_PCT.get((data_set or "", architecture))
    if errors and method in _WU_AND_GONG_METHODS:
        mean, deviation = errors[_WU_AND_GONG_METHODS.index(method)]
        found.append(Published(WU_AND_GONG, _accuracy(mean), deviation / 100, None))
    if data_set == "cifar100" and architecture in _MCL_OKD_ERRORS_PCT:
        if method == "plain":
            found.append(Published(MCL_OKD, _accuracy(_MCL_OKD_PLAIN_ERRORS_PCT[architecture]), None, None))
        elif method in _MCL_OKD_METHODS:
            single, ensemble = _MCL_OKD_ERRORS_PCT[architecture][_MCL_OKD_METHODS.index(method)]
            found.append(Published(MCL_OKD, _accuracy(single), None, _accuracy(ensemble)))
    return tuple(found)


def published_data_set(source: str, class_names: Sequence[str]) -> str | None:
    """Return the name of the data set if it has published numbers, else None.

    Images in a folder or a file count as CIFAR-10 if their classes have the names of the classes of CIFAR-10.
    """
    if source in ("cifar10", "cifar100"):
        return source
    return "cifar10" if frozenset(class_names) == _CIFAR10_CLASSES else None


def _accuracy(error_pct: float) -> float:
    return round(1 - error_pct / 100, 6)
