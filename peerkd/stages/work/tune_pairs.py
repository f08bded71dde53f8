"""The work of one worker in a tuned study. The first worker also plans the iterations."""

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from peerkd.artifacts import keys, references
from peerkd.artifacts.store import ArtifactStore, Manifest, Workspace
from peerkd.config.architectures import network_modules
from peerkd.config.experiment import ExperimentConfig
from peerkd.launch.worker import Worker
from peerkd.metrics import recorder
from peerkd.metrics.progress import print_line
from peerkd.results import arrow, choices
from peerkd.results.schema import IS_FINITE
from peerkd.results.spill import write_trials
from peerkd.results.table import mapped_table
from peerkd.stages import machine, pretrain_peers
from peerkd.stages.division import evaluation_sets
from peerkd.stages.shard_queue import ShardQueue, StageWork, open_shard_queue
from peerkd.stages.shards import SCRATCH
from peerkd.stages.tune_pairs import (
    CHOICES_NAME,
    CURVE_NAME,
    NAME,
    TRIALS_NAME,
    key,
    summary,
)
from peerkd.stages.work.tuning.choice_rows import ChoiceRows
from peerkd.stages.work.tuning.coordinator import StudyCoordinator
from peerkd.stages.work.tuning.features import obtain_features
from peerkd.stages.work.tuning.iteration_history import STATES, IterationHistory, identity
from peerkd.stages.work.tuning.space import build_space
from peerkd.stages.work.tuning.study import TunedStudy
from peerkd.study.splits import EvaluationSets
from peerkd.training.inputs import EngineChoice, SweepInputs
from peerkd.training.process_pool import run_in_processes
from peerkd.tuning import pair_tuner
from peerkd.tuning.accounting import CostLedger, feature_forward_samples
from peerkd.tuning.experience import why_unused
from peerkd.tuning.space import Space


class _Setup(NamedTuple):
    """The inputs of a worker in a tuned study."""

    config: ExperimentConfig
    inputs: SweepInputs
    workspace: Workspace
    num_train: list[int]
    """The number of training samples of each peer."""

    num_public: int
    sets_P: Sequence[EvaluationSets]
    """The sizes of the evaluation sets of each peer."""

    num_processes: int


def perform(config: ExperimentConfig, peers: Manifest, store: ArtifactStore, worker: Worker) -> None:
    """Train and evaluate this worker's trials. The first worker also plans the trials and publishes the study."""
    config = _with_validation_as_needed(config)
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
            sets_P=evaluation_sets(partition.metadata),
            num_processes=num_processes,
        )
        results = _run_worker(setup, worker, store=store, artifact=artifact)
        if results is None:
            return
        manifest = store.publish(
            artifact,
            metadata={
                "inputs": {"peers": references.reference(peers)},
                **config.distill.loss_record,
                **results,
                "device": device,
                "versions": machine.software_versions(),
                "machine": machine.describe_processor(),
            },
        )
    print_line(NAME, summary(manifest.metadata))


def _with_validation_as_needed(config: ExperimentConfig) -> ExperimentConfig:
    """Return the config with ``sweep.validate_every_epoch`` set if the study chooses epochs, and not set otherwise."""
    sweep = config.sweep.model_copy(update={"validate_every_epoch": config.tune.chooses_epochs})
    return config.model_copy(update={"sweep": sweep})


def _run_worker(setup: _Setup, worker: Worker, *, store: ArtifactStore, artifact: str) -> dict[str, object] | None:
    """Do this worker's part of the study.

    Returns:
        The metadata for the manifest in the first worker, which also writes the tables; None in all other workers.
    """
    space = _space(setup, features=None)
    history = IterationHistory(setup.workspace, space, is_first_worker=worker.is_first)
    coordinator: StudyCoordinator | None = None

    def add_shards(queue: ShardQueue) -> bool:
        nonlocal coordinator
        if not worker.is_first:
            return history.follow(queue)
        coordinator = coordinator or _open_study(setup, history)
        return coordinator.plan_iterations(queue)

    counter = _TrialCounter(history)
    work = StageWork(
        stage=NAME,
        shards=(),
        identity=identity,
        remaining=history.remaining,
        on_recovered=counter.add,
        on_done_elsewhere=counter.add,
        add_shards=add_shards,
    )
    with open_shard_queue(
        setup.workspace, work, worker, is_published=lambda: store.find(artifact) is not None
    ) as queue:
        _distill(setup, queue, history, counter)
        if coordinator is None or store.find(artifact):
            return None
        return _write(setup, coordinator, history, queue)


