"""The table of features against its formulas, written out pair by pair."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from peerkd.arrays import FloatArray, IntArray
from peerkd.errors import ArtifactCorruptError, ArtifactNotFoundError
from peerkd.results.answers import Answers
from peerkd.results.features import FEATURE_NAMES, FEATURES_SCHEMA, pair_features, read_features, write_features

NUM_PEERS, NUM_CLASSES = 3, 4
COUNTS_PK = np.array([[6, 3, 0, 1], [0, 2, 198, 0], [100, 98, 2, 0]])
"""Class shares at, above and below the limits for a known class and for a peer's own class."""


def answers(num_samples: int, *, seed: int, classes: tuple[int, ...] = (0, 1, 2, 3)) -> Answers:
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, num_samples)
    logits = 2 * rng.normal(size=(NUM_PEERS, num_samples, NUM_CLASSES))
    logits[:, np.arange(num_samples), labels] += np.array([2.0, 0.0, 1.0])[:, None]
    return Answers(logits.round(1).astype(np.float32), labels)


VALIDATION = answers(40, seed=0, classes=(0, 1, 2))
"""Labels without a sample of class 3."""

TRAINING = [answers(num, seed=1 + num) for num in (5, 9, 7)]


def table_of(validation: list[Answers], counts_PK: IntArray = COUNTS_PK) -> pa.Table:
    return pair_features(iter(validation), iter(TRAINING), label_counts_PK=counts_PK)


def softmax(logits: FloatArray, temperature: float = 1.0) -> list[float]:
    powers = [math.exp(float(value) / temperature) for value in logits]
    return [power / sum(powers) for power in powers]


def entropy(shares: list[float]) -> float:
    return -sum(share * math.log(share) for share in shares if share)


def divergence(of: list[float], from_: list[float]) -> float:
    return sum(p * math.log(p / q) for p, q in zip(of, from_, strict=True))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def accuracy(part: Answers, peer: int) -> float:
    answered = zip(part.logits_PNK[peer], part.labels_N, strict=True)
    return mean([float(np.argmax(logits) == label) for logits, label in answered])


def calibration_error(part: Answers, peer: int) -> float:
    error = 0.0
    probabilities = [softmax(logits) for logits in part.logits_PNK[peer]]
    for low in range(10):
        inside = [n for n, each in enumerate(probabilities) if low <= 10 * max(each) < low + 1]
        if inside:
            sure = mean([max(probabilities[n]) for n in inside])
            right = mean([float(np.argmax(probabilities[n]) == part.labels_N[n]) for n in inside])
            error += len(inside) / len(probabilities) * abs(sure - right)
    return error


def expected(i: int, j: int) -> dict[str, float]:
    """Return the features of student i and teacher j."""
    q = [[count / sum(counts) for count in counts] for counts in COUNTS_PK.tolist()]
    classes = [{k for k in range(NUM_CLASSES) if q[p][k] > 0.02} for p in range(NUM_PEERS)]
    known = [{k for k in range(NUM_CLASSES) if q[p][k] > 0.01} for p in range(NUM_PEERS)]
    labels = VALIDATION.labels_N.tolist()
    predicted = VALIDATION.logits_PNK.argmax(axis=2)
    right = [[predicted[p][n] == label for n, label in enumerate(labels)] for p in range(NUM_PEERS)]
    probabilities = [[softmax(logits) for logits in VALIDATION.logits_PNK[p]] for p in range(NUM_PEERS)]
    on_class = [
        {k: mean([float(right[p][n]) for n, label in enumerate(labels) if label == k]) for k in (0, 1, 2)}
        for p in range(NUM_PEERS)
    ]

    def on_classes(judged: int, other: int) -> float:
        weight = sum(q[other][k] for k in on_class[judged])
        return sum(q[other][k] * value for k, value in on_class[judged].items()) / weight

    middle = [(a + b) / 2 for a, b in zip(q[i], q[j], strict=True)]
    values = {
        "student_accuracy": mean(right[i]),
        "teacher_accuracy": mean(right[j]),
        "num_student_samples": COUNTS_PK[i].sum(),
        "num_teacher_samples": COUNTS_PK[j].sum(),
        "label_divergence": entropy(middle) - (entropy(q[i]) + entropy(q[j])) / 2,
        "student_label_entropy": entropy(q[i]),
        "teacher_label_entropy": entropy(q[j]),
        "student_classes_known_by_teacher_share": sum(q[i][k] for k in known[j]),
        "teacher_classes_known_by_student_share": sum(q[j][k] for k in known[i]),
        "student_class_fraction": len(classes[i]) / NUM_CLASSES,
        "teacher_class_fraction": len(classes[j]) / NUM_CLASSES,
        "union_class_fraction": len(classes[i] | classes[j]) / NUM_CLASSES,
        "only_student_right": mean([a and not b for a, b in zip(right[i], right[j], strict=True)]),
        "only_teacher_right": mean([b and not a for a, b in zip(right[i], right[j], strict=True)]),
        "agreement": mean(list(predicted[i] == predicted[j])),
        "teacher_accuracy_on_student_data": accuracy(TRAINING[i], j),
        "student_accuracy_on_teacher_data": accuracy(TRAINING[j], i),
        "student_accuracy_on_own_data": accuracy(TRAINING[i], i),
        "teacher_accuracy_on_own_data": accuracy(TRAINING[j], j),
        "student_class_accuracy_on_teacher_classes": on_classes(i, j),
        "teacher_class_accuracy_on_student_classes": on_classes(j, i),
        "best_class_accuracy": mean([max(on_class[i][k], on_class[j][k]) for k in (0, 1, 2)]),
        "student_entropy": mean([entropy(each) for each in probabilities[i]]),
        "teacher_entropy": mean([entropy(each) for each in probabilities[j]]),
        "student_calibration_error": calibration_error(VALIDATION, i),
        "teacher_calibration_error": calibration_error(VALIDATION, j),
    }
    for percent in (10, 30, 50):
        w = percent / 100
        mixed = [
            [(1 - w) * a + w * b for a, b in zip(*both, strict=True)]
            for both in zip(probabilities[i], probabilities[j], strict=True)
        ]
        hits = [float(np.argmax(each) == label) for each, label in zip(mixed, labels, strict=True)]
        values[f"ensemble_gain_{percent}"] = mean(hits) - mean(right[i])
    for t in (1, 2, 4, 8):
        taught, teaching = TRAINING[i].logits_PNK, TRAINING[j].logits_PNK
        values[f"teacher_entropy_{t}"] = mean([entropy(softmax(logits, t)) for logits in taught[j]])
        for owner, logits_PNK in (("student", taught), ("teacher", teaching)):
            both = zip(logits_PNK[j], logits_PNK[i], strict=True)
            values[f"divergence_on_{owner}_data_{t}"] = (
                t * t * mean([divergence(softmax(teacher, t), softmax(student, t)) for teacher, student in both])
            )
    return values


