"""The record of a run, which its first stage publishes so that the run can be listed before its report exists.

The key of a record covers the pipeline, the strategy, the config and the division of the data, so a command that is
repeated finds the record of its first attempt.
"""

import json
from datetime import UTC, datetime
from typing import Final, NamedTuple

from peerkd.artifacts import keys, references
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.data import ClassesPerPeer, DirichletLabels, ShardsPerPeer
from peerkd.config.given_peers import STORE_SCHEME, split_store_address
from peerkd.config.pcl import PclConfig
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.config.pipelines import COLLABORATE, JOINTKD, PCL
from peerkd.config.strict import StrictConfig
from peerkd.launch.invocations.files import name_run

KIND: Final = "run"
EXPERIMENT_NAME: Final = "experiment.json"
"""The name of the file with the config of a run, which ``peerkd run --config`` can read.

The file has all sections but ``compute``, which changes no result."""

NUM_DIGITS: Final = 4
"""The number of digits of a fingerprint in the name of a run. More are used if two runs would have the same name."""

COMPARISON_KIND: Final = "compare_studies"
"""The kind of the artifact with the report on several studies, which are the runs of one config with several seeds."""


class Route(NamedTuple):
    """A pipeline and a strategy, with the stages that they run, in order."""

    pipeline: str
    strategy: str | None
    """``sweep`` or ``tune``; None for a pipeline without this choice."""

    stages: tuple[str, ...]

    @property
    def title(self) -> str:
        """The pipeline and the strategy in words, such as ``jointkd tune``."""
        return " ".join(filter(None, (self.pipeline, self.strategy)))


ROUTES: Final = (
    Route(
        JOINTKD.name, "sweep", ("partition_data", "pretrain_peers", "distill_pairs", "improve_peers", "build_report")
    ),
    Route(JOINTKD.name, "tune", ("partition_data", "pretrain_peers", "tune_pairs", "improve_peers", "report_choices")),
    Route(PCL.name, None, ("split_data", "train_pcl", "compare_methods")),
    Route(COLLABORATE.name, None, ("partition_data", "pretrain_peers", "collaborate_peers", "report_rounds")),
)


def find_route(pipeline: str, strategy: str | None) -> Route:
    """Return the route of a pipeline with a strategy."""
    return next(route for route in ROUTES if (route.pipeline, route.strategy) == (pipeline, strategy))


def record_run(
    config: PeerExperimentConfig | PclConfig, division: Manifest, store: ArtifactStore, *, route: Route
) -> Manifest:
    """Publish the record of a run that begins, unless an earlier attempt has published it.

    Args:
        config: The whole experiment or study.
        division: The partition or the split of the data set, with which the run begins.
        store: The artifact store.
        route: The stages of the run.
    """
    key = key_of_run(config, division, route=route)
    name_run(key, experiment=config.name, skew=skew_in_a_word(config))
    done = store.find(key)
    if done:
        return done
    text = json.dumps({name: value for name, value in json.loads(config.to_json()).items() if name != "compute"})
    with store.open_workspace(key) as workspace:
        (workspace.folder / EXPERIMENT_NAME).write_text(text, encoding="utf-8")
        return store.publish(
            key,
            metadata={
                "inputs": {"division": references.reference(division)},
                "starts_from": _named_artifacts(config, store),
                "pipeline": route.pipeline,
                "strategy": route.strategy,
                "experiment": config.name,
                "skew": skew_in_a_word(config),
                "started_at": now(),
            },
        )


def key_of_run(config: StrictConfig, division: Manifest, *, route: Route) -> str:
    """Return the key of the record of a run."""
    return keys.key(
        KIND,
        {
            "pipeline": route.pipeline,
            "strategy": route.strategy,
            "division": references.reference(division),
            "config": keys.differences(config, without=("compute",)),
        },
    )


def run_of_report(config: StrictConfig, results: Manifest, store: ArtifactStore, *, report_stage: str) -> str:
    """Return the key of the run to which a report belongs.

    Args:
        config: The whole experiment or study.
        results: The artifact with the results that the report describes.
        store: The artifact store.
        report_stage: The name of the stage that writes the report.
    """
    route = next(route for route in ROUTES if route.stages[-1] == report_stage)
    division = results
    for name in ("trials", "rounds", "peers", "partition", "split"):
        reference = division.metadata["inputs"].get(name)
        if reference:
            division = references.follow(reference, store)
    return key_of_run(config, division, route=route)


def short_name(config: StrictConfig, key: str) -> str:
    """Return the name of a run for people, which has the beginning of the fingerprint in the key of its record."""
    assert isinstance(config, PeerExperimentConfig | PclConfig)
    return f"{config.name}-{skew_in_a_word(config)}-{key.partition('/')[2][:NUM_DIGITS]}"


def skew_in_a_word(config: PeerExperimentConfig | PclConfig) -> str:
    """Return a word for the division of the data, such as ``dirichlet0.3``, which becomes part of the name of a run."""
    if isinstance(config, PclConfig):
        return PCL.name
    if config.has_peer_data:
        return "own-data"
    skew = config.partition.label_skew
    match skew:
        case DirichletLabels():
            return f"{skew.kind}{skew.concentration:g}"
        case ClassesPerPeer():
            return f"{skew.kind}{skew.classes_per_peer}"
        case ShardsPerPeer():
            return f"{skew.kind}{skew.shards_per_peer}"
    return skew.kind


def now() -> str:
    """Return the current time in UTC, in the format of ISO 8601, with a precision of one second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _named_artifacts(config: PeerExperimentConfig | PclConfig, store: ArtifactStore) -> list[dict[str, str]]:
    """Return references to the artifacts of other runs that the config names: peers, their weights or their data."""
    if isinstance(config, PclConfig):
        return []
    named = [config.peers.from_] if config.peers.from_ else []
    addresses = [address for peer in config.peers.given for address in (peer.weights, peer.data) if address]
    named += [split_store_address(address)[0] for address in addresses if address.startswith(STORE_SCHEME)]
    found = [store.find(key) for key in dict.fromkeys(named)]
    return [references.reference(manifest) for manifest in found if manifest]