def _space(setup: _Setup, *, features: pa.Table | None) -> Space:
    return build_space(
        setup.config,
        num_train=setup.num_train,
        num_public=setup.num_public,
        features=features,
        peers=setup.inputs.peers,
    )


class _TrialCounter:
    """Counts the finished trials, for the metrics."""

    def __init__(self, history: IterationHistory) -> None:
        self._history, self._num_done = history, 0

    def add(self, num: int) -> None:
        self._num_done += num
        self._record()

    def advance(self) -> None:
        self._num_done += 1
        self._record(num_new=1)

    def _record(self, *, num_new: int = 0) -> None:
        num_left = max(0, self._history.num_trials - self._num_done)
        recorder.progress("trials", num_new=num_new, num_done=self._num_done, num_left=num_left)


def _open_study(setup: _Setup, history: IterationHistory) -> StudyCoordinator:
    features = obtain_features(setup.workspace, setup.inputs, num_processes=min(setup.num_processes, 1))
    space = _space(setup, features=features)
    account = CostLedger(space, is_augmented=setup.config.teachers_vary)
    account.charge_forward(feature_forward_samples(space))
    tune = setup.config.tune
    reason = why_unused(space, is_wanted=tune.experience)
    print_line(NAME, f"the tuner starts without experience: {reason}" if reason else "the tuner starts from experience")
    study = TunedStudy(
        space,
        lambda: pair_tuner.build(space, has_experience=tune.experience),
        account,
        budget_fraction=tune.budget_fraction,
        is_limited=setup.config.objective.is_limited,
        chooses_epochs=tune.chooses_epochs,
    )
    return StudyCoordinator(
        history,
        study,
        setup.workspace,
        stage=NAME,
        objective=setup.config.objective,
        chooses_epochs=tune.chooses_epochs,
        max_seconds=tune.max_seconds,
    )


def _distill(setup: _Setup, queue: ShardQueue, history: IterationHistory, counter: _TrialCounter) -> None:
    reported: set[str] = set()
    for claimed, record in run_in_processes(
        "peerkd.training.sweep:start",
        (setup.inputs,),
        queue.tasks(),
        num_processes=setup.num_processes,
        preload=network_modules(setup.config.architectures),
    ):
        if isinstance(record, EngineChoice):
            # Each process makes its own measurement, and the results are about the same.
            if record.kind not in reported:
                print_line(NAME, record.text)
            reported.add(record.kind)
            continue
        queue.add_record(claimed, record, replaceable=history.state_to_keep(record))
        if not record[IS_FINITE]:
            recorder.diverged()
        counter.advance()
        recorder.samples(record["num_transfer_samples"] * record["epochs"])


def _write(
    setup: _Setup, coordinator: StudyCoordinator, history: IterationHistory, queue: ShardQueue
) -> dict[str, object]:
    """Write the tables of a finished study, and return the metadata for the manifest."""
    folder = setup.workspace.folder
    seconds = coordinator.finish(queue)
    study = coordinator.study
    rows = ChoiceRows(
        history,
        study,
        objective=setup.config.objective,
        default=setup.config.untuned_default,
        chooses_epochs=setup.config.tune.chooses_epochs,
    )
    trials = write_trials(
        rows.keep_test_gains(history.last_records(queue.records())),
        folder / TRIALS_NAME,
        scratch_folder=folder / SCRATCH,
    )
    with mapped_table(folder / TRIALS_NAME) as table:
        advice = rows.advice(table, setup.sets_P)
    tables = {
        CHOICES_NAME: (choices.assemble(rows.rows(advice), choices.CHOICES), choices.CHOICES),
        CURVE_NAME: (choices.assemble((point._asdict() for point in study.curve), choices.CURVE), choices.CURVE),
    }
    for name, (table, kind) in tables.items():
        choices.write_table(table, folder / name, kind)
    return {
        # The features are not included: other software may round them differently and still lead to the same choices.
        "fingerprint": keys.fingerprint(
            [
                trials.fingerprint,
                *(arrow.fingerprint(table, later_columns=kind.later_columns) for table, kind in tables.values()),
            ]
        ),
        "trials_fingerprint": trials.fingerprint,
        "num_trials": trials.num_trials,
        "num_diverged": trials.num_diverged,
        "num_iterations": study.num_observed,
        "why_no_experience": why_unused(study.space, is_wanted=setup.config.tune.experience),
        "ended": history.iterations[-1].reason,
        "budget_fraction": setup.config.tune.budget_fraction,
        "spent_share": study.account.spent_share,
        "spent_samples": study.account.spent,
        "full_sweep_samples": study.account.full,
        "worker_seconds": trials.seconds,
        "seconds": seconds,
        "tuner_seconds": study.tuner_seconds,
        **rows.counts(advice),
    }
