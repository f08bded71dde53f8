"""Judging networks: predictions on the evaluation samples of a peer, and what they say of it.

Shape suffixes: G = networks, N = evaluation samples of one peer in one split, B = batch, K = classes, C = image
channels, H W = image size.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from peerkd.data.augment import normalize
from peerkd.data.dataset import ImageDataset
from peerkd.data.partition.assignment import Assignment
from peerkd.results import outcome
from peerkd.study.splits import SPLITS
from peerkd.training.finite import predicted_classes
from peerkd.training.precision import autocast

_BATCH_SIZE: Final = 500

_Indices = npt.NDArray[np.int64]
Predictions = Mapping[str, _Indices]
"""Predicted classes of a peer's evaluation samples, by split; ``NO_ANSWER`` where logits are not finite."""


class _Samples(NamedTuple):
    """What one peer is judged on in one split."""

    images_NCHW: Tensor
    labels_N: _Indices
    global_positions: _Indices
    own_positions: _Indices


class Judge:
    """The evaluation samples, read once and kept on the device as uint8."""

    def __init__(
        self, dataset: ImageDataset, assignment: Assignment, *, device: torch.device, precision: str = "float32"
    ) -> None:
        """Describe what networks are judged on; nothing is read before the first is.

        Args:
            dataset: Where the images are.
            assignment: Says which of them are for evaluation.
            device: Where the networks are.
            precision: That networks compute in, ``float32`` or ``bfloat16``.
        """
        self._dataset = dataset
        self._device = device
        self._precision = precision
        self._globals = {"validation": assignment.validation, "test": assignment.test}
        self._owns = {"validation": assignment.own_validation, "test": assignment.own_test}
        self._mean_C = torch.tensor(dataset.channel_mean, device=device)
        self._std_C = torch.tensor(dataset.channel_std, device=device)
        self._samples = cache(self._read_samples)
        # Peers whose own samples lie among the global ones share one tensor.
        self._images = cache(self._read_images)

    def predict(self, network: nn.Module, *, peer: int, splits: Sequence[str] = SPLITS) -> Predictions:
        """Return the predicted classes of a peer's evaluation samples. The network is left in evaluation mode."""
        network.eval()
        (predictions,) = self.predict_many(
            lambda images_BCHW: network(images_BCHW).unsqueeze(0), peers=[peer], splits=splits
        )
        return predictions

    def predict_many(
        self, logits: Callable[[Tensor], Tensor], *, peers: Sequence[int], splits: Sequence[str] = SPLITS
    ) -> list[Predictions]:
        """Return what several networks predict, each on its own peer's evaluation samples.

        Args:
            logits: Takes ``images_BCHW`` and returns ``logits_GBK`` of all networks in evaluation mode.
            peers: Of each network, the peer that it is judged as.
            splits: Those to predict.
        """
        predictions: list[dict[str, _Indices]] = [{} for _ in peers]
        for split in splits:
            images = {id(self._samples(split, peer).images_NCHW): peer for peer in peers}
            predicted = {
                key: self._predict(logits, self._samples(split, peer).images_NCHW) for key, peer in images.items()
            }
            for place, peer in enumerate(peers):
                predictions[place][split] = predicted[id(self._samples(split, peer).images_NCHW)][place]
        return list(predictions)

    def compare(self, before: Predictions, after: Predictions | None, *, peer: int) -> dict[str, Any]:
        """Return the columns of ``TRIALS_SCHEMA`` that say what a training did to a peer.

        Args:
            before: Predictions of the pre-trained peer.
            after: Predictions of the trained student. None if the training diverged: then every value that depends on
                them is None.
            peer: The student.
        """
        columns: dict[str, Any] = {}
        for split in SPLITS:
            samples = self._samples(split, peer)
            columns |= outcome.compare(
                split,
                labels_N=samples.labels_N,
                before_N=before[split],
                after_N=None if after is None else after[split],
                global_positions=samples.global_positions,
                own_positions=samples.own_positions,
                num_classes=self._dataset.num_classes,
            )
        return columns

    def accuracies(self, predictions: Predictions, *, peer: int) -> dict[str, float | None]:
        """Return ``{validation,test}_{global,own}_accuracy`` of a peer's network, for the splits that it predicted.

        An accuracy is None if a logit on one of its samples is not finite.
        """
        values: dict[str, float | None] = {}
        for split in predictions:
            samples = self._samples(split, peer)
            for scope, positions in (("global", samples.global_positions), ("own", samples.own_positions)):
                value = outcome.accuracy(samples.labels_N[positions], predictions[split][positions])
                values[f"{split}_{scope}_accuracy"] = value
        return values

    @torch.inference_mode()
    def _predict(self, logits: Callable[[Tensor], Tensor], images_NCHW: Tensor) -> _Indices:
        predictions: list[Tensor] = []
        for images_BCHW in images_NCHW.split(_BATCH_SIZE):
            normal_BCHW = normalize(images_BCHW, mean_C=self._mean_C, std_C=self._std_C)
            with autocast(self._device, self._precision):
                logits_GBK = logits(normal_BCHW.contiguous(memory_format=torch.channels_last))
            predictions.append(predicted_classes(logits_GBK))
        return torch.cat(predictions, dim=1).cpu().numpy()

    def _read_samples(self, split: str, peer: int) -> _Samples:
        everyone, own = self._globals[split], self._owns[split][peer]
        indices_N = np.union1d(everyone, own)
        return _Samples(
            images_NCHW=self._images(indices_N.tobytes()),
            labels_N=self._dataset.labels_N[indices_N],
            global_positions=np.searchsorted(indices_N, everyone),
            own_positions=np.searchsorted(indices_N, own),
        )

    def _read_images(self, indices: bytes) -> Tensor:
        return torch.from_numpy(self._dataset.read_images(np.frombuffer(indices, dtype=np.int64))).to(self._device)
