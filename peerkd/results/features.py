"""The table of features: measures of every ordered pair before any distillation, one row for each pair.

Accuracies and shares are fractions between 0 and 1, gains are differences of accuracies, and entropies and divergences
are in nats. The measures use the global validation set and up to a few hundred training samples of each peer. None of
them uses the test split.

Shape suffixes: P = peers (row: student, column: teacher), K = classes, N = samples.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from peerkd.arrays import FloatArray, IntArray
from peerkd.results import arrow
from peerkd.results.answers import TEMPERATURES, WEIGHTS, Answers, on_training_data, on_validation

_KNOWN_SHARE: Final = 0.01
"""A peer knows a class if more than this share of its training samples belongs to it."""

_NOTABLE_SHARE: Final = 0.02
"""A class is one of a peer's classes if more than this share of its training samples belongs to it."""

_MEANINGS: Final = {
    "student_accuracy": "Accuracy of the student on validation",
    "teacher_accuracy": "Accuracy of the teacher on validation",
    "num_student_samples": "Samples of the student's training set",
    "num_teacher_samples": "Samples of the teacher's training set",
    "label_divergence": "Jensen-Shannon divergence of the class shares of both training sets, in nats",
    "student_label_entropy": "Entropy of the class shares of the student's training set, in nats",
    "teacher_label_entropy": "Entropy of the class shares of the teacher's training set, in nats",
    "student_classes_known_by_teacher_share": "Share of the student's samples in classes that make up more than "
    "0.01 of the teacher's samples",
    "teacher_classes_known_by_student_share": "Share of the teacher's samples in classes that make up more than "
    "0.01 of the student's samples",
    "student_class_fraction": "Fraction of all classes that make up more than 0.02 of the student's samples each",
    "teacher_class_fraction": "Fraction of all classes that make up more than 0.02 of the teacher's samples each",
    "union_class_fraction": "Fraction of all classes that make up more than 0.02 of the samples of student or teacher",
    "only_student_right": "Share of validation samples on which the student is right and the teacher wrong",
    "only_teacher_right": "Share of validation samples on which the teacher is right and the student wrong",
    "agreement": "Share of validation samples for which both predict the same class",
    "teacher_accuracy_on_student_data": "Accuracy of the teacher on training samples of the student",
    "student_accuracy_on_teacher_data": "Accuracy of the student on training samples of the teacher",
    "student_accuracy_on_own_data": "Accuracy of the student on its own training samples",
    "teacher_accuracy_on_own_data": "Accuracy of the teacher on its own training samples",
    "student_class_accuracy_on_teacher_classes": "Mean of the student's accuracies on each class of the validation "
    "set, weighted by the teacher's class shares",
    "teacher_class_accuracy_on_student_classes": "Mean of the teacher's accuracies on each class of the validation "
    "set, weighted by the student's class shares",
    "best_class_accuracy": "Mean over classes of the higher one of both peers' accuracies on the class, on validation",
    **{
        f"ensemble_gain_{round(100 * weight)}": "Accuracy on validation of the weighted mean of both peers' "
        f"probabilities, the teacher with weight {weight}, minus the accuracy of the student"
        for weight in WEIGHTS
    },
    **{
        f"teacher_entropy_{temperature}": "Mean entropy of the teacher's probabilities at temperature "
        f"{temperature} on training samples of the student, in nats"
        for temperature in TEMPERATURES
    },
    **{
        f"divergence_on_{owner}_data_{temperature}": "Mean of T^2 times the Kullback-Leibler divergence of the teacher "
        f"from the student at T = {temperature}, on training samples of the {owner}, in nats"
        for owner in ("student", "teacher")
        for temperature in TEMPERATURES
    },
    "student_entropy": "Mean entropy of the student's probabilities on validation, in nats",
    "teacher_entropy": "Mean entropy of the teacher's probabilities on validation, in nats",
    "student_calibration_error": "Expected calibration error of the student on validation, 10 bins of equal width",
    "teacher_calibration_error": "Expected calibration error of the teacher on validation, 10 bins of equal width",
}

