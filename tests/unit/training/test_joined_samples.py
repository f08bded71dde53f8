"""Joined batches: 20 samples with labels, and samples without that are more or fewer."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from peerkd.training.distill import teacher_logits
from peerkd.training.joined_samples import JoinedSamples
from peerkd.training.samples import BatchSize
from tests.distillations import Trials

TRIALS = Trials("mlp")


def joined(num_labelled: int, num_unlabelled: int) -> JoinedSamples:
    return JoinedSamples(TRIALS.sample_set(num_labelled), TRIALS.sample_set(num_unlabelled, name="unlabelled"))


@pytest.mark.parametrize(("num_labelled", "num_unlabelled"), [(23, 7), (7, 23), (12, 23), (23, 12), (9, 9)])
def test_each_part_continues_its_own_passes_from_one_epoch_to_the_next(num_labelled: int, num_unlabelled: int) -> None:
    samples = joined(num_labelled, num_unlabelled)
    assert samples.num_batches == max(-(-num // 10) for num in (num_labelled, num_unlabelled))
    batches = [batch for epoch in range(3) for batch in samples.batches(epoch)]
    for of_labelled, name, num in ((True, "train", num_labelled), (False, "unlabelled", num_unlabelled)):
        alone = TRIALS.sample_set(num, name=name)
        in_turn = [batch for epoch in range(9) for batch in alone.batches(epoch)]
        for batch, expected in zip(batches, in_turn, strict=False):
            rows = slice(None, -batch.num_unlabelled) if of_labelled else slice(-batch.num_unlabelled, None)
            assert torch.equal(batch.images_NCHW[rows], expected.images_NCHW)
            if of_labelled:
                assert torch.equal(batch.labels_B, expected.labels_B)


def test_batches_have_the_sizes_that_are_announced() -> None:
    samples = joined(23, 12)
    sizes = {batch.size for epoch in range(6) for batch in samples.batches(epoch)}
    assert sizes <= set(samples.batch_sizes)
    assert samples.batch_sizes == (BatchSize(14, 6), BatchSize(13, 6))
    assert {size.num_labelled for size in sizes} == {7, 8}
    assert len(samples) == 35


def test_a_teachers_logits_are_those_of_the_rows_without_labels() -> None:
    samples, teacher = joined(23, 12), TRIALS.network(3)
    epochs = range(1, 3)
    passes = samples.unlabelled_epochs(epochs)
    assert passes == range(1, 5)
    logits = teacher_logits(teacher, TRIALS.sample_set(12, name="unlabelled"), epochs=passes, mode="eval")
    for epoch in epochs:
        for batch, logits_BK in zip(samples.batches(epoch), samples.in_batches(logits, epoch), strict=True):
            with torch.no_grad():
                torch.testing.assert_close(teacher(batch.images_NCHW[-batch.num_unlabelled :]), logits_BK)


def test_the_samples_of_the_smaller_set_are_used_equally_often() -> None:
    samples = joined(23, 7)
    counts = np.zeros(7, dtype=int)
    images_SCHW = TRIALS.dataset.read_images(np.arange(16, 23))
    assert len({image.tobytes() for image in images_SCHW}) == 7
    plain = JoinedSamples(TRIALS.sample_set(23), TRIALS.sample_set(7, name="unlabelled"))
    for epoch in range(7):
        for first, second in pairwise([*plain.batches(epoch), None]):
            assert second is None or second.num_unlabelled == first.num_unlabelled == 7
        counts += len(list(samples.batches(epoch)))
    assert counts.tolist() == [21] * 7
