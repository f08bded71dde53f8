"""Tables of curves for tests: single records that tests change, and a complete simulated study of methods."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from peerkd.config.methods import METHODS, Method
from peerkd.config.pcl import OnlineRecipeConfig, PclConfig
from peerkd.reporting.facts import MethodRunFacts, PclFacts
from peerkd.results.curves import assemble

LOSS_PARTS = {
    "head": ("cross_entropy_branches", "cross_entropy_ensemble", "ensemble_to_branches"),
    "mean": ("means_to_branches",),
    "branches": ("cross_entropy_branches", "branches_to_branches"),
    "plain": ("cross_entropy_branches",),
}

SKILL = {"plain": 0.90, "multi_view": 0.905, "ema": 0.91, "dml": 0.908, "one": 0.899, "okddip": 0.88, "pcl": 0.93}


def record(**changes: Any) -> dict[str, Any]:
    """Return a record of the test accuracy of branch 1 after the only epoch of plain training."""
    values: dict[str, Any] = {
        "architecture": "small_cnn",
        "method": "plain",
        "seed": 0,
        "epoch": 1,
        "split": "test",
        "quantity": "accuracy/branch_1",
        "value": 0.5,
        "is_finite": True,
    }
    return values | changes


def accuracies(by_seed: dict[int, float], **changes: Any) -> list[dict[str, Any]]:
    """Return records of a predictor's accuracy on validation and test, one for each seed."""
    return [
        record(seed=seed, split=split, value=value, **changes)
        for seed, value in by_seed.items()
        for split in ("validation", "test")
    ]


class MethodStudy:
    """Return a simulated study with rising curves, methods of known accuracy, and noise that depends on the seed."""

    def __init__(
        self,
        *,
        methods: tuple[Method, ...] = ("plain", "multi_view", "ema", "dml", "one", "okddip", "pcl"),
        architectures: tuple[str, ...] = ("small_cnn",),
        num_seeds: int = 5,
        epochs: int = 30,
        baseline: Method | None = None,
        source: str = "digits",
        class_names: tuple[str, ...] = tuple("0123456789"),
        noise: float = 0.004,
        name: str = "fabricated",
    ) -> None:
        data: dict[str, Any] = {"source": source} | ({} if source == "digits" else {"path": "data"})
        config = PclConfig.from_mapping(
            {
                "name": name,
                "num_seeds": num_seeds,
                "architectures": list(architectures),
                "methods": list(methods),
                "data": data,
                "collaboration": {"rampup_epochs": max(1, epochs // 4)},
                "evaluation": {"baseline": baseline},
            }
        )
        self.config = config.model_copy(update={"training": OnlineRecipeConfig(epochs=epochs, batch_size=32)})
        self.rng = np.random.default_rng(0)
        self.noise = noise
        self.table: pa.Table = assemble(
            row for run in self.config.runs for row in self._run(run.architecture, run.method, run.seed)
        )
        self.facts = self._facts(class_names)

    def _run(self, architecture: str, method: Method, seed: int) -> Iterator[dict[str, Any]]:
        made_of = METHODS[method]
        num_branches = self.config.collaboration.num_branches if made_of.has_branches else 1
        branches = [f"branch_{index + 1}" for index in range(num_branches)]
        joined = ["average"] if num_branches > 1 else []
        joined += ["head"] if made_of.head in ("joined", "gated", "fused") else []
        predictors = branches + joined
        if made_of.has_mean_network:
            predictors += [f"mean_{name}" for name in predictors]
        luck = np.random.default_rng(seed).normal(0, self.noise) + self.rng.normal(0, self.noise)
        epochs = self.config.training.epochs
        for epoch in range(1, epochs + 1):
            base: dict[str, Any] = {"architecture": architecture, "method": method, "seed": seed, "epoch": epoch}
            base["is_finite"] = True
            progress = 1 - np.exp(-6 * epoch / epochs)
            for name in predictors:
                bonus = 0.01 * ("head" in name or "average" in name) + 0.012 * name.startswith("mean_")
                skill = SKILL.get(method, 0.9) + luck + bonus - 0.012 * made_of.has_mean_network
                for split in ("validation", "test"):
                    value = min(1.0, 0.3 + (skill - 0.3) * progress + self.rng.normal(0, 0.004))
                    yield base | {"split": split, "quantity": f"accuracy/{name}", "value": value}
            if num_branches > 1:
                for split in ("validation", "test"):
                    yield base | {
                        "split": split,
                        "quantity": "disagreement",
                        "value": 0.4 * np.exp(-5 * epoch / epochs) + 0.03,
                    }
                    if made_of.has_mean_network:
                        yield base | {"split": split, "quantity": "mean_disagreement", "value": 0.01 + 0.1 / epoch}
            parts = LOSS_PARTS["head" if made_of.head else "branches" if num_branches > 1 else "plain"]
            parts += LOSS_PARTS["mean"] if made_of.has_branches and made_of.has_mean_network else ()
            for index, part in enumerate(parts):
                value = (2.3 * num_branches - index) * np.exp(-4 * epoch / epochs) * (1 + self.rng.normal(0, 0.05))
                yield base | {"split": "train", "quantity": f"loss/{part}", "value": value}
            yield base | {"split": "train", "quantity": "loss", "value": 2.0 / epoch}
            yield base | {"split": "train", "quantity": "learning_rate", "value": 0.1}
            length = self.config.collaboration.rampup_epochs
            weight = float(np.exp(-5 * (1 - min(1, (epoch - 1) / length)) ** 2)) if made_of.ramps_up else 1.0
            yield base | {"split": "train", "quantity": "ramp_weight", "value": weight}

    def _facts(self, class_names: tuple[str, ...]) -> PclFacts:
        return PclFacts(
            config=self.config,
            config_fingerprint="c0ffee" * 10,
            fingerprints={"data set": "ab" * 32, "split": "cd" * 32, "runs": "ef" * 32, "curves": "01" * 32},
            versions={"peerkd": "0.1.0", "python": "3.11.2", "torch": "2.11.0", "numpy": "2.4.6"},
            device="cpu",
            machine="2 cores, x86_64",
            class_names=class_names,
            image_shape=(1, 8, 8),
            num_train_samples=1078,
            num_validation_samples=269,
            num_test_samples=450,
            runs=tuple(
                MethodRunFacts(
                    architecture=run.architecture,
                    method=run.method,
                    seed=run.seed,
                    num_training_parameters=25_386 * (3 if METHODS[run.method].has_branches else 1),
                    num_deployed_parameters=25_386,
                    seconds=2.0 + run.seed,
                    num_samples_per_epoch=1078,
                    is_finite=True,
                )
                for run in self.config.runs
            ),
        )
