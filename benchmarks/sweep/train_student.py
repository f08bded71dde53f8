"""A script that distils one student under one setting, to be started once for each trial.

    python -m benchmarks.sweep.train_student '{"student": 3, ...}'

It prints one line of JSON. It uses float32, the default memory layout and SGD of torch, and a DataLoader. The teacher's
forward pass runs in every step. If the experiment augments, images are augmented one by one. The data set is read in
the packed format of peerkd, which is faster than most others.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from peerkd.models.build import build_network


class AugmentedImages(Dataset[tuple[Tensor, int]]):
    """Images that are cropped and mirrored when they are read."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, *, mean: list[float], std: list[float]) -> None:
        from torchvision import transforms

        self.images, self.labels = images.transpose(0, 2, 3, 1), labels
        self.transform = transforms.Compose(
            [
                transforms.ToPILImage(),
                transforms.RandomCrop(images.shape[2], padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(mean, std),
            ]
        )

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return an augmented image and its label."""
        return self.transform(self.images[index]), int(self.labels[index])


def main(options: dict[str, Any]) -> dict[str, float]:
    """Train and evaluate one student, and return the output of the script."""
    torch.manual_seed(options["seed"])
    device = torch.device(options["device"])
    folder = Path(options["dataset_folder"])
    metadata = json.loads((folder / "dataset.json").read_text())
    images = np.load(folder / "images.npy", mmap_mode="r")
    labels = np.load(folder / "labels.npy")
    assignment = np.load(Path(options["partition_folder"]) / "assignment.npz")
    mean, std = metadata["channel_mean"], metadata["channel_std"]

    def plain(indices: np.ndarray) -> TensorDataset:
        pixels = torch.from_numpy(images[indices]).float() / 255
        normalized = (pixels - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)
        return TensorDataset(normalized, torch.from_numpy(labels[indices]))

    def load_peer(peer: int) -> nn.Module:
        network = build_network(
            options["architecture"],
            image_shape_CHW=images.shape[1:],
            num_classes=len(metadata["class_names"]),
            seed=0,
        )
        network.load_state_dict(load_file(Path(options["peers_folder"]) / f"peer-{peer:03d}.safetensors"))
        return network.to(device)

    indices = np.concatenate([assignment[f"train_{owner}"] for owner in options["owners"]])
    augment = options["augment"]
    train_set = AugmentedImages(images[indices], labels[indices], mean=mean, std=std) if augment else plain(indices)
    batch_size = options["batch_size"]
    loader = DataLoader(
        train_set,
        batch_size=batch_size,
        shuffle=True,
        num_workers=options["num_loader_workers"],
        persistent_workers=options["num_loader_workers"] > 0,
        pin_memory=device.type == "cuda",
        # Batch normalisation cannot train on one sample.
        drop_last=len(indices) % batch_size == 1,
    )
    student, teacher = load_peer(options["student"]), load_peer(options["teacher"]).eval()
    optimizer = torch.optim.SGD(student.parameters(), **options["sgd"])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=options["epochs"] * len(loader))
    temperature, weight = options["temperature"], options["distillation_weight"]

    started = time.time()
    student.train()
    for _ in range(options["epochs"]):
        for inputs, targets in loader:
            inputs, targets = inputs.to(device), targets.to(device)
            with torch.no_grad():
                teacher_logits = teacher(inputs)
            logits = student(inputs)
            divergence = F.kl_div(
                F.log_softmax(logits / temperature, dim=1),
                F.softmax(teacher_logits / temperature, dim=1),
                reduction="batchmean",
            )
            loss = weight * temperature**2 * divergence + (1 - weight) * F.cross_entropy(logits, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()

    student.eval()
    accuracies = {}
    for split in ("validation", "test"):
        num_correct = 0
        with torch.no_grad():
            for inputs, targets in DataLoader(plain(assignment[split]), batch_size=500):
                num_correct += int((student(inputs.to(device)).argmax(dim=1) == targets.to(device)).sum())
        accuracies[f"{split}_accuracy"] = num_correct / len(assignment[split])
    return {"num_samples": len(indices), "started": started, **accuracies}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
