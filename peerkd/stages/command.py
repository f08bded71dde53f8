"""``peerkd stage NAME``: the work of one worker of a launched stage. The command is the same on every backend."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

from peerkd.artifacts import references
from peerkd.excerpt import plain
from peerkd.launch.exit_codes import exiting_on_errors, exiting_on_sigterm
from peerkd.launch.order import read_inputs
from peerkd.launch.worker import this_worker
from peerkd.metrics.endpoint import recording
from peerkd.stages.launched_stage import LaunchedStage
from peerkd.stages.opened_store import open_stage_store
from peerkd.stages.tracking import tracked

LAUNCHED: Final = ("pretrain_peers", "distill_pairs", "tune_pairs", "improve_peers", "train_pcl", "collaborate_peers")
"""The names of the launched stages. Each is also the name of the module that declares the stage."""


def perform(name: str, *, config_json: str, store: str, inputs: Sequence[str]) -> None:
    """Do this worker's part of a stage. Environment variables specify which worker this is.

    Args:
        name: The name of the stage.
        config_json: The whole experiment as JSON.
        store: The address of the artifact store.
        inputs: ``NAME=KEY@FINGERPRINT`` for each artifact that the stage reads.
    """
    with exiting_on_errors(name), exiting_on_sigterm(), recording(name):
        stage = find_stage(name)
        worker = this_worker()
        opened = open_stage_store(name, store)
        found = {name: references.follow(reference, opened) for name, reference in read_inputs(inputs).items()}
        if set(found) != {stage.input_name}:
            raise ValueError(f"input must name {stage.input_name}, got {plain(', '.join(found) or 'none')}.")
        config = stage.read_config(config_json)
        with tracked(name, config, opened, is_first=worker.is_first):
            stage.work(config, found[stage.input_name], opened, worker)


def find_stage(name: str) -> LaunchedStage[Any]:
    """Return the declaration of a launched stage.

    Raises:
        ValueError: If no launched stage has the name.
    """
    if name not in LAUNCHED:
        raise ValueError(f"stage must be one of {', '.join(LAUNCHED)}, got {plain(name)}.")
    stage: LaunchedStage[Any] = import_module(f"peerkd.stages.{name}").STAGE
    return stage
