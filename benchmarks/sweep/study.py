"""The samples, peers and evaluation of a program that trains many students in one process, loaded once.

Shape suffixes: N = samples, B = batch, C = image channels, H W = image size, G = students, K = classes.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.sweep.outcome import Outcome
from benchmarks.sweep.tasks import Task
from peerkd.data.augment import normalize
from peerkd.data.packed import read_packed
from peerkd.data.partition.assignment import Assignment
from peerkd.models.build import build_network
from peerkd.training.checkpoints import load_tensors
from peerkd.training.inputs import SweepInputs
from peerkd.training.peers import sample_set, weights_name
from peerkd.training.samples import SampleSet

_NUM_JUDGED_AT_ONCE = 500


class Study:
    """The pre-trained peers, and the data for their distillation and evaluation."""

    def __init__(self, inputs: SweepInputs) -> None:
        self.recipe = inputs.config.distill
        self.device = torch.device(inputs.device)
        self._inputs = inputs
        self._dataset = read_packed(inputs.dataset_folder)
        self._assignment = Assignment.load(inputs.partition_folder)
        self.samples = cache(self._read_samples)
        self.peer = cache(self._load_peer)
        self._judged = cache(self._read_judged)

    def judge(self, logits: Callable[[Tensor], Tensor], tasks: list[Task]) -> list[Outcome]:
        """Evaluate students after their training.

        Args:
            logits: A function that takes ``images_BCHW`` and returns ``logits_GBK`` of all students in evaluation mode.
            tasks: The task of each student.
        """
        accuracies_G = {split: self._accuracies(logits, split) for split in ("validation", "test")}
        return [
            Outcome(task.identity, len(self.samples(task.owners)), validation, test)
            for task, validation, test in zip(tasks, *accuracies_G.values(), strict=True)
        ]

    @torch.inference_mode()
    def _accuracies(self, logits: Callable[[Tensor], Tensor], split: str) -> list[float]:
        images_NCHW, labels_N = self._judged(split)
        predictions_GN = torch.cat(
            [logits(images_BCHW).argmax(dim=2) for images_BCHW in images_NCHW.split(_NUM_JUDGED_AT_ONCE)], dim=1
        )
        accuracies: list[float] = (predictions_GN == labels_N).double().mean(dim=1).tolist()
        return accuracies

    def _read_samples(self, owners: tuple[int, ...]) -> SampleSet:
        """Return a transfer set with the order and the views that peerkd uses."""
        return sample_set(
            self._dataset,
            np.concatenate([self._assignment.train[owner] for owner in owners]),
            name="distill " + "+".join(map(str, owners)),
            batch_size=self.recipe.batch_size,
            config=self._inputs.config,
            device=self.device,
        )

    def _load_peer(self, peer: int) -> nn.Module:
        """Return a pre-trained peer in evaluation mode, in the default memory layout of torch."""
        network = build_network(
            self._inputs.config.architectures[peer],
            image_shape_CHW=self._dataset.image_shape,
            num_classes=self._dataset.num_classes,
            seed=0,
        )
        tensors, _ = load_tensors(self._inputs.peers_folder / weights_name(peer))
        network.load_state_dict(tensors)
        return network.eval().to(self.device)

    def _read_judged(self, split: str) -> tuple[Tensor, Tensor]:
        indices_N = {"validation": self._assignment.validation, "test": self._assignment.test}[split]
        mean_C, std_C = (torch.tensor(values) for values in (self._dataset.channel_mean, self._dataset.channel_std))
        images_NCHW = normalize(torch.from_numpy(self._dataset.read_images(indices_N)), mean_C=mean_C, std_C=std_C)
        return images_NCHW.to(self.device), torch.from_numpy(self._dataset.labels_N[indices_N]).to(self.device)
