"""The speed of students in lanes, and whether equal trials end in equal bits in every lane.

``python -m benchmarks.gpu_check.students ARCHITECTURE:PRECISION...`` prints a line of JSON for each argument. The exit
status is 1 if equal trials differ or are not finite. With ``--device cpu``, the program does a small amount of the same
work without CUDA graphs. This tests the program on a machine without a GPU.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
import torch

from benchmarks.matrix_rate import matrix_rate, product_kind, product_kinds
from benchmarks.sweep.arithmetic import count_flops
from peerkd.config.given_peers import PeerNetwork
from peerkd.config.training import DistillConfig
from peerkd.data.packed import PackedDataset
from peerkd.data.partition.assignment import Assignment
from peerkd.study.trials import Setting, Trial
from peerkd.training.captured import graphs
from peerkd.training.captured.lane_pool import LanePool
from peerkd.training.checkpoints import copy_state
from peerkd.training.devices import process_device
from peerkd.training.distill import TeacherLogits, distill, teacher_logits
from peerkd.training.evaluate import Evaluator
from peerkd.training.peers import build_peer
from peerkd.training.samples import SampleSet
from peerkd.training.trial_state import TrialState

_NUM_CLASSES: Final = 10
_SETTING: Final = Setting(temperature=2.0, alpha=0.5, distillation_weight=0.5)
_SMALL: Final = ("mlp", "small_cnn")
"""The architectures that are measured on grey images of 8x8 pixels. All other architectures are measured on colour
images of 32x32 pixels."""


class _Work(NamedTuple):
    batch_size: int
    num_train: int
    num_evaluated: int
    epochs: int
    num_rounds: int


_ON_GPU: Final = _Work(batch_size=128, num_train=2560, num_evaluated=2000, epochs=2, num_rounds=3)
_ON_CPU: Final = _Work(batch_size=8, num_train=12, num_evaluated=8, epochs=1, num_rounds=1)


def main(words: Sequence[str] | None = None) -> int:
    """Measure all cases, and return the exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks.gpu_check.students", description=__doc__)
    parser.add_argument("cases", nargs="+", metavar="ARCHITECTURE:PRECISION")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    arguments = parser.parse_args(words)
    device = process_device(arguments.device, process_index=0)
    if device.type == "cuda":
        # The first product of the process comes after this, as in a sweep.
        graphs.choose_repeatable_algorithms()
    seconds = 0.3 if arguments.device == "cuda" else 0.0
    rates = {kind: matrix_rate(kind, device=device.type, seconds=seconds) for kind in product_kinds(device.type)}
    _print({"versions": _versions(), **{f"{kind} TFLOP/s": rate / 1e12 for kind, rate in rates.items()}})
    are_equal = True
    for case in arguments.cases:
        architecture, _, precision = case.partition(":")
        facts = measure(architecture, precision, device=device, rates=rates)
        _print({"case": case, **facts})
        are_equal = are_equal and facts["equal trials end in equal bits"] and facts["finite"]
    return 0 if are_equal else 1