FEATURES_SCHEMA: Final = pa.schema(
    [
        arrow.field("student", pa.int32(), "Peer that is trained", nullable=False),
        arrow.field("teacher", pa.int32(), "Peer that teaches", nullable=False),
        *(arrow.field(name, pa.float64(), meaning, nullable=False) for name, meaning in _MEANINGS.items()),
    ]
)
"""Every column with its type and, as metadata, its meaning. Student and teacher identify a row."""

FEATURE_NAMES: Final = tuple(_MEANINGS)
"""All columns except student and teacher."""

_KIND: Final = arrow.TableKind("table of features", "FEATURES_SCHEMA", FEATURES_SCHEMA)


def pair_features(
    validation: Iterable[Answers],
    training: Iterable[Answers],
    *,
    label_counts_PK: IntArray,
    peers: Sequence[int] | None = None,
    pairs: tuple[IntArray, IntArray] | None = None,
) -> pa.Table:
    """Return the table of features of ordered pairs, sorted by student and teacher. All values are finite.

    Args:
        validation: Logits of all peers for the global validation samples, in one or more parts.
        training: An item for each peer, in order: the logits for training samples of this peer, of the peer itself and
            of every other peer that is paired with it.
        label_counts_PK: Number of samples of each class in the training set of each peer.
        peers: Numbers of the peers, ascending. If None, peers are numbered from 0.
        pairs: The students and the teachers of the pairs, as positions among the peers, sorted by student and teacher.
            If None, every two peers are a pair in both directions.

    Raises:
        ValueError: If a peer has no training samples, the number of parts of ``training`` is not the number of peers,
            or a logit is not finite.
    """
    counts_P = label_counts_PK.sum(axis=1)
    numbers_P = np.arange(len(counts_P)) if peers is None else np.asarray(peers)
    if not counts_P.all():
        raise ValueError(f"label_counts_PK must count samples of every peer, got none of peer {counts_P.argmin()}.")
    students, teachers = pairs or np.nonzero(~np.eye(len(counts_P), dtype=np.bool_))
    shares_PK = label_counts_PK / counts_P[:, None]
    columns_of: dict[str, FloatArray] = {}
    # Each group of matrices is dropped before the next one is computed, because with a thousand peers a matrix takes
    # 8 MB.
    groups: tuple[Callable[[], Mapping[str, FloatArray]], ...] = (
        lambda: dict(_label_features(shares_PK)),
        lambda: _for_both("num_{}_samples", counts_P.astype(np.float64)),
        lambda: _on_validation(validation, shares_PK=shares_PK),
        lambda: _on_training_data(training, num_peers=len(counts_P)),
    )
    for compute in groups:
        columns_of |= {name: matrix_PP[students, teachers] for name, matrix_PP in compute().items()}
    columns = [columns_of[name] for name in FEATURE_NAMES]
    pair = [numbers_P[students].astype(np.int32), numbers_P[teachers].astype(np.int32)]
    return arrow.checked(pa.table([*pair, *columns], names=FEATURES_SCHEMA.names), _KIND)


def write_features(table: pa.Table, path: Path) -> None:
    """Check the table of features, and write it as Parquet."""
    arrow.write(table, path, _KIND)


def read_features(path: Path) -> pa.Table:
    """Read a table that ``write_features`` wrote, and check it."""
    return arrow.read(path, _KIND)


