"""Doing a unit of the sweep: batches and teacher logits once, then one student after another."""

import time
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from peerkd.data.partition.assignment import Assignment
from peerkd.data.streamed import open_dataset
from peerkd.training.checkpoints import copy_state, load_tensors
from peerkd.training.distill import distill, teacher_logits
from peerkd.training.evaluate import Judge, Predictions
from peerkd.training.inputs import SweepInputs
from peerkd.training.peers import build_peer, sample_set, weights_name, worker_device
from peerkd.training.plan import Unit
from peerkd.training.samples import SampleSet
from peerkd.training.workers import Perform


class Sweep:
    """The pre-trained peers, the data they distil on and are judged on. Opened once a process."""

    def __init__(self, inputs: SweepInputs, *, device: torch.device) -> None:
        self._config = inputs.config
        self._peers_folder = inputs.peers_folder
        self._device = device
        self._dataset = open_dataset(inputs.dataset_folder)
        self._assignment = Assignment.load(inputs.partition_folder)
        self._judge = Judge(self._dataset, self._assignment, device=device)
        # One module an architecture, its state swapped for each trial.
        self._network = cache(self._build_network)
        self._peer_state = cache(self._load_peer_state)
        self._before = cache(self._predict_before)

    def do(self, unit: Unit) -> Iterator[dict[str, Any]]:
        """Train and judge every trial of a unit; yield each one's record as soon as it is done."""
        samples = self._transfer_set(unit)
        logits = None
        if unit.teacher is not None:
            teacher = self._peer(unit.teacher)
            conventions = self._config.distill.conventions
            logits = teacher_logits(teacher, samples, epochs=self._config.distill.epochs, mode=conventions.teacher_mode)
        for trial in unit.trials:
            started = time.perf_counter()
            before = self._before(trial.student)
            student = self._peer(trial.student)
            distill(
                student,
                samples,
                teacher=logits,
                distillation_weight=trial.setting.distillation_weight,
                temperature=trial.setting.temperature,
                recipe=self._config.distill,
            )
            after = self._judge.predict(student, peer=trial.student)
            yield {
                "student": trial.student,
                "teacher": trial.teacher,
                "transfer_set": trial.transfer_set,
                "temperature": trial.setting.temperature,
                "alpha": trial.setting.alpha,
                "distillation_weight": trial.setting.distillation_weight,
                "seed": self._config.seed,
                "num_transfer_samples": len(samples),
                "epochs": self._config.distill.epochs,
                **self._judge.compare(before, after, peer=trial.student),
                "seconds": time.perf_counter() - started,
            }

    def _transfer_set(self, unit: Unit) -> SampleSet:
        parts = [self._assignment.train[owner] for owner in unit.owners] or [self._assignment.public]
        return sample_set(
            self._dataset,
            np.concatenate(parts),
            name="distill " + ("+".join(map(str, unit.owners)) or "public"),
            batch_size=self._config.distill.batch_size,
            config=self._config,
            device=self._device,
        )

    def _peer(self, peer: int) -> nn.Module:
        """Return the network of a peer's architecture with the peer's pre-trained weights in place."""
        network = self._network(self._config.architectures[peer])
        copy_state(self._peer_state(peer), network)
        return network

    def _build_network(self, architecture: str) -> nn.Module:
        return build_peer(architecture, self._dataset, seed=0).to(self._device)

    def _load_peer_state(self, peer: int) -> Mapping[str, Tensor]:
        tensors, _ = load_tensors(self._peers_folder / weights_name(peer))
        return {name: tensor.to(self._device) for name, tensor in tensors.items()}

    def _predict_before(self, peer: int) -> Predictions:
        return self._judge.predict(self._peer(peer), peer=peer)


def start(inputs: SweepInputs, *, worker: int) -> Perform:
    """Open the sweep in a worker process and return what does a unit there."""
    return Sweep(inputs, device=worker_device(inputs.device, worker=worker)).do
