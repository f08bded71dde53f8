"""Doing the rounds of a tuned study, as one of the workers; the first one plans them."""

from typing import NamedTuple

import pyarrow as pa

from peerkd.artifacts import keys, references
from peerkd.artifacts.store import ArtifactStore, Manifest, Workspace
from peerkd.config.architectures import network_modules
from peerkd.config.experiment import ExperimentConfig
from peerkd.launch.worker import Worker
from peerkd.metrics import recorder
from peerkd.metrics.progress import say
from peerkd.results import arrow, choices
from peerkd.results.schema import IS_FINITE
from peerkd.results.spill import write_trials
from peerkd.stages import machine, pretrain_peers
from peerkd.stages.shards import SCRATCH
from peerkd.stages.sharing import Sharing, Work, share
from peerkd.stages.tune_pairs import (
    CHOICES_NAME,
    CURVE_NAME,
    NAME,
    TRIALS_NAME,
    key,
    summary,
)
from peerkd.stages.work.tuning.course import STATES, Course, LeadCourse, identity
from peerkd.stages.work.tuning.decided import Decided
from peerkd.stages.work.tuning.features import obtain_features
from peerkd.stages.work.tuning.space import build_space
from peerkd.stages.work.tuning.study import Study
from peerkd.training.inputs import SweepInputs, WayTaken
from peerkd.training.workers import run_in_workers
from peerkd.tuning import pair_tuner
from peerkd.tuning.accounting import CostLedger, feature_forward_samples
from peerkd.tuning.space import Space


class _Setup(NamedTuple):
    """What a worker has when it begins."""

    config: ExperimentConfig
    inputs: SweepInputs
    workspace: Workspace
    num_train: list[int]
    """Training samples of each peer."""

    num_public: int
    num_processes: int


def perform(config: ExperimentConfig, peers: Manifest, store: ArtifactStore, worker: Worker) -> None:
    """Do the trials that come to this worker; the first worker says which there are, and publishes the study."""
    config = _judged_as_asked(config)
    artifact = key(config, peers)
    device, num_processes = machine.choose_device(config.compute, is_in_process=worker.is_in_process)
    partition = references.follow(peers.metadata["inputs"]["partition"], store)
    dataset = references.follow(partition.metadata["inputs"]["dataset"], store)
    with store.open_workspace(artifact, shared=not worker.is_alone) as workspace:
        setup = _Setup(
            config=config,
            inputs=SweepInputs(
                config=config,
                dataset_folder=store.fetch(dataset.key),
                partition_folder=store.fetch(partition.key),
                peers_folder=store.fetch(peers.key),
                device=device,
                states_folder=workspace.folder / STATES,
                finite_peers=pretrain_peers.finite_peers(peers.metadata["peers"]),
            ),
            workspace=workspace,
            num_train=[sum(counts) for counts in partition.metadata["class_counts"]],
            num_public=partition.metadata["num_public"],
            num_processes=num_processes,
        )
        found = _take_part(setup, worker, store=store, artifact=artifact)
        if found is None:
            return
        manifest = store.publish(
            artifact,
            metadata={
                "inputs": {"peers": references.reference(peers)},
                **found,
                "device": device,
                "versions": machine.software_versions(),
                "machine": machine.describe_processor(),
            },
        )
    say(NAME, summary(manifest.metadata))


def _judged_as_asked(config: ExperimentConfig) -> ExperimentConfig:
    """Return the config with accuracies by epoch where the study chooses by them, and only there."""
    sweep = config.sweep.model_copy(update={"validate_every_epoch": config.tune.chooses_epochs})
    return config.model_copy(update={"sweep": sweep})


def _take_part(setup: _Setup, worker: Worker, *, store: ArtifactStore, artifact: str) -> dict[str, object] | None:
    """Do this worker's part; for the first worker, write the tables and return what the manifest says of them."""
    space = _space(setup, features=None)
    course = Course(setup.workspace, space, leads=worker.leads)
    lead: LeadCourse | None = None

    def grow(sharing: Sharing) -> bool:
        nonlocal lead
        if not worker.leads:
            return course.follow(sharing)
        lead = lead or _open_study(setup, course)
        return lead.lead(sharing)

    tally = _Tally(course)
    work = Work(
        stage=NAME,
        shards=(),
        identity=identity,
        left=course.left,
        found=tally.found,
        followed=tally.found,
        grow=grow,
    )
    with share(setup.workspace, work, worker, is_published=lambda: store.find(artifact) is not None) as sharing:
        _distill(setup, sharing, course, tally)
        if lead is None or store.find(artifact):
            return None
        return _write(setup, lead, course, sharing)


