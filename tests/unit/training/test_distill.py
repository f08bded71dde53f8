import pytest
import torch

from peerkd.config.given_peers import PeerNetwork
from peerkd.data.partition.assignment import Assignment
from peerkd.data.streamed import open_dataset
from peerkd.training.distill import distill, teacher_logits
from peerkd.training.peers import build_peer, sample_set


@pytest.fixture
def samples(tiny):
    dataset, assignment = open_dataset(tiny.dataset), Assignment.load(tiny.partition)
    return sample_set(
        dataset, assignment.train[1], name="d", batch_size=16, config=tiny.config, device=torch.device("cpu")
    )


def network(tiny, seed):
    return build_peer(PeerNetwork("small_cnn"), open_dataset(tiny.dataset), seed=seed)


def state(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_teacher_logits_are_those_of_the_batches_in_order_and_leave_the_teacher_alone(tiny, samples, mode):
    teacher = network(tiny, 5)
    before = state(teacher)
    logits = teacher_logits(teacher, samples, epochs=range(2), mode=mode)
    assert not teacher.training
    for name, tensor in teacher.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    teacher.train(mode == "train")
    for epoch in range(2):
        for batch, got in zip(samples.batches(epoch), logits[epoch], strict=True):
            assert not got.requires_grad
            torch.testing.assert_close(got, teacher(batch.images_NCHW).detach())


def test_the_two_teacher_modes_differ(tiny, samples):
    teacher = network(tiny, 5)
    one, other = (teacher_logits(teacher, samples, epochs=range(1), mode=mode)[0][0] for mode in ("eval", "train"))
    assert not torch.allclose(one, other)


def test_pure_distillation_brings_the_student_to_its_teacher(tiny, samples):
    teacher, student = network(tiny, 5), network(tiny, 6)
    recipe = tiny.config.distill.model_copy(update={"epochs": 30, "weight_decay": 0.0, "learning_rate": 0.05})
    logits = teacher_logits(teacher, samples, epochs=range(30), mode="eval")

    def distance():
        student.eval()
        (batch, *_), wanted = list(samples.batches(0)), logits[0][0]
        return (student(batch.images_NCHW).softmax(1) - wanted.softmax(1)).abs().mean().item()

    before = distance()
    distill(student, samples, teacher=logits, distillation_weight=1.0, temperature=2.0, recipe=recipe)
    assert distance() < before / 2


def test_the_same_trial_twice_gives_the_same_weights(tiny, samples):
    logits = teacher_logits(network(tiny, 5), samples, epochs=range(2), mode="eval")
    students = [network(tiny, 6), network(tiny, 6)]
    for student in students:
        distill(student, samples, teacher=logits, distillation_weight=0.5, temperature=2.0, recipe=tiny.config.distill)
    for name, tensor in students[0].state_dict().items():
        assert torch.equal(students[1].state_dict()[name], tensor), name
