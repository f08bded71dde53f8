"""``peerkd stage NOUN``: a launched stage as one of its workers does it, the same on every backend."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Final

from peerkd.artifacts import references
from peerkd.launch.edge import leaving_when_told, stage_edge
from peerkd.launch.order import read_inputs
from peerkd.launch.worker import this_worker
from peerkd.metrics.recorder import recording
from peerkd.stages.opened_store import open_stage_store

LAUNCHED: Final[Mapping[str, str]] = {
    noun: f"peerkd.stages.work.{noun}" for noun in ("pretrain_peers", "distill_pairs", "tune_pairs", "train_pcl")
}
"""Nouns of the launched stages, and the modules that do their work."""


def perform(noun: str, *, config_json: str, store: str, inputs: Sequence[str]) -> None:
    """Do this worker's part of a stage; the environment says which worker this is.

    Args:
        noun: The stage.
        config_json: The whole experiment.
        store: Address of the artifact store.
        inputs: ``NAME=KEY@FINGERPRINT`` of each artifact that the stage reads.
    """
    with stage_edge(noun), leaving_when_told(), recording(noun):
        if noun not in LAUNCHED:
            raise ValueError(f"stage must be one of {', '.join(LAUNCHED)}, got {noun}.")
        worker = this_worker()
        opened = open_stage_store(noun, store)
        found = {name: references.follow(reference, opened) for name, reference in read_inputs(inputs).items()}
        import_module(LAUNCHED[noun]).perform(config_json, found, opened, worker)
