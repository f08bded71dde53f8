"""Evaluation of networks: their predictions on the evaluation samples of a peer, and the columns computed from them.

Shape suffixes: G = networks, N = evaluation samples of one peer in one split, B = batch, K = classes, C = image
channels, H W = image size.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from peerkd.data.augment import normalize
from peerkd.data.dataset import ImageDataset
from peerkd.data.partition.assignment import Assignment
from peerkd.models.memory_format import laid_out
from peerkd.results import outcome
from peerkd.study.splits import SPLITS
from peerkd.training.devices import autocast
from peerkd.training.finite import predicted_classes
from peerkd.training.kept_results import kept_results

_BATCH_SIZE: Final = 500

_Indices = npt.NDArray[np.int64]
Predictions = Mapping[str, _Indices]
"""The predicted classes of a peer's evaluation samples, by split. The value is ``NO_ANSWER`` for a sample with logits
that are not finite.
"""


class _Samples(NamedTuple):
    """The samples of one split on which one peer is evaluated."""

    images_NCHW: Tensor
    labels_N: _Indices
    global_positions: _Indices
    own_positions: _Indices


class Evaluator:
    """Evaluates networks on the evaluation samples, which are read once and kept on the device as uint8."""

    def __init__(
        self, dataset: ImageDataset, assignment: Assignment, *, device: torch.device, precision: str = "float32"
    ) -> None:
        """Store the arguments. No image is read before the first prediction.

        Args:
            dataset: The data set with the images.
            assignment: The partition, which specifies the samples for evaluation.
            device: The device of the networks.
            precision: The precision of the forward passes, ``float32`` or ``bfloat16``.
        """
        self._dataset = dataset
        self._device = device
        self._precision = precision
        self._globals = {"validation": assignment.validation, "test": assignment.test}
        self._owns = {"validation": assignment.own_validation, "test": assignment.own_test}
        self._mean_C = torch.tensor(dataset.channel_mean, device=device)
        self._std_C = torch.tensor(dataset.channel_std, device=device)
        self._samples = kept_results(self._read_samples)
        # Peers whose own samples are all among the global ones share one tensor.
        self._images = kept_results(self._read_images)

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
        """Return the predictions of several networks, each on the evaluation samples of the network's peer.

        Args:
            logits: A function from ``images_BCHW`` to the ``logits_GBK`` of all networks in evaluation mode.
            peers: For each network, the peer whose samples it is evaluated on.
            splits: The splits to predict.
        """
        predictions: list[dict[str, _Indices]] = [{} for _ in peers]
        for split in splits:
            # Peers with the same evaluation samples share a tensor, so that each tensor passes through once.
            images = {id(self._samples(split, peer).images_NCHW): peer for peer in peers}
            predicted = {
                key: self._predict(logits, self._samples(split, peer).images_NCHW) for key, peer in images.items()
            }
            for index, peer in enumerate(peers):
                predictions[index][split] = predicted[id(self._samples(split, peer).images_NCHW)][index]
        return list(predictions)

    def compare(self, before: Predictions, after: Predictions | None, *, peer: int) -> dict[str, Any]:
        """Return the columns of ``TRIALS_SCHEMA`` that compare a peer before and after a training.

        Args:
            before: Predictions of the pre-trained peer.
            after: Predictions of the trained student; None if the training diverged. Columns that depend on these
                predictions are then None.
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
        """Return ``{validation,test}_{global,own}_accuracy`` of a peer's network, for each split in ``predictions``.

        An accuracy is None if a logit is not finite on one of the samples on which the accuracy is measured.
        """
        values: dict[str, float | None] = {}
        for split in predictions:
            samples = self._samples(split, peer)
            for scope, positions in (("global", samples.global_positions), ("own", samples.own_positions)):
                value = outcome.accuracy(samples.labels_N[positions], predictions[split][positions])
                values[f"{split}_{scope}_accuracy"] = value
        return values

    def class_accuracies(self, predictions: Predictions, *, peer: int) -> list[float | None]:
        """Return the accuracy of a peer's network on the global test samples of each class.

        The accuracy is None for a class without samples. All logits on these samples must be finite.
        """
        samples = self._samples("test", peer)
        positions = samples.global_positions
        return outcome.class_accuracies(
            samples.labels_N[positions], predictions["test"][positions], num_classes=self._dataset.num_classes
        )

    def own_answers(self, predictions: Predictions, *, peer: int, split: str) -> tuple[_Indices, _Indices]:
        """Return the classes of the own samples of a peer in a split, and the classes that its network predicts."""
        samples = self._samples(split, peer)
        return samples.labels_N[samples.own_positions], predictions[split][samples.own_positions]

    @torch.inference_mode()
    def _predict(self, logits: Callable[[Tensor], Tensor], images_NCHW: Tensor) -> _Indices:
        predictions: list[Tensor] = []
        for images_BCHW in images_NCHW.split(_BATCH_SIZE):
            normal_BCHW = normalize(images_BCHW, mean_C=self._mean_C, std_C=self._std_C)
            with autocast(self._device, self._precision):
                logits_GBK = logits(laid_out(normal_BCHW))
            predictions.append(predicted_classes(logits_GBK))
        return torch.cat(predictions, dim=1).cpu().numpy()

    def _read_samples(self, split: str, peer: int) -> _Samples:
        everyone, own = self._globals[split], self._owns[split][peer]
        # union1d is sorted, so searchsorted finds the position of each sample among the predictions.
        indices_N = np.union1d(everyone, own)
        return _Samples(
            images_NCHW=self._images(indices_N.tobytes()),
            labels_N=self._dataset.labels_N[indices_N],
            global_positions=np.searchsorted(indices_N, everyone),
            own_positions=np.searchsorted(indices_N, own),
        )

    def _read_images(self, indices: bytes) -> Tensor:
        return torch.from_numpy(self._dataset.read_images(np.frombuffer(indices, dtype=np.int64))).to(self._device)