def _space(setup: _Setup, *, features: pa.Table | None) -> Space:
    return build_space(
        setup.config,
        num_train=setup.num_train,
        num_public=setup.num_public,
        features=features,
        peers=setup.inputs.peers,
    )


class _Tally:
    """Counts trials for the metrics."""

    def __init__(self, course: Course) -> None:
        self._course, self._num_done = course, 0

    def found(self, num: int) -> None:
        self._num_done += num
        self._record()

    def advance(self) -> None:
        self._num_done += 1
        self._record(num_new=1)

    def _record(self, *, num_new: int = 0) -> None:
        num_left = max(0, self._course.num_trials - self._num_done)
        recorder.progress("trials", num_new=num_new, num_done=self._num_done, num_left=num_left)


def _open_study(setup: _Setup, course: Course) -> LeadCourse:
    features = obtain_features(setup.workspace, setup.inputs, num_processes=min(setup.num_processes, 1))
    space = _space(setup, features=features)
    account = CostLedger(space, is_augmented=setup.config.teachers_vary)
    account.charge_forward(feature_forward_samples(space))
    tune = setup.config.tune
    study = Study(
        space,
        lambda: pair_tuner.build(space, has_experience=tune.experience),
        account,
        budget_fraction=tune.budget_fraction,
        is_limited=setup.config.objective.is_limited,
        chooses_epochs=tune.chooses_epochs,
    )
    return LeadCourse(
        course,
        study,
        setup.workspace,
        stage=NAME,
        objective=setup.config.objective,
        chooses_epochs=tune.chooses_epochs,
        max_seconds=tune.max_seconds,
    )


def _distill(setup: _Setup, sharing: Sharing, course: Course, tally: _Tally) -> None:
    told: set[str] = set()
    for held, record in run_in_workers(
        "peerkd.training.sweep:start",
        (setup.inputs,),
        sharing.tasks(),
        num_workers=setup.num_processes,
        preload=network_modules(setup.config.architectures),
    ):
        if isinstance(record, WayTaken):
            # Each process measures for itself, and finds about the same.
            if record.kind not in told:
                say(NAME, record.text)
            told.add(record.kind)
            continue
        sharing.append(held, record, replaceable=course.state_to_keep(record))
        if not record[IS_FINITE]:
            recorder.diverged()
        tally.advance()
        recorder.samples(record["num_transfer_samples"] * record["epochs"])


def _write(setup: _Setup, lead: LeadCourse, course: Course, sharing: Sharing) -> dict[str, object]:
    """Write the tables of a study that is over, and return what to say of it."""
    folder = setup.workspace.folder
    seconds = lead.end(sharing)
    decided = Decided(
        course,
        lead.study,
        objective=setup.config.objective,
        chooses_epochs=setup.config.tune.chooses_epochs,
    )
    trials = write_trials(
        decided.seen(course.last_records(sharing.records())), folder / TRIALS_NAME, scratch_folder=folder / SCRATCH
    )
    tables = {
        CHOICES_NAME: (choices.assemble(decided.rows(), choices.CHOICES), choices.CHOICES),
        CURVE_NAME: (choices.assemble((point._asdict() for point in lead.study.curve), choices.CURVE), choices.CURVE),
    }
    for name, (table, kind) in tables.items():
        choices.write_table(table, folder / name, kind)
    return {
        # The features are no part of it: other software may round them differently, and the choices be the same.
        "fingerprint": keys.fingerprint(
            [trials.fingerprint, *(arrow.fingerprint(table) for table, _ in tables.values())]
        ),
        "trials_fingerprint": trials.fingerprint,
        "num_trials": trials.num_trials,
        "num_diverged": trials.num_diverged,
        "num_rounds": lead.study.num_told,
        "ended": course.rounds[-1].reason,
        "budget_fraction": setup.config.tune.budget_fraction,
        "spent_share": lead.study.account.spent_share,
        "spent_samples": lead.study.account.spent,
        "full_sweep_samples": lead.study.account.full,
        "worker_seconds": trials.seconds,
        "seconds": seconds,
        "tuner_seconds": lead.study.tuner_seconds,
        **decided.counts(),
    }
