"""The step against ``distill``: bit for bit with an optimiser that rounds as the step does, and that optimiser against
torch's.
"""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peerkd.config.training import ConventionsConfig
from peerkd.losses.pairs.loss import PairLoss
from peerkd.training.captured.step import BatchBuffers, StudentBuffers
from peerkd.training.optimizers import Sgd
from tests.distillations import ReferenceSgd, Trials, TrialSpec, all_conventions, assert_same
from tests.pair_losses import EVERY_LOSS

KINDS = [
    TrialSpec(1, None, 0.0, None),
    TrialSpec(1, 2, 0.0, 3.0),
    TrialSpec(1, 2, 0.3, 1.3),
    TrialSpec(1, 2, 1.0, 0.7),
    TrialSpec(1, 2, 0.5, 2.0, 0.003),
]


@pytest.fixture
def _rounding_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peerkd.training.distill.Sgd", ReferenceSgd)


RESNET_EPOCHS = 2
"""A ResNet has the same step with more layers. Two epochs suffice for momenta and new views, at two thirds of the time.
"""


def assert_is_distill(trials: Trials, wanted: TrialSpec) -> None:
    (got,) = trials.in_lanes(trials.lanes(), [wanted], epochs=range(trials.recipe.epochs))
    assert_same(got, trials.alone(wanted))


@pytest.mark.usefixtures("_rounding_alike")
@pytest.mark.parametrize("wanted", KINDS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("architecture", ["mlp", "small_cnn"])
def test_each_kind_of_trial_equals_distill_bit_for_bit(architecture: str, precision: str, wanted: TrialSpec) -> None:
    assert_is_distill(Trials(architecture, precision=precision), wanted)


@pytest.mark.usefixtures("_rounding_alike")
@pytest.mark.parametrize("num_unlabelled", [0, 14])
@pytest.mark.parametrize("wanted", [KINDS[0], KINDS[2]], ids=["alone", "taught"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_resnet_ends_in_the_bits_of_distill(precision: str, wanted: TrialSpec, num_unlabelled: int) -> None:
    """The kinds of trials differ in the loss, which is tested with small networks above and below."""
    trials = Trials("resnet20", num_unlabelled=num_unlabelled, precision=precision, epochs=RESNET_EPOCHS)
    assert_is_distill(trials, wanted)


@pytest.mark.usefixtures("_rounding_alike")
@pytest.mark.parametrize("conventions", all_conventions(), ids=str)
def test_each_convention_agrees_with_distill(conventions: ConventionsConfig) -> None:
    assert_is_distill(Trials(conventions=conventions), KINDS[2])


@pytest.mark.usefixtures("_rounding_alike")
@pytest.mark.parametrize("loss", [each for each in EVERY_LOSS if not each.sets_temperature], ids=lambda loss: loss.name)
def test_each_loss_agrees_with_distill(loss: PairLoss) -> None:
    assert_is_distill(Trials(loss=loss), KINDS[2])


@pytest.mark.usefixtures("_rounding_alike")
@pytest.mark.parametrize(
    "changes",
    [
        {"momentum": 0.0},
        {"momentum": 0.0, "weight_decay": 0.0},
        {"weight_decay": 0.0},
        {"nesterov": True},
        {"schedule": "multistep"},
        {"batch_size": 23},
    ],
    ids=str,
)
def test_each_recipe_agrees_with_distill(changes: dict[str, object]) -> None:
    assert_is_distill(Trials(**changes), KINDS[2])


@pytest.mark.usefixtures("_rounding_alike")
@pytest.mark.parametrize("wanted", KINDS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_rows_without_labels_end_in_the_bits_of_distill(precision: str, wanted: TrialSpec) -> None:
    assert_is_distill(Trials(num_unlabelled=14, precision=precision), wanted)


@pytest.mark.usefixtures("_rounding_alike")
@settings(max_examples=8, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    teacher=st.integers(0, 3),
    weight=st.floats(0, 1, width=32) | st.floats(0, 1),
    temperature=st.floats(0.1, 50),
    student=st.integers(0, 3),
)
def test_any_setting_agrees_with_distill(student: int, teacher: int, weight: float, temperature: float) -> None:
    assert_is_distill(Trials("mlp"), TrialSpec(student, teacher, weight, temperature))


@pytest.mark.parametrize("nesterov", [False, True])
def test_the_optimiser_that_rounds_twice_equals_torchs_up_to_rounding(nesterov: bool) -> None:
    trials = Trials(nesterov=nesterov)
    networks = [trials.network(1) for _ in range(2)]
    optimizers = [way(each, trials.recipe) for way, each in zip((Sgd, ReferenceSgd), networks, strict=True)]
    rng = torch.Generator().manual_seed(0)
    for rate in (0.3, 0.07):
        gradients = [torch.randn(each.shape, generator=rng) for each in networks[0].parameters()]
        for optimizer, network in zip(optimizers, networks, strict=True):
            for parameter, gradient in zip(network.parameters(), gradients, strict=True):
                parameter.grad = gradient.clone()
            optimizer.step(rate)
    # A rounding of weights of up to 4 is 2e-7 of 1.
    for one, other in zip(*(each.parameters() for each in networks), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-6)


def test_a_trial_is_near_that_of_torchs_optimiser_too() -> None:
    trials = Trials("mlp")
    (got,) = trials.in_lanes(trials.lanes(), [KINDS[2]])
    wanted, before = trials.alone(KINDS[2]), trials.start(1)
    for name, tensor in wanted.weights.items():
        change = (tensor - before.weights[name]).norm()
        assert (got.weights[name] - before.weights[name]).norm() > 0
        assert (got.weights[name] - tensor).norm() <= 1e-4 * change


def buffers_of(trials: Trials) -> StudentBuffers:
    shape = trials.dataset.image_shape
    return StudentBuffers(
        trials.network(0),
        BatchBuffers(num_samples=10, image_shape_CHW=shape, num_classes=4, device=trials.device),
    )


@pytest.mark.parametrize(
    ("weight", "temperature", "message"),
    [
        (1.1, 2.0, "distillation_weight must be from 0 to 1, got 1.1"),
        (0.5, None, "temperature is required when distillation_weight is 0.5"),
        (0.5, 0.0, "temperature must be above 0, got 0.0"),
    ],
)
def test_a_setting_without_a_valid_loss_is_refused(weight: float, temperature: float | None, message: str) -> None:
    trials = Trials("mlp")
    with pytest.raises(ValueError, match=message):
        buffers_of(trials).put_setting(distillation_weight=weight, temperature=temperature, term=trials.recipe.term)


def test_buffers_forget_the_teacher_and_the_momenta_of_the_trial_before() -> None:
    trials = Trials("mlp")
    buffers = buffers_of(trials)
    for momentum in buffers.momenta:
        momentum.fill_(1)
    buffers.put_teacher(torch.full((10, 4), torch.nan))
    buffers.put_state(trials.start(1))
    buffers.put_setting(distillation_weight=0.0, temperature=None, term=trials.recipe.term)
    assert not any(momentum.any() for momentum in buffers.momenta)
    assert torch.equal(buffers.teacher_logits(10), torch.zeros(10, 4))


def test_tensors_that_a_step_changes_stay_in_place() -> None:
    trials = Trials()
    lanes = trials.lanes()
    lanes.grow(1, batch_sizes=trials.samples.batch_sizes)
    before = [tensor.data_ptr() for tensor in lanes.student(0).tensors]
    trials.in_lanes(lanes, [KINDS[2]])
    assert [tensor.data_ptr() for tensor in lanes.student(0).tensors] == before
