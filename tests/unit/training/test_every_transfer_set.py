"""The facts of every kind of transfer set hold in the plan, the forecast, the tuner's costs and the training.

The kinds are those of ``TRANSFER_SETS``, and every other union of sources, with labels, without, or with labels in one
part, that could be one.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, combinations
from typing import get_args

import numpy as np
import pytest
import torch

from peerkd.config.experiment import ExperimentConfig
from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.data.packed import write_packed
from peerkd.data.sources import read_source
from peerkd.stages.division import divide
from peerkd.stages.work.tuning.space import build_space
from peerkd.study import transfer_sets
from peerkd.study.plan import plan
from peerkd.study.transfer_sets import PUBLIC, TRANSFER_SETS, Source, TransferSetFacts
from peerkd.study.trials import Unit
from peerkd.training.forecast import forecast, measure_partition
from peerkd.training.sweep import SweepRunner
from peerkd.training.trial_state import load_state, state_path
from peerkd.tuning.accounting import FORWARDS_PER_TRAINED_SAMPLE, CostLedger

DIGITS = read_source("digits", path=None)
SOURCES = get_args(Source)
UNIONS = [*map(frozenset, chain.from_iterable(combinations(SOURCES, num) for num in range(1, len(SOURCES) + 1)))]


def possible_kinds() -> Iterator[tuple[str, TransferSetFacts]]:
    """Yield every kind that exists or could be added."""
    yield from TRANSFER_SETS.items()
    existing = {(facts.labelled_sources, facts.unlabelled_sources) for facts in TRANSFER_SETS.values()}
    for labelled in (frozenset[Source](), *UNIONS):
        for unlabelled in (frozenset[Source](), *UNIONS):
            if (labelled or unlabelled) and not labelled & unlabelled and (labelled, unlabelled) not in existing:
                name = f"{'+'.join(sorted(labelled))} without labels {'+'.join(sorted(unlabelled))}"
                yield (
                    name,
                    TransferSetFacts(labelled_sources=labelled, unlabelled_sources=unlabelled, meaning=name),
                )


EXISTING = tuple(TRANSFER_SETS)
KINDS = dict(possible_kinds())
each_kind = pytest.mark.parametrize("name", KINDS)


@pytest.fixture(autouse=True)
def _kinds_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    for place, (name, facts) in enumerate(KINDS.items()):
        monkeypatch.setitem(TRANSFER_SETS, name, facts)
        monkeypatch.setitem(transfer_sets._POSITIONS, name, place)


def on(config: ExperimentConfig, *names: str) -> ExperimentConfig:
    """Return a config with these transfer sets, which may be ones that a user cannot name yet."""
    return config.model_copy(update={"sweep": config.sweep.model_copy(update={"transfer_sets": names})})


@each_kind
def test_the_trials_are_on_the_samples_of_the_sources_and_controls_need_labels(name: str) -> None:
    facts = KINDS[name]
    config = on(ExperimentConfig(), name)
    controls = []
    for unit in plan(config.grid, range(3)):
        for trial in unit.trials:
            # A control of a set that does not depend on the teacher has none.
            peers = {"student": trial.student, "teacher": trial.teacher, "public": PUBLIC}
            owners = {peers[source] for source in facts.sources}
            assert {*(unit.owners or (PUBLIC,)), *unit.unlabelled_owners} == owners
            assert bool(unit.unlabelled_owners) == facts.is_split
            if unit.teacher is None:
                controls.append(trial)
            else:
                assert trial.teacher == unit.teacher
                assert facts.uses_labels or trial.setting.distillation_weight == 1
    num_controls = (6 if "teacher" in facts.sources else 3) if facts.uses_labels else 0
    assert len(controls) == len(set(controls)) == num_controls


@pytest.mark.parametrize("names", [*((name,) for name in KINDS), tuple(KINDS)], ids="+".join)
@pytest.mark.parametrize("is_augmented", [False, True])
def test_the_forecast_and_the_tuner_count_the_samples_of_the_plan(names: tuple[str, ...], is_augmented: bool) -> None:
    overrides = (
        "partition.num_peers=3 partition.quantity_skew.kind=dirichlet partition.public_fraction=0.1 "
        f"distill.epochs=2 sweep.temperatures=[1,4] sweep.alphas=[0.3,0.9] augmentation.horizontal_flip={is_augmented}"
    )
    config = on(resolve(JOINTKD, preset="digits", overrides=overrides), *names)
    parts = divide(config, DIGITS)
    sizes = {PUBLIC: len(parts.public), **{peer: len(part) for peer, part in enumerate(parts.train)}}
    num_distilled = num_controlled = num_taught = 0
    for unit in plan(config.grid, range(3)):
        num_samples = num_in_epoch = sum(sizes[owner] for owner in unit.owners or (PUBLIC,))
        if unit.unlabelled_owners:
            both = (num_samples, sum(sizes[owner] for owner in unit.unlabelled_owners))
            num_batches = [-(-num // config.distill.batch_size) for num in both]
            num_in_epoch = round(sum(max(num_batches) * num / of for num, of in zip(both, num_batches, strict=True)))
            num_samples = both[1]
        num_trained = num_in_epoch * len(unit.trials) * config.distill.epochs
        if unit.teacher is None:
            num_controlled += num_trained
        else:
            num_distilled += num_trained
            num_taught += num_samples * (config.distill.epochs if is_augmented else 1)

    expected = forecast(config, measure_partition(DIGITS, parts))
    assert expected.num_distillation_samples == num_distilled + num_controlled
    assert expected.num_control_samples == num_controlled
    assert expected.num_teacher_samples == num_taught
    space = build_space(
        config, num_train=[len(part) for part in parts.train], num_public=len(parts.public), features=None
    )
    full = CostLedger(space, is_augmented=is_augmented).full
    assert full == pytest.approx(num_distilled + num_taught / FORWARDS_PER_TRAINED_SAMPLE, rel=1e-12)


def one_trial(config: ExperimentConfig, *, student: int) -> Unit:
    """Return a unit with one distillation of a student from peer 1."""
    for unit in plan(config.grid, range(3)):
        for trial in unit.trials:
            if (unit.teacher, trial.student) == (1, student):
                return replace(unit, trials=(trial,))
    raise AssertionError(student)


@pytest.mark.parametrize("name", [name for name in KINDS if name in EXISTING or not KINDS[name].is_split])
def test_a_student_depends_on_the_labels_if_and_only_if_its_set_uses_them(name, tiny, tmp_path):
    """Train on the right labels and on permuted ones. Student 0 trains side by side with others, student 2 alone."""
    uses_labels = KINDS[name].uses_labels
    other = tmp_path / "permuted"
    other.mkdir()
    permuted_N = np.random.default_rng(0).permutation(tiny.raw.labels_N)
    write_packed(other, replace(tiny.raw, labels_N=permuted_N))
    config = on(tiny.config, name)
    for student in (0,) if uses_labels or "student" in KINDS[name].sources else (0, 2):
        unit = one_trial(config, student=student)
        weights = []
        for dataset in (tiny.dataset, other):
            folder = tmp_path / f"{student} {dataset.name}"
            inputs = replace(tiny.sweep_inputs, config=config, dataset_folder=dataset, states_folder=folder)
            list(SweepRunner(inputs, device=torch.device("cpu")).do(unit))
            weights.append(load_state(state_path(folder, unit.trials[0], num_epochs=2)).weights)
        right, wrong = weights
        assert all(torch.equal(right[tensor], wrong[tensor]) for tensor in right) != uses_labels
