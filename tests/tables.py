"""Tables of trials for tests: single records that tests change, and a whole simulated study."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from peerkd.arrays import BoolArray, FloatArray, IntArray
from peerkd.config.data import PartitionConfig
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.sweep import SweepConfig
from peerkd.config.training import DistillConfig
from peerkd.reporting.facts import ExperimentFacts, ImprovedPeers, ImprovedStudent, PeerFacts
from peerkd.results.schema import BY_EPOCH_COLUMNS
from peerkd.results.table import assemble
from peerkd.study.moved_bytes import MovedBytes
from peerkd.study.splits import EvaluationSets, NumSamples
from peerkd.study.transfer_sets import TRANSFER_SETS

NUM_TEST_SAMPLES = 8


def record(**changes: Any) -> dict[str, Any]:
    """A record of a trial of student 0 and teacher 1 without a gain, on two classes and eight test samples."""
    values: dict[str, Any] = {
        "student": 0,
        "teacher": 1,
        "transfer_set": "student",
        "temperature": 1.0,
        "alpha": 0.5,
        "distillation_weight": 0.5,
        "learning_rate": None,
        "loss": None,
        "target": None,
        "seed": 0,
        "num_transfer_samples": 100,
        "epochs": 1,
        "is_finite": True,
        "validation_correct_bits": b"\xf0",
        "test_correct_bits": b"\xf0",
        "seconds": 1.0,
    }
    for split in ("validation", "test"):
        for moment in ("before", "after"):
            values[f"{split}_global_accuracy_{moment}"] = 0.5
            values[f"{split}_own_accuracy_{moment}"] = 0.5
            values[f"{split}_class_accuracy_{moment}"] = [0.5, 0.5]
        values[f"{split}_positive_flips"] = 0.0
        values[f"{split}_negative_flips"] = 0.0
    return values | dict.fromkeys(BY_EPOCH_COLUMNS.values()) | changes


def diverged(row: dict[str, Any]) -> dict[str, Any]:
    """The record of the same trial if it had diverged."""
    lost = [name for name in row if "_accuracy_after" in name or name.endswith(("_flips", "_bits"))]
    return {**row, **dict.fromkeys(lost), "is_finite": False}


def control(**changes: Any) -> dict[str, Any]:
    """A record of student 0 fine-tuned on its own data."""
    fields: dict[str, Any] = {"teacher": None, "temperature": None, "alpha": 0.0, "distillation_weight": 0.0}
    return record(**(fields | changes))


def answered(row: dict[str, Any], before: BoolArray, after: BoolArray, *, scope: str = "global") -> dict[str, Any]:
    """The record of the same trial with these right answers on validation samples before and after it."""
    measured = {
        f"validation_{scope}_accuracy_before": before.mean(),
        f"validation_{scope}_accuracy_after": after.mean(),
    }
    if scope == "global":
        measured["validation_positive_flips"] = (~before & after).mean()
        measured["validation_negative_flips"] = (before & ~after).mean()
        measured["validation_correct_bits"] = np.packbits(after).tobytes()
    return {**row, **measured}


def right(num: int, *, of: int) -> BoolArray:
    """Answers of which the first ones are right."""
    return np.arange(of) < num


def pairs(num_peers: int) -> Iterator[tuple[int, int]]:
    """All ordered pairs."""
    return ((i, j) for i in range(num_peers) for j in range(num_peers) if i != j)


class Study:
    """A simulated study: peers know their own classes, teachers add theirs, and finite samples add noise."""

    def __init__(
        self,
        *,
        num_peers: int = 10,
        num_classes: int = 10,
        temperatures: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0),
        alphas: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9),
        transfer_sets: tuple[str, ...] = ("student", "teacher", "both"),
        learning_rates: tuple[float, ...] = (),
        losses: tuple[str, ...] = (),
        targets: tuple[str, ...] = (),
        num_validation_samples: int = 270,
        num_test_samples: int = 450,
        teaching: float = 1.0,
        seed: int = 0,
        name: str = "simulated",
        class_names: tuple[str, ...] | None = None,
        selection_metric: str = "global_accuracy",
        by_epoch: bool = False,
        distill: DistillConfig | None = None,
        names: tuple[str, ...] = (),
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.teaching, self.by_epoch = teaching, by_epoch
        self.names = names or tuple(map(str, range(num_peers)))
        self.num_samples = {"validation": num_validation_samples, "test": num_test_samples}
        self.num_classes = num_classes
        self.config = ExperimentConfig(
            name=name,
            seed=seed,
            distill=distill or DistillConfig(),
            partition=PartitionConfig(num_peers=num_peers, public_fraction=0.1),
            sweep=SweepConfig(
                temperatures=temperatures,
                alphas=alphas,
                learning_rates=learning_rates,
                losses=losses,
                targets=targets,
                transfer_sets=transfer_sets,  # type: ignore[arg-type]
                selection_metric=selection_metric,  # type: ignore[arg-type]
            ),
        )
        self.class_names = class_names or tuple(str(k) for k in range(num_classes))
        self.counts_PK: IntArray = self.rng.multinomial(
            120, self.rng.dirichlet(np.full(num_classes, 0.3), size=num_peers)
        )
        self.knowledge_PK = 0.05 + 0.9 * self.counts_PK / (self.counts_PK + 4)
        self.labels = {split: np.arange(n) % num_classes for split, n in self.num_samples.items()}
        self.luck = {split: self.rng.random((num_peers, n)) for split, n in self.num_samples.items()}
        self.table: pa.Table = assemble(self._records())
        self.facts = self._facts()

    def _records(self) -> Iterator[dict[str, Any]]:
        for rate in self.config.sweep.learning_rates or (None,):
            yield from self._records_at(rate)

    def _records_at(self, rate: float | None) -> Iterator[dict[str, Any]]:
        num_peers = len(self.counts_PK)
        for name in self.config.sweep.transfer_sets:
            facts = TRANSFER_SETS[name]
            if facts.uses_labels and facts.depends_on_teacher:
                yield from (self._trial(s, t, name, None, 0.0, rate) for s, t in pairs(num_peers))
            elif facts.uses_labels:
                yield from (self._trial(s, None, name, None, 0.0, rate) for s in range(num_peers))
            alphas = self.config.sweep.alphas if facts.uses_labels else (1.0,)
            for temperature in self.config.sweep.temperatures:
                for alpha in alphas:
                    for named in self._losses_and_targets():
                        for s, t in pairs(num_peers):
                            yield self._trial(s, t, name, temperature, alpha, rate) | named

    def _losses_and_targets(self) -> list[dict[str, str | None]]:
        sweep = self.config.sweep
        return [
            {"loss": loss, "target": target} for loss in sweep.losses or (None,) for target in sweep.targets or (None,)
        ]

    def _trial(
        self,
        student: int,
        teacher: int | None,
        transfer_set: str,
        temperature: float | None,
        alpha: float,
        rate: float | None,
    ) -> dict[str, Any]:
        before_K = self.knowledge_PK[student]
        shown_K = np.zeros(self.num_classes)
        if transfer_set in ("student", "both"):
            shown_K = shown_K + self.counts_PK[student]
        if transfer_set in ("teacher", "both") and teacher is not None:
            shown_K = shown_K + self.counts_PK[teacher]
        if transfer_set.startswith("public"):
            shown_K = shown_K + 12
        shown_K = shown_K / (shown_K + 4)
        after_K = before_K + (1 - alpha) * (0.2 * (0.95 * shown_K - before_K))
        if temperature is not None and teacher is not None:
            reach_K = 0.15 + 0.85 * shown_K
            pull = self.teaching * 0.5 * alpha * (1 - 0.12 * abs(np.log2(temperature) - 2 * alpha))
            after_K = after_K + pull * reach_K * (self.knowledge_PK[teacher] - before_K)
        if rate is not None:
            # Students with a high learning rate change more, and lose a little accuracy by it.
            steps = np.log2(rate / self.config.distill.learning_rate)
            after_K = after_K + 0.2 * steps * (after_K - before_K) - 0.01 * steps**2
        values: dict[str, Any] = {
            "student": student,
            "teacher": teacher,
            "transfer_set": transfer_set,
            "temperature": temperature,
            "alpha": alpha,
            "distillation_weight": alpha,
            "learning_rate": rate,
            "seed": 0,
            "num_transfer_samples": 120,
            "epochs": 3,
            "is_finite": True,
            "seconds": float(self.rng.random()),
            **dict.fromkeys(BY_EPOCH_COLUMNS.values()),
        }
        own_K = self.counts_PK[student] / self.counts_PK[student].sum()
        for split, n in self.num_samples.items():
            labels, luck = self.labels[split], self.luck[split][student]
            num_K = np.bincount(labels, minlength=self.num_classes)
            before = luck < before_K[labels]
            after = luck + self.rng.normal(0, 0.04, n) < after_K[labels]
            for moment, right in (("before", before), ("after", after)):
                by_class = np.bincount(labels[right], minlength=self.num_classes) / num_K
                values[f"{split}_global_accuracy_{moment}"] = right.mean()
                values[f"{split}_own_accuracy_{moment}"] = float(by_class @ own_K)
                values[f"{split}_class_accuracy_{moment}"] = by_class
            values[f"{split}_positive_flips"] = (~before & after).mean()
            values[f"{split}_negative_flips"] = (before & ~after).mean()
            values[f"{split}_correct_bits"] = np.packbits(after).tobytes()
        for (split, scope), name in BY_EPOCH_COLUMNS.items() if self.by_epoch else ():
            start, end = (values[f"{split}_{scope}_accuracy_{moment}"] for moment in ("before", "after"))
            values[name] = [start + (end - start) * part for part in (0.5, 0.8, 1.0)]
        return values

    def _facts(self) -> ExperimentFacts:
        num_peers = len(self.counts_PK)
        share_PK: FloatArray = self.counts_PK / self.counts_PK.sum(axis=1, keepdims=True)
        distance_PP = np.abs(share_PK[:, None] - share_PK[None]).sum(axis=-1) / 2
        accuracy: dict[tuple[str, str], dict[int, float]] = {}
        for split in ("validation", "test"):
            for scope in ("global", "own"):
                column = self.table[f"{split}_{scope}_accuracy_before"].to_pylist()
                accuracy[split, scope] = dict(zip(self.table["student"].to_pylist(), column, strict=True))
        return ExperimentFacts(
            config=self.config,
            names=self.names,
            config_fingerprint="c0ffee" * 10,
            fingerprints={"data set": "ab" * 32, "partition": "cd" * 32, "peers": "ef" * 32, "trials": "01" * 32},
            versions={"peerkd": "0.1.0", "python": "3.11.2", "torch": "2.11.0", "numpy": "2.4.6"},
            device="cpu",
            machine="2 cores, x86_64",
            class_names=self.class_names,
            train_counts_PK=self.counts_PK,
            num_validation_samples=self.num_samples["validation"],
            num_test_samples=self.num_samples["test"],
            moved={"student": MovedBytes(images=0, weights=90 * 101_544, logits=0)},
            distances={"jensen_shannon": np.sqrt(distance_PP), "earth_movers": distance_PP},
            peers=tuple(
                PeerFacts(
                    architecture="small_cnn",
                    num_parameters=25_386,
                    num_train_samples=int(self.counts_PK[peer].sum()),
                    num_own_validation_samples=60,
                    num_own_test_samples=100,
                    validation_global_accuracy=accuracy["validation", "global"][peer],
                    validation_own_accuracy=accuracy["validation", "own"][peer],
                    test_global_accuracy=accuracy["test", "global"][peer],
                    test_own_accuracy=accuracy["test", "own"][peer],
                    is_finite=True,
                )
                for peer in range(num_peers)
            ),
            improved=ImprovedPeers(
                key="improve_peers/0123456789abcdef",
                chosen_by="global accuracy",
                students=tuple(
                    ImprovedStudent(
                        student=peer,
                        decision="leave" if peer else "distil",
                        setting=None if peer else "learned from peer 1 with transfer set both, T=4, alpha=0.5",
                        is_reproduced=None if peer else True,
                        teacher=None if peer else 1,
                        before=(before := {f"{'_'.join(name)}_accuracy": accuracy[name][peer] for name in accuracy}),
                        after=before if peer else dict.fromkeys(before, 0.95),
                    )
                    for peer in range(num_peers)
                ),
            ),
            evaluation_sets=(
                EvaluationSets(
                    validation=NumSamples(self.num_samples["validation"], 60),
                    test=NumSamples(self.num_samples["test"], 100),
                ),
            )
            * num_peers,
            num_trials=self.table.num_rows,
            added={},
            worker_seconds=131.4,
        )
