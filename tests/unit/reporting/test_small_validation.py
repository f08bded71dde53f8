"""The sentence on small validation sets."""

from dataclasses import replace

import pytest

from peerkd.reporting.small_validation import limit_of_validation, small_validation
from peerkd.reporting.verdict import verdict
from peerkd.study.objective import Objective
from peerkd.study.splits import EvaluationSets, NumSamples


@pytest.fixture
def small(study):
    """The facts with a global validation set of 30 samples, and own ones of 50 and 60."""
    test = NumSamples(72, 30)
    sets = tuple(EvaluationSets(validation=NumSamples(30, num), test=test) for num in (50, *[60] * 9))
    return replace(study.facts, num_validation_samples=30, evaluation_sets=sets)


def test_a_small_set_is_named_with_the_gain_that_it_can_show(small, study):
    text = small_validation(small, Objective())
    assert text.startswith("Validation is small (30 samples): no gain below 6.7 points exceeds its noise, and ")
    assert verdict(small)[3] == text
    assert small_validation(study.facts, Objective()) == ""


def test_larger_sets_have_a_limit_too_which_the_page_states(small, study):
    """No sentence of the verdict follows from 270 samples, but no set shows every gain."""
    assert limit_of_validation(small, Objective()).startswith("On validation (30 samples), no gain below 6.7 points ")
    assert limit_of_validation(study.facts, Objective()).startswith("On validation (270 samples), no gain below 0.7 ")


def test_own_sets_are_named_where_the_study_chooses_by_them(small):
    own, mean = (small_validation(small, Objective(own_weight=weight)) for weight in (1.0, 0.5))
    assert own.startswith("Validation is small (50 to 60 samples of each student's own): no gain below ")
    assert mean.startswith("Validation is small (30 samples, and 50 to 60 samples of each student's own): no gain ")


def test_students_without_room_for_a_gain_are_said_to_have_none(small):
    peers = [replace(peer, validation_global_accuracy=1.0) for peer in small.peers]
    perfect = replace(small, peers=tuple(peers))
    assert small_validation(perfect, Objective()) == "Validation is small (30 samples): no gain can exceed its noise."