def measure(architecture: str, precision: str, *, device: torch.device, rates: dict[str, float]) -> dict[str, Any]:
    """Return the speed of one architecture: students one at a time, and in 1, 2, 4 and the chosen number of lanes.

    Args:
        architecture: The architecture of all students and of the teacher.
        precision: ``float32`` or ``bfloat16``.
        device: The device.
        rates: The FLOP/s of matrix products by kind.
    """
    work = _ON_CPU if device.type == "cpu" else _ON_GPU
    dataset, assignment = _random_data(architecture, work)
    recipe = DistillConfig(
        epochs=work.epochs, batch_size=work.batch_size, learning_rate=0.01, nesterov=True, precision=precision
    )
    samples = SampleSet(
        dataset,
        np.arange(work.num_train),
        name="train",
        batch_size=work.batch_size,
        crop_padding_pixels=dataset.image_shape[1] // 8,
        horizontal_flip=True,
        seed=0,
        device=device,
    )
    build = partial(_build, architecture, dataset, device)
    start = TrialState(build(1).state_dict(), {})
    teacher = teacher_logits(build(9), samples, epochs=range(work.epochs), mode="eval", precision=precision)
    median = partial(_median_seconds, num_rounds=work.num_rounds, device=device)
    num_images = work.num_train * work.epochs

    alone = build(1)

    def train_alone() -> None:
        copy_state(start.weights, alone)
        distill(alone, samples, teacher=teacher, distillation_weight=0.5, temperature=2.0, recipe=recipe)

    rate_alone = num_images / median(train_alone)
    flops = count_flops(architecture, image_shape_CHW=dataset.image_shape, num_classes=_NUM_CLASSES).step
    kind = product_kind(precision, device=device.type)
    facts: dict[str, Any] = {
        "images/s alone": rate_alone,
        f"alone of {kind}": rate_alone * flops / rates[kind],
    }
    ends: list[TrialState] = []
    with graphs.GraphOwner(device) if device.type == "cuda" else nullcontext() as owner:
        pool = LanePool(
            lambda name: _build(name, dataset, device, 0),
            num_architectures=1,
            image_shape_CHW=dataset.image_shape,
            num_classes=_NUM_CLASSES,
            recipe=recipe,
            device=device,
            make_steps=owner.new_steps if owner else None,
        )
        facts["s to open the lanes"] = _timed(lambda: pool.number(architecture, samples), device)
        num_lanes = pool.number(architecture, samples)
        facts["choice"] = " ".join(choice.text for choice in pool.take_choices())
        for number in sorted({1, 2, 4, num_lanes}):
            if number > num_lanes:
                continue
            train = partial(_train_in_lanes, pool, architecture, samples, [start] * number, teacher, work.epochs)
            rate = number * num_images / median(train)
            ends += [TrialState(_copied(state.weights), _copied(state.momenta)) for state in train()]
            facts[f"images/s in {number} lanes"] = rate
            facts[f"{number} lanes over alone"] = rate / rate_alone
            facts[f"{number} lanes of {kind}"] = rate * flops / rates[kind]
        _finish(device)
    network, evaluator = build(1), Evaluator(dataset, assignment, device=device, precision=precision)
    seconds = median(lambda: evaluator.predict(network, peer=0))
    return {
        **facts,
        "equal trials end in equal bits": bool(ends) and all(_equal(ends[0], other) for other in ends[1:]),
        "finite": bool(ends) and all(bool(each.isfinite().all()) for part in ends[0][:2] for each in part.values()),
        "ms to judge 1000 images": 1e6 * seconds / work.num_evaluated,
        "GiB reserved": torch.cuda.max_memory_reserved(device) / 2**30 if device.type == "cuda" else 0.0,
    }


def _train_in_lanes(
    pool: LanePool,
    architecture: str,
    samples: SampleSet,
    starts: Sequence[TrialState],
    teacher: TeacherLogits,
    epochs: int,
) -> list[TrialState]:
    students = pool.students(architecture, [Trial(0, 1, "student", _SETTING)] * len(starts), starts)
    students.train(samples, [teacher] * len(starts), epochs=range(epochs))
    return students.states()


def _build(architecture: str, dataset: PackedDataset, device: torch.device, seed: int) -> torch.nn.Module:
    return build_peer(PeerNetwork(architecture), dataset, seed=seed).to(device)


def _random_data(architecture: str, work: _Work) -> tuple[PackedDataset, Assignment]:
    shape_CHW = (1, 8, 8) if architecture in _SMALL else (3, 32, 32)
    rng = np.random.default_rng(0)
    num_images = work.num_train + work.num_evaluated
    dataset = PackedDataset(
        images_NCHW=rng.integers(0, 256, (num_images, *shape_CHW), dtype=np.uint8),
        labels_N=rng.integers(0, _NUM_CLASSES, num_images),
        num_train=work.num_train,
        class_names=tuple(map(str, range(_NUM_CLASSES))),
        columns={},
        name="random",
        fingerprint="",
        channel_mean=(0.5,) * shape_CHW[0],
        channel_std=(0.25,) * shape_CHW[0],
    )
    validation, test = np.array_split(np.arange(work.num_train, num_images), 2)
    assignment = Assignment(
        train=(np.arange(work.num_train),),
        own_validation=(validation,),
        own_test=(test,),
        validation=validation,
        test=test,
        public=np.empty(0, dtype=np.int64),
    )
    return dataset, assignment


def _timed(work: Callable[[], object], device: torch.device) -> float:
    _finish(device)
    started = time.perf_counter()
    work()
    _finish(device)
    return time.perf_counter() - started


def _median_seconds(work: Callable[[], object], *, num_rounds: int, device: torch.device) -> float:
    _timed(work, device)  # The first call includes work that is done only once.
    return statistics.median(_timed(work, device) for _ in range(num_rounds))


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        graphs.finish(device)


def _copied(tensors: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def _equal(one: TrialState, other: TrialState) -> bool:
    return all(
        torch.equal(tensor, theirs[name])
        for ours, theirs in zip(one[:2], other[:2], strict=True)
        for name, tensor in ours.items()
    )


def _versions() -> str:
    connections = os.environ.get("CUDA_DEVICE_MAX_CONNECTIONS", "default")
    return f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}, connections {connections}"


def _print(facts: dict[str, Any]) -> None:
    rounded = {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in facts.items()}
    print(json.dumps(rounded), flush=True)


if __name__ == "__main__":
    sys.exit(main())
