"""The search for the study from which ``peerkd export`` writes a network, and for the artifact with its networks."""

from collections.abc import Mapping
from functools import partial
from typing import Final

from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.pipelines import COLLABORATE, JOINTKD
from peerkd.excerpt import plain, plain_path
from peerkd.metrics.progress import print_line
from peerkd.stages import collaborate_peers, improve_peers, tune_pairs
from peerkd.stages.stored_runs import find_run, list_runs

_KIND_OF: Final[Mapping[str, str]] = {JOINTKD.name: improve_peers.NAME, COLLABORATE.name: collaborate_peers.NAME}
"""The kind of the artifact that contains the networks, by the name of the pipeline."""

_NUM_LISTED: Final = 5
"""The maximum number of studies that a message lists."""


def find_study(store: ArtifactStore, address: str, text: str | None) -> Manifest:
    """Return the artifact with the networks of a study.

    Args:
        store: The artifact store.
        address: The address of the store, for messages.
        text: The key of the artifact, or a run as ``peerkd.stages.stored_runs.find_run`` reads it. None: the only study
            in the store.

    Raises:
        ValueError: If the store has no such artifact, if ``text`` names no run or a run without networks, or if
            ``text`` is None and the store has several studies.
    """
    kinds = tuple(f"{kind}/" for kind in _KIND_OF.values())
    keys = [each for each in store.keys() if each.startswith(kinds)]  # noqa: SIM118
    if text is not None and text not in keys:
        text = _key_of_run(store, text)
    finished = [each for each in map(store.find, keys) if each is not None and text in (None, each.key)]
    # An artifact of an earlier version has no config.
    found = [each for each in finished if "config" in each.metadata]
    if finished and not found:
        raise ValueError(
            f"study must be a run whose artifact contains its config, got {plain(finished[0].key)} of an earlier "
            f"version of peerkd in {plain_path(address)}; delete this run with peerkd clean, then run it again."
        )
    if not found:
        raise ValueError(
            f"store must contain a finished run of jointkd or collaborate, got none in {plain_path(address)}; run "
            "peerkd run jointkd first."
        )
    if len(found) == 1:
        return found[0]
    listed = "; ".join(f"{each.key} ({describe(each)})" for each in found[:_NUM_LISTED])
    more = f" and {len(found) - _NUM_LISTED:,} more" if len(found) > _NUM_LISTED else ""
    raise ValueError(
        f"study must be the name of a run, or the key of its networks, because {plain_path(address)} has "
        f"{len(found):,} studies: {listed}{more}."
    )


def describe(networks: Manifest) -> str:
    """Describe a study in a few words, given the artifact with its networks."""
    config = networks.metadata["config"]
    if networks.key.startswith(f"{collaborate_peers.NAME}/"):
        return f"the rounds {config['name']}, seed {config['seed']}"
    kind = "tuned study" if networks.metadata["inputs"]["trials"]["key"].startswith(tune_pairs.NAME) else "sweep"
    return f"the {kind} {config['name']}, seed {config['seed']}"


def _key_of_run(store: ArtifactStore, text: str) -> str:
    """Return the key of the artifact with the networks of a run."""
    run = find_run(list_runs(store, notify=partial(print_line, "export")), text)
    kind = _KIND_OF.get(run.pipeline)
    if kind is None:
        raise ValueError(f"RUN must be a run of {' or '.join(_KIND_OF)}, got {run.name} of {run.pipeline}.")
    # A run may start from the networks of an earlier one, which must not be taken for its own.
    networks = None if kind in run.stages_left else run.find(kind)
    if networks is None:
        raise ValueError(
            f"RUN must be a run that has published its networks, got {run.name}, which lacks "
            f"{', '.join(run.stages_left) or kind}."
        )
    return networks.key