def test_every_feature_agrees_with_its_formula() -> None:
    rows = table_of([VALIDATION]).to_pylist()
    assert [(row["student"], row["teacher"]) for row in rows] == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
    for row in rows:
        wanted = expected(row.pop("student"), row.pop("teacher"))
        assert wanted.keys() == row.keys() == set(FEATURE_NAMES)
        assert row == pytest.approx(wanted, abs=1e-12)


def test_features_do_not_depend_on_how_validation_is_divided() -> None:
    cuts = np.split(np.arange(40), [1, 2, 17])
    parts = [Answers(VALIDATION.logits_PNK[:, cut], VALIDATION.labels_N[cut]) for cut in cuts]
    for one, whole in zip(table_of(parts).to_pylist(), table_of([VALIDATION]).to_pylist(), strict=True):
        assert one == pytest.approx(whole, abs=1e-12)


def test_features_are_finite_for_huge_logits_and_for_classes_without_evaluation_samples() -> None:
    huge = VALIDATION.logits_PNK.copy()
    huge[1] = 3e38 * np.sign(huge[1])
    table = table_of([Answers(huge, VALIDATION.labels_N)], np.array([[0, 0, 0, 9], [1, 1, 1, 1], [9, 0, 0, 0]]))
    assert np.isfinite(np.array([table[name].to_numpy() for name in FEATURE_NAMES])).all()
    row = next(row for row in table.to_pylist() if (row["student"], row["teacher"]) == (1, 0))
    assert row["student_class_accuracy_on_teacher_classes"] == 0


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_refused(number: float) -> None:
    broken = VALIDATION.logits_PNK.copy()
    broken[2, 1, 0] = number
    with pytest.raises(ValueError, match=r"^logits_PNK must be finite, got NaN or infinite numbers\.$"):
        table_of([Answers(broken, VALIDATION.labels_N)])


def test_rows_name_the_peers_that_take_part() -> None:
    table = pair_features([VALIDATION], TRAINING, label_counts_PK=COUNTS_PK, peers=(0, 2, 5))
    assert table["student"].to_pylist() == [0, 0, 2, 2, 5, 5]
    assert table["teacher"].to_pylist() == [2, 5, 0, 5, 0, 2]


def test_only_partners_are_asked() -> None:
    """Peers 0 and 2 are no pair, so neither predicts the training samples of the other."""
    asked = [np.array(each) for each in ([0, 1], [0, 1, 2], [1, 2])]
    parts = [
        Answers(part.logits_PNK[places], part.labels_N, places) for part, places in zip(TRAINING, asked, strict=True)
    ]
    pairs = np.array([0, 1, 1, 2]), np.array([1, 0, 2, 1])
    table = pair_features([VALIDATION], parts, label_counts_PK=COUNTS_PK, pairs=pairs)
    assert table.equals(table_of([VALIDATION]).take([0, 2, 3, 5]).combine_chunks())


def test_inconsistent_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match=r"label_counts_PK must count samples of every peer, got none of peer 1\."):
        table_of([VALIDATION], np.array([[1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]))
    with pytest.raises(ValueError, match=r"training must be 3 parts, one of each peer, got 2\."):
        pair_features([VALIDATION], TRAINING[:2], label_counts_PK=COUNTS_PK)


def test_a_written_table_is_read_back(tmp_path: Path) -> None:
    table, path = table_of([VALIDATION]), tmp_path / "features.parquet"
    write_features(table, path)
    again = read_features(path)
    assert again.equals(table)
    assert again.schema.equals(FEATURES_SCHEMA, check_metadata=True)


def test_a_file_that_is_not_a_table_of_features_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "features.parquet"
    with pytest.raises(ArtifactNotFoundError, match="No table of features"):
        read_features(path)
    pq.write_table(pa.table({"student": [0]}), path)
    with pytest.raises(ArtifactCorruptError, match="does not contain a table of features"):
        read_features(path)


def test_every_column_has_a_description() -> None:
    assert all(field.metadata[b"description"] for field in FEATURES_SCHEMA)
    assert FEATURES_SCHEMA.names == ["student", "teacher", *FEATURE_NAMES]
