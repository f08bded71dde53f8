"""The model cards of the peers after their rounds."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from peerkd.artifacts.store import Manifest
from peerkd.config.collaborate import CollaborateConfig
from peerkd.config.targets import TargetConfig
from peerkd.data.dataset import ImageDataset
from peerkd.reporting.model_card import CardRounds, ModelCard
from peerkd.reporting.rounds.wording import joining_in_words
from peerkd.reporting.wording import conventions_in_words, loss_formula, number
from peerkd.results.rounds import has_proposal
from peerkd.rounds.predictions import METHOD as PREDICTIONS
from peerkd.stages.peer_names import peer_names
from peerkd.stages.work.improving.cards import interface, num_evaluated, weights_name

_SPLITS = ("validation_global", "validation_own", "test_global", "test_own")


def round_cards(
    config: CollaborateConfig,
    history: Sequence[Mapping[str, Any]],
    *,
    key: str,
    fingerprint: str,
    peers: Manifest,
    partition: Manifest,
    dataset: ImageDataset,
    machine: Mapping[str, Any],
) -> Iterator[ModelCard]:
    """Yield the card of each peer that took part. It describes the peer's network after the first method's last round.

    Args:
        config: The experiment.
        history: The measurements of the first method, before the first round and after each round.
        key: The key of the artifact with the rounds.
        fingerprint: The fingerprint of the table of rounds.
        peers: The artifact with the peers before the rounds.
        partition: The partition.
        dataset: The data set.
        machine: The ``device`` and the ``versions`` of the training.
    """
    method, recipe, sizes = config.rounds.round_methods[0], config.rounds, partition.metadata
    setting = ""
    if method.name == PREDICTIONS.name and recipe.tune.enabled:
        setting = "a setting that the peer chose in each round"
    elif method.alpha_field:
        setting = f"T = {number(recipe.temperature)} and alpha = {number(getattr(recipe, method.alpha_field))}"
    # Only joint distillation joins predictions by rounds.target. In pairs, a peer imitates its teacher unchanged.
    imitated = recipe if method.name == PREDICTIONS.name else recipe.model_copy(update={"target": TargetConfig()})
    joining = joining_in_words(recipe) if method.name == PREDICTIONS.name else []
    of_peers = {record["peer"]: record for record in peers.metadata["peers"]}
    names = peer_names(config, partition)
    for peer in sorted({row["peer"] for row in history}):
        rows = [row for row in history if row["peer"] == peer]
        proposed = [row for row in rows if has_proposal(row)]
        before, after = (
            {f"{name}_accuracy": row[f"{name}_accuracy"] for name in _SPLITS} for row in (rows[0], rows[-1])
        )
        yield ModelCard(
            student=peer,
            student_name=names[peer],
            decision="fine_tune" if method.sends == "nothing" else "distil",
            setting=None,
            is_reproduced=None,
            file=weights_name(peer),
            architecture=of_peers[peer]["architecture"],
            num_parameters=of_peers[peer]["num_parameters"],
            **interface(config.networks[peer], dataset)._asdict(),
            accuracy_before=before,
            accuracy_after=after,
            num_samples=num_evaluated(sizes, peer),
            chosen_by=None,
            max_own_drop=None if method.is_bound else recipe.max_own_drop,
            loss=loss_formula(recipe),
            conventions=(*conventions_in_words(imitated), *joining),
            seed=config.seed,
            fingerprints={
                "data set": dataset.fingerprint,
                "partition": sizes["fingerprint"],
                "peers": peers.fingerprint,
                "rounds": fingerprint,
            },
            trials=key,
            device=machine["device"],
            versions=machine["versions"],
            rounds=CardRounds(
                method=method.title,
                num_rounds=len(proposed),
                num_accepted=sum(row["is_accepted"] for row in proposed),
                topology=recipe.topology.kind,
                epochs=recipe.epochs,
                learning_rate=recipe.learning_rate,
                setting=setting,
            ),
        )