def _label_features(shares_PK: FloatArray) -> Iterator[tuple[str, FloatArray]]:
    entropy_P = _entropy(shares_PK)
    middle_entropy_PP = np.stack([_entropy((shares_K + shares_PK) / 2) for shares_K in shares_PK])
    divergence_PP = middle_entropy_PP - (entropy_P[:, None] + entropy_P) / 2
    # Rounding can give a negative number.
    yield "label_divergence", np.maximum(divergence_PP, 0)
    yield from _for_both("{}_label_entropy", entropy_P).items()
    known_PP = shares_PK @ (shares_PK > _KNOWN_SHARE).T
    yield "student_classes_known_by_teacher_share", known_PP
    yield "teacher_classes_known_by_student_share", known_PP.T
    is_notable_PK = shares_PK > _NOTABLE_SHARE
    yield from _for_both("{}_class_fraction", is_notable_PK.mean(axis=1)).items()
    yield "union_class_fraction", 1 - (~is_notable_PK).astype(np.float64) @ (~is_notable_PK).T / shares_PK.shape[1]


def _on_validation(parts: Iterable[Answers], *, shares_PK: FloatArray) -> dict[str, FloatArray]:
    measured = on_validation(parts)
    has_samples_K = ~np.isnan(measured.class_accuracy_PK[0])
    class_accuracy_PK = measured.class_accuracy_PK[:, has_samples_K]
    # Weights over the classes with validation samples. They are 0 for a peer without any of these classes.
    weights_PK = shares_PK[:, has_samples_K]
    weights_PK = weights_PK / np.maximum(weights_PK.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    on_classes_PP = class_accuracy_PK @ weights_PK.T
    best_PP = np.stack([np.maximum(one_K, class_accuracy_PK).mean(axis=1) for one_K in class_accuracy_PK])
    return {
        **_for_both("{}_accuracy", measured.accuracy_P),
        "only_student_right": measured.only_first_right_PP,
        "only_teacher_right": measured.only_first_right_PP.T,
        "agreement": measured.agreement_PP,
        "student_class_accuracy_on_teacher_classes": on_classes_PP,
        "teacher_class_accuracy_on_student_classes": on_classes_PP.T,
        "best_class_accuracy": best_PP,
        **_numbered("ensemble_gain_{}", [round(100 * weight) for weight in WEIGHTS], measured.mixture_gain_WPP),
        **_for_both("{}_entropy", measured.entropy_P),
        **_for_both("{}_calibration_error", measured.calibration_error_P),
    }


def _on_training_data(parts: Iterable[Answers], *, num_peers: int) -> dict[str, FloatArray]:
    measured = on_training_data(parts)
    if measured.accuracy_PP.shape != (num_peers, num_peers):
        raise ValueError(f"training must be {num_peers} parts, one of each peer, got {measured.accuracy_PP.shape[1]}.")
    return {
        "teacher_accuracy_on_student_data": measured.accuracy_PP.T,
        "student_accuracy_on_teacher_data": measured.accuracy_PP,
        **_for_both("{}_accuracy_on_own_data", measured.accuracy_PP.diagonal()),
        **_numbered("teacher_entropy_{}", TEMPERATURES, measured.entropy_TPP.swapaxes(1, 2)),
        **_numbered("divergence_on_student_data_{}", TEMPERATURES, measured.divergence_to_owner_TPP.swapaxes(1, 2)),
        **_numbered("divergence_on_teacher_data_{}", TEMPERATURES, measured.divergence_from_owner_TPP),
    }


def _for_both(name: str, values_P: FloatArray) -> dict[str, FloatArray]:
    """Return a value of each peer as two matrices over pairs, for the student and for the teacher."""
    values_PP = np.repeat(values_P[:, None], len(values_P), axis=1)
    return {name.format("student"): values_PP, name.format("teacher"): values_PP.T}


def _numbered(name: str, numbers: Iterable[int], matrices: FloatArray) -> dict[str, FloatArray]:
    return {name.format(number): matrix_PP for number, matrix_PP in zip(numbers, matrices, strict=True)}


def _entropy(shares_PK: FloatArray) -> FloatArray:
    logs_PK = np.log(np.maximum(shares_PK, np.finfo(np.float64).tiny))
    entropies_P: FloatArray = -(shares_PK * logs_PK).sum(axis=1)
    return entropies_P
