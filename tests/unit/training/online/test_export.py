from pathlib import Path

import pytest
import torch

from peerkd.config.methods import Method
from peerkd.errors import ArtifactCorruptError
from peerkd.models.build import build_network
from peerkd.training.checkpoints import load_tensors
from peerkd.training.online.evaluate import predictors
from peerkd.training.online.export import deployed_state, export_networks, load_exported
from peerkd.training.online.objectives import loss_parts, num_views
from peerkd.training.online.state import TrainingState
from tests.trainings import NUM_CLASSES, Training

GREY = (1, 8, 8)
BRANCH_POINTS = {"small_cnn": "stage2", "resnet20": "stage3"}
# Method, architecture, deployed predictor, predictor of the ensemble. There are three branches, so the third is the
# leader.
EXPORTS: list[tuple[Method, str, str, str | None]] = [
    ("plain", "small_cnn", "branch_1", None),
    ("ema", "small_cnn", "mean_branch_1", None),
    ("dml", "small_cnn", "branch_1", "average"),
    ("one", "small_cnn", "branch_1", "head"),
    ("ffl_s", "small_cnn", "branch_1", "head"),
    ("okddip", "small_cnn", "branch_3", "average"),
    ("pcl", "small_cnn", "mean_branch_1", "mean_head"),
    ("pcl", "resnet20", "mean_branch_1", "mean_head"),
    ("pcl_no_ensemble", "small_cnn", "mean_branch_1", "mean_average"),
    ("pcl_no_mean", "small_cnn", "branch_1", "head"),
]


def trained(training: Training) -> TrainingState:
    """Do three steps by hand: after the first, mean and network are equal; the third changes both in training mode."""
    state, _ = training.prepare()
    collaboration = training.collaboration
    views = num_views(training.method, collaboration)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        images_NCHW = torch.randn(views * 8, *GREY, generator=generator)
        labels_B = torch.randint(NUM_CLASSES, (8,), generator=generator)
        outputs = state.network.train()(images_NCHW, views)
        mean_outputs = state.mean.outputs(images_NCHW, views) if state.mean else None
        parts = loss_parts(training.method, collaboration, outputs, labels_B, mean_outputs=mean_outputs)
        state.optimizer.zero_grad()
        parts.total(1.0).backward()
        state.optimizer.step(0.05)
        if state.mean:
            state.mean.update()
    return state


@torch.no_grad()
def answers(state: TrainingState, images_BCHW: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the logits of every predictor in evaluation mode."""
    found = predictors(state.network.eval()(images_BCHW))
    if state.mean:
        of_mean = predictors(state.mean.network.eval()(images_BCHW))
        found |= {f"mean_{name}": logits_BK for name, logits_BK in of_mean.items()}
    return found


def images() -> torch.Tensor:
    images_BCHW = torch.randn(5, *GREY, generator=torch.Generator().manual_seed(9))
    return images_BCHW.to(memory_format=torch.channels_last)


def export(state: TrainingState, training: Training, folder: Path) -> tuple[Path, Path]:
    paths = folder / "plain.safetensors", folder / "ensemble.safetensors"
    export_networks(
        state,
        training.method,
        architecture=training.architecture,
        branch_point=BRANCH_POINTS[training.architecture],
        image_shape_CHW=GREY,
        num_classes=NUM_CLASSES,
        path=paths[0],
        ensemble_path=paths[1],
    )
    return paths


def assert_answers_as(path: Path, predictor: str, found: dict[str, torch.Tensor]) -> None:
    """The network in the file equals that predictor, and no other one."""
    network = load_exported(path)
    assert not any(module.training for module in network.modules())
    with torch.no_grad():
        logits_BK = network(images())
    same = [name for name, expected_BK in found.items() if torch.allclose(logits_BK, expected_BK, atol=1e-6)]
    assert same == [predictor]


@pytest.mark.parametrize(("method", "architecture", "deployed", "ensemble"), EXPORTS)
def test_an_exported_network_predicts_as_the_deployed_predictor(
    training: Training, tmp_path: Path, method: Method, architecture: str, deployed: str, ensemble: str | None
) -> None:
    training = training.but(method=method, architecture=architecture)
    state = trained(training)
    found = answers(state, images())
    path, ensemble_path = export(state, training, tmp_path)
    assert_answers_as(path, deployed, found)
    if ensemble is None:
        assert not ensemble_path.exists()
    else:
        assert_answers_as(ensemble_path, ensemble, found)


@pytest.mark.parametrize("method", ["plain", "dml", "okddip", "pcl"])
def test_the_deployed_file_contains_a_plain_network_and_nothing_else(
    training: Training, tmp_path: Path, method: Method
) -> None:
    training = training.but(method=method)
    path, _ = export(trained(training), training, tmp_path)
    network = build_network("small_cnn", image_shape_CHW=GREY, num_classes=NUM_CLASSES, seed=0)
    network.load_state_dict(load_tensors(path)[0], strict=True)


def test_the_deployed_state_has_the_weights_and_the_statistics_of_the_mean(training: Training) -> None:
    state = trained(training.but(method="pcl"))
    deployed, of_mean = deployed_state(state, "pcl"), state.mean.network.plain_state(0)
    assert all(torch.equal(tensor, of_mean[name]) for name, tensor in deployed.items())
    of_network = state.network.plain_state(0)
    # The numbers of batches are equal; everything else differs.
    same = {name for name, tensor in deployed.items() if torch.equal(tensor, of_network[name])}
    assert same == {name for name in deployed if name.endswith("num_batches_tracked")}


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "network").write_bytes(b"no network")
    with pytest.raises(ArtifactCorruptError, match="is damaged"):
        load_exported(tmp_path / "network")
